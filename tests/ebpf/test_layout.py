"""What user space takes for the kernel's structs is what the C compiler makes of them, member by member."""

from __future__ import annotations

import ctypes as ct
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ebpf import cgroups, counters, libbpf, perf_events, pins, program
from ebpf.cgroups import CgroupTree
from ebpf.hierarchy import Hierarchy
from ebpf.program import Parts, ProgramOptions, settings_of
from tests.ebpf import native

DTYPES = {
    "settings": program.SETTINGS,
    "counters_key": program.KEY,
    "counters": program.COUNTERS,
    "event_reading": program.EVENT_READING,
    "cpu_place": program.CPU_PLACE,
    "socket_state": program.SOCKET_STATE,
    "cpu_state": program.CPU_STATE,
}
_MEMBER = re.compile(r"(?:__u64|__u32|char|struct \w+)\s+(\w+)\s*(?:\[\w+\])?")


@dataclass(frozen=True)
class Layout:
    """A struct: its size, and each member's offset and size."""

    size: int
    members: dict[str, tuple[int, int]]


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


HEADER = without_comments((native.EBPF / "counters.h").read_text())


def declared_structs() -> dict[str, list[str]]:
    """struct -> its members' names, as counters.h declares them."""
    found = {}
    for name, body in re.findall(r"struct (\w+) \{(.*?)\n\};", HEADER, re.DOTALL):
        declarations = [part.strip() for part in body.split(";") if part.strip()]
        matches = [_MEMBER.fullmatch(declaration) for declaration in declarations]
        assert all(matches), f"struct {name}: a declaration this test cannot read in {declarations}"
        found[name] = [match[1] for match in matches if match]
    return found


def declared_enumerators() -> list[str]:
    body = re.search(r"enum cgroup_event_kind \{(.*?)\}", HEADER, re.DOTALL)
    assert body
    return re.findall(r"(\w+)\s*=", body[1])


def compiled_layouts(structs: dict[str, list[str]], includes: list[str], into: Path) -> dict[str, Layout]:
    """What the compiler makes of structs."""
    prints = [
        f'printf("{struct} {name} %zu %zu\\n", offsetof(struct {struct}, {name}),'
        f" sizeof(((struct {struct} *)0)->{name}));"
        for struct, names in structs.items()
        for name in names
    ]
    prints += [f'printf("{struct} - %zu 0\\n", sizeof(struct {struct}));' for struct in structs]
    lines = [*(f"#include {include}" for include in includes), "int main(void) {", *prints, "return 0; }\n"]
    rows = [row.split() for row in native.run(native.build("\n".join(lines), into)).decode().splitlines()]
    return {
        struct: Layout(
            size=next(int(size) for name, member, size, _ in rows if (name, member) == (struct, "-")),
            members={m: (int(at), int(size)) for name, m, at, size in rows if name == struct and m != "-"},
        )
        for struct in structs
    }


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Layout]:
    return compiled_layouts(declared_structs(), ['"counters.h"'], tmp_path_factory.mktemp("layout"))


def layout_of(dtype: np.dtype[np.void]) -> Layout:
    assert dtype.fields is not None
    return Layout(
        dtype.itemsize, {name: (at, each.itemsize) for name, (each, at, *_) in dtype.fields.items()}
    )


def layout_of_ctypes(structure: type[ct.Structure]) -> Layout:
    names = [field[0] for field in structure._fields_]
    members = {name: (getattr(structure, name).offset, getattr(structure, name).size) for name in names}
    return Layout(ct.sizeof(structure), members)


def test_every_struct_of_the_header_has_its_counterpart(compiled: dict[str, Layout]) -> None:
    assert compiled.keys() == {*DTYPES, "cgroup_event"}


@pytest.mark.parametrize("struct", list(DTYPES))
def test_a_dtype_has_the_members_of_its_struct_where_the_compiler_puts_them(
    compiled: dict[str, Layout], struct: str
) -> None:
    assert layout_of(DTYPES[struct]) == compiled[struct]


@pytest.mark.parametrize("struct", list(DTYPES))
def test_no_struct_has_holes_with_undefined_bytes(compiled: dict[str, Layout], struct: str) -> None:
    # a hash key with a hole would make two entries of one
    assert sum(size for _, size in compiled[struct].members.values()) == compiled[struct].size


def test_the_fields_of_a_snapshot_are_the_first_words_of_a_counter() -> None:
    assert program.COUNTERS.fields is not None
    words: dict[int, str] = {}
    for name, (dtype, offset, *_) in program.COUNTERS.fields.items():
        for i in range(dtype.itemsize // 8):
            words[offset // 8 + i] = program.EVENT_FIELDS[i] if name == "events" else name
    assert tuple(words[i] for i in range(len(counters.FIELDS))) == counters.FIELDS
    assert set(words.values()) - set(counters.FIELDS) == {"blind_ns"}


def test_the_field_numbers_are_their_places() -> None:
    numbers = {name: getattr(counters, name.upper()) for name in counters.FIELDS}
    assert numbers == {name: i for i, name in enumerate(counters.FIELDS)}


def test_the_events_are_counted_in_the_same_order_everywhere() -> None:
    number = re.search(r"#define N_EVENTS (\d+)", HEADER)
    assert number
    assert int(number[1]) == len(program.EVENT_FIELDS)
    assert tuple(perf_events.HARDWARE) == program.EVENT_FIELDS


@pytest.mark.parametrize(
    ("dialect", "reading"),
    [("bpf", r"bpf_perf_event_read_value\(&(\w+)"), ("bcc", r"return (\w+)\.perf_counter_value")],
)
def test_event_number_i_is_read_from_the_map_of_field_i(dialect: str, reading: str) -> None:
    source = (native.EBPF / f"sched_switch.{dialect}.c").read_text()
    assert tuple(re.findall(reading, source)) == program.EVENT_FIELDS


@pytest.mark.parametrize(
    ("dialect", "reading"),
    [("bpf", r"bpf_perf_event_read\(&(\w+)"), ("bcc", r"return (\w+)\.perf_read")],
)
def test_the_counts_of_all_but_the_first_are_read_from_the_same_maps(dialect: str, reading: str) -> None:
    source = (native.EBPF / f"sched_switch.{dialect}.c").read_text()
    assert tuple(re.findall(reading, source)) == program.EVENT_FIELDS[1:]


def test_the_kinds_of_cgroup_events_have_the_numbers_of_the_header(tmp_path: Path) -> None:
    names = declared_enumerators()
    prints = "".join(f'printf("{name} %d\\n", {name});' for name in names)
    printed = native.run(
        native.build(f'#include "counters.h"\nint main(void) {{ {prints} return 0; }}\n', tmp_path)
    )
    numbers = {row.split()[0]: int(row.split()[1]) for row in printed.decode().splitlines()}
    ours = {f"CGROUP_{name}": getattr(cgroups, name) for name in ("MADE", "REMOVED", "RENAMED")}
    assert numbers == ours


def test_the_header_of_a_cgroup_event_ends_where_its_path_begins(compiled: dict[str, Layout]) -> None:
    members = compiled["cgroup_event"].members
    assert list(members) == ["cgroup_id", "kind", "path_bytes", "path"]
    assert cgroups._HEADER.size == members["path"][0]


def test_a_cgroup_event_that_c_wrote_is_understood(tmp_path: Path) -> None:
    source = """
    #include "counters.h"
    int main(void)
    {
        static struct cgroup_event event = { 1ULL << 40, CGROUP_MADE, sizeof("/a/pod1"), "/a/pod1" };
        fwrite(&event, offsetof(struct cgroup_event, path) + event.path_bytes, 1, stdout);
        return 0;
    }
    """
    tree = CgroupTree()
    tree.apply(native.run(native.build(source, tmp_path)))
    assert {cgroup_id: tree.path(cgroup_id) for cgroup_id in tree} == {1 << 40: "/a/pod1"}


@pytest.mark.parametrize(
    ("hierarchy", "number", "cpuacct"),
    [
        (Hierarchy(2, Path("/cg")), 0, 0),
        (Hierarchy(1, Path("/cg"), 7, "cpu"), 7, 0),
        (Hierarchy(1, Path("/cg"), 8, "cpuacct"), 8, 1),
    ],
)
def test_the_settings_are_those_asked_for(hierarchy: Hierarchy, number: int, cpuacct: int) -> None:
    sent = settings_of(ProgramOptions(hierarchy, by_process=True), n_cpu=96, event_mask=5, by_copy=True)
    read = np.frombuffer(sent, program.SETTINGS)[0]
    assert dict(zip(program.SETTINGS.names or (), read.tolist(), strict=True)) == {
        "n_cpu": 96,
        "event_mask": 5,
        "by_process": 1,
        "hierarchy": number,
        "v1_cpuacct": cpuacct,
        "by_copy": 1,
    }


def test_the_ctypes_structs_are_those_of_the_kernels_headers(tmp_path: Path) -> None:
    names = {
        "bpf_prog_info": ["run_time_ns", "run_cnt"],
        "perf_event_attr": ["type", "size", "config", "sample_period", "read_format", "bp_type", "config1"],
    }
    found = compiled_layouts(names, ["<linux/bpf.h>", "<linux/perf_event.h>"], tmp_path)
    for struct, ours in (("bpf_prog_info", libbpf._ProgInfo), ("perf_event_attr", perf_events._Attributes)):
        members = layout_of_ctypes(ours).members
        assert {name: members[name] for name in names[struct]} == found[struct].members
    assert ct.sizeof(perf_events._Attributes) == 64  # PERF_ATTR_SIZE_VER0: every kernel takes it


def test_the_options_of_a_test_run_are_those_of_libbpf(tmp_path: Path) -> None:
    header = Path("/usr/include/bpf/bpf.h")
    if not header.exists():
        pytest.skip(f"needs {header}: install libbpf-dev")
    ours = layout_of_ctypes(libbpf._TestRun)
    found = compiled_layouts({"bpf_test_run_opts": list(ours.members)}, ["<bpf/bpf.h>"], tmp_path)
    assert found["bpf_test_run_opts"].members == ours.members


def test_the_options_of_opening_an_object_are_those_of_libbpf(tmp_path: Path) -> None:
    header = Path("/usr/include/bpf/libbpf.h")
    if not header.exists():
        pytest.skip(f"needs {header}: install libbpf-dev")
    ours = layout_of_ctypes(libbpf._OpenOptions).members
    del ours["no_longer"]  # has no name there
    found = compiled_layouts({"bpf_object_open_opts": list(ours)}, ["<bpf/libbpf.h>"], tmp_path)
    assert found["bpf_object_open_opts"].members == ours


def test_the_version_of_the_layout_is_that_of_the_header() -> None:
    version = re.search(r"#define LAYOUT_VERSION (\d+)", HEADER)
    assert version
    assert int(version[1]) == program.LAYOUT_VERSION


LAYOUT_OPTIONS = ProgramOptions(Hierarchy(2, Path("/cg")))


@pytest.mark.parametrize(
    ("options", "n_cpu", "mask"),
    [
        (replace(LAYOUT_OPTIONS, by_process=True), 4, 7),
        (replace(LAYOUT_OPTIONS, map_entries=64), 4, 7),
        (replace(LAYOUT_OPTIONS, hierarchy=Hierarchy(1, Path("/cg"), 8, "cpuacct")), 4, 7),
        (replace(LAYOUT_OPTIONS, events={}), 4, 7),
        (LAYOUT_OPTIONS, 8, 7),
        (LAYOUT_OPTIONS, 4, 0),
    ],
    ids=["by process", "map entries", "hierarchy", "events", "CPUs", "mask"],
)
def test_programs_that_count_differently_share_no_maps(
    options: ProgramOptions, n_cpu: int, mask: int
) -> None:
    assert program.layout_of(options, n_cpu, mask) != program.layout_of(LAYOUT_OPTIONS, 4, 7)


def test_how_structs_are_got_at_is_no_matter_of_the_layout_and_what_is_pinned_is() -> None:
    name = program.layout_of(LAYOUT_OPTIONS, 4, 7)
    assert program.layout_of(replace(LAYOUT_OPTIONS, by_copy=True, btf=Path("/b")), 4, 7) == name
    assert program.layout_of(LAYOUT_OPTIONS, 4, 7, Parts(has_ring=False)) != name


def test_without_ring_buffers_the_programs_that_tell_of_cgroups_are_left_out() -> None:
    parts = Parts(has_ring=False)
    assert set(parts.hooks) == {"on_switch", "on_attach"}
    assert set(program.PINNED_MAPS) - set(parts.pinned_maps) == {"cgroup_events"}
    assert set(Parts().hooks) == set(program.HOOKS)
    assert parts.first_pinned_maps == tuple(name for name in parts.pinned_maps if name != "groups")


def test_a_layout_is_a_name_that_a_bpffs_takes() -> None:
    name = program.layout_of(LAYOUT_OPTIONS, 4, 7)
    assert pins._LAYOUT.fullmatch(name)
    assert "." not in name, "kernel/bpf/inode.c keeps names with dots for itself"
    assert name == program.layout_of(replace(LAYOUT_OPTIONS, pin=Path("/elsewhere")), 4, 7)
