"""The bcc loader up to bcc itself: its headers, its module, and what it says where one is missing."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from ebpf import bcc_loader, bpf_maps, cpu_events, libbpf
from ebpf.bcc_loader import import_bcc, kernel_headers, load
from ebpf.btf import STRUCT_MEMBERS
from ebpf.errors import SourceUnavailable
from ebpf.event_groups import Opened
from ebpf.hierarchy import Hierarchy
from ebpf.perf_events import HARDWARE
from ebpf.program import Parts, ProgramOptions
from tests.ebpf.test_event_groups import is_open

RELEASE = "6.18.44-fc-v595"
OPTIONS = ProgramOptions(Hierarchy(1, Path("/sys/fs/cgroup/cpu"), 3, "cpuacct"), map_entries=99)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with empty lib/modules and usr/src."""
    for name in ("modules", "src"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(bcc_loader, "MODULES", tmp_path / "modules")
    monkeypatch.setattr(bcc_loader, "SOURCES", tmp_path / "src")
    monkeypatch.setattr(platform, "release", lambda: RELEASE)
    return tmp_path


def add_headers(machine: Path, *names: str) -> None:
    """Trees whose one file holds their name."""
    for name in names:
        folder = machine / "src" / f"linux-headers-{name}" / "include"
        folder.mkdir(parents=True)
        (folder / "which.h").write_text(name)


def files(tree: Path) -> dict[str, str]:
    found = [path for path in tree.rglob("*") if path.is_file()]
    # rglob does not go through linked folders
    linked = [
        path for link in tree.rglob("*") if link.is_symlink() and link.is_dir() for path in link.rglob("*")
    ]
    return {str(path.relative_to(tree)): path.read_text() for path in [*found, *linked] if path.is_file()}


def write(root: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_two_trees_show_as_one(tmp_path: Path) -> None:
    flavour = write(
        tmp_path / "amd64",
        {
            ".config": "flavour",
            "include/generated/autoconf.h": "flavour",
            "arch/x86/include/generated/a.h": "flavour",
        },
    )
    common = write(
        tmp_path / "common",
        {
            "Makefile": "common",
            "include/linux/sched.h": "common",
            "arch/x86/include/asm/page.h": "common",
            "arch/x86/include/uapi/b.h": "common",
        },
    )
    (tmp_path / "merged").mkdir()
    bcc_loader._merge([flavour, common], tmp_path / "merged")
    assert files(tmp_path / "merged") == {
        ".config": "flavour",
        "Makefile": "common",
        "include/generated/autoconf.h": "flavour",
        "include/linux/sched.h": "common",
        "arch/x86/include/generated/a.h": "flavour",
        "arch/x86/include/asm/page.h": "common",
        "arch/x86/include/uapi/b.h": "common",
    }


def test_where_both_have_a_file_the_first_tree_is_right(tmp_path: Path) -> None:
    first, second = (
        write(tmp_path / "1", {"Makefile": "first"}),
        write(tmp_path / "2", {"Makefile": "second"}),
    )
    (tmp_path / "merged").mkdir()
    bcc_loader._merge([first, second], tmp_path / "merged")
    assert files(tmp_path / "merged") == {"Makefile": "first"}


def test_a_folder_that_is_a_link_in_one_tree_is_merged(tmp_path: Path) -> None:
    kbuild = write(tmp_path / "kbuild", {"mod.mk": "kbuild"})
    first, second = write(tmp_path / "1", {"a.h": ""}), write(tmp_path / "2", {"scripts/own.mk": "own"})
    (first / "scripts").symlink_to(kbuild)
    (tmp_path / "merged").mkdir()
    bcc_loader._merge([first, second], tmp_path / "merged")
    assert files(tmp_path / "merged") == {"a.h": "", "scripts/mod.mk": "kbuild", "scripts/own.mk": "own"}


def test_a_link_to_nowhere_is_left_out(tmp_path: Path) -> None:
    tree = write(tmp_path / "1", {"a.h": "a"})
    (tree / "scripts").symlink_to(tmp_path / "linux-kbuild-6.1/scripts")
    (tmp_path / "merged").mkdir()
    bcc_loader._merge([tree], tmp_path / "merged")
    assert files(tmp_path / "merged") == {"a.h": "a"}


def test_the_running_kernels_own_headers_are_left_where_they_are(machine: Path) -> None:
    add_headers(machine, "6.1.0-18-common", "6.1.0-18-amd64")
    (machine / "modules" / RELEASE / "build").mkdir(parents=True)
    with kernel_headers(offsets_known=False) as headers:
        assert headers is None


@pytest.mark.parametrize(
    ("installed", "taken"),
    [
        (["6.1.0-18-common", "6.1.0-18-amd64"], "6.1.0-18-amd64"),
        (["6.1.0-9-common", "6.1.0-9-amd64", "6.1.0-18-common", "6.1.0-18-amd64"], "6.1.0-18-amd64"),
        (["5.10.0-30-common", "5.10.0-30-amd64", "6.1.0-9-common", "6.1.0-9-amd64"], "6.1.0-9-amd64"),
        (["6.9.7+bpo-common", "6.9.7+bpo-amd64", "6.10.1-common", "6.10.1-amd64"], "6.10.1-amd64"),
        (
            ["6.1.0-18-common", "6.1.0-18-cloud-amd64", "6.1.0-18-rt-amd64", "6.1.0-18-amd64"],
            "6.1.0-18-amd64",
        ),
        (["6.1.0-18-common", "6.1.0-18-common-rt", "6.1.0-18-arm64"], "6.1.0-18-arm64"),
        (["6.1.0-18-common"], "6.1.0-18-common"),
    ],
)
def test_other_headers_are_the_newest_and_plainest_installed(
    machine: Path, installed: list[str], taken: str
) -> None:
    add_headers(machine, *installed)
    with kernel_headers(offsets_known=True) as headers:
        assert headers
        assert files(Path(headers)) == {"include/which.h": taken}
    assert not Path(headers).exists()


@pytest.mark.parametrize(("installed", "offsets_known"), [([], True), (["6.1.0-18-common"], False)])
def test_without_usable_headers_the_message_names_the_package(
    machine: Path, installed: list[str], offsets_known: bool
) -> None:
    add_headers(machine, *installed)
    with (
        pytest.raises(
            SourceUnavailable, match=f"no headers of kernel {RELEASE}.*install linux-headers-{RELEASE}"
        ),
        kernel_headers(offsets_known),
    ):
        pass


@pytest.fixture
def without_bcc(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """No bcc anywhere; the module paths at each attempt."""
    tried: list[list[str]] = []

    def import_module(name: str) -> ModuleType:
        tried.append(list(sys.path))
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", import_module)
    return tried


def test_a_missing_bcc_names_the_package(without_bcc: list[list[str]]) -> None:
    before = list(sys.path)
    with pytest.raises(
        SourceUnavailable, match=r"bcc cannot be imported \(No module named 'bcc'\).*python3-bpfcc"
    ):
        import_bcc()
    assert without_bcc == [before, [*before, "/usr/lib/python3/dist-packages"]]
    assert sys.path == before


def test_the_distributions_bcc_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bcc.py").write_text("WHICH = 'the distribution'\n")
    monkeypatch.setattr(bcc_loader, "DISTRIBUTION_PACKAGES", tmp_path)
    monkeypatch.delitem(sys.modules, "bcc", raising=False)
    before = list(sys.path)
    found = import_bcc()
    del sys.modules["bcc"]  # monkeypatch would put this one back
    assert found.WHICH == "the distribution"
    assert sys.path == before


def test_the_program_is_compiled_for_these_options() -> None:
    flags = bcc_loader._flags(
        OPTIONS, Parts(), n_cpu=8, mask=5, offsets={"TASK_PID": 1234}, include=Path("/ebpf")
    )
    assert {"-I/ebpf", "-DN_CPU=8", "-DMAP_ENTRIES=99", "-DEVENT_MASK=5", "-DBY_PROCESS=0"} <= set(flags)
    assert {"-DHIERARCHY=3", "-DV1_CPUACCT=1", "-DTASK_PID=1234", "-DRING=1"} <= set(flags)


def test_without_ring_buffers_the_program_is_compiled_without_one() -> None:
    flags = bcc_loader._flags(OPTIONS, Parts(has_ring=False), n_cpu=8, mask=0, offsets={}, include=Path("/e"))
    assert "-DRING=0" in flags


def test_every_offset_the_c_takes_from_headers_can_come_from_btf() -> None:
    source = (Path(bcc_loader.__file__).parent / "kernel/sched_switch.bcc.c").read_text()
    wanted = {
        line.split()[1] for line in source.splitlines() if line.startswith("#define") and "offsetof" in line
    }
    assert wanted == {*STRUCT_MEMBERS, "CSS_SET_CPU", "CSS_SET_CPUACCT"}


def fake_bcc(compile_program: Callable[..., object]) -> ModuleType:
    module = ModuleType("bcc")
    module.BPF = compile_program  # type: ignore[attr-defined]
    return module


def test_headers_are_named_to_bcc_while_it_compiles_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    bcc = fake_bcc(lambda **_: os.environ["BCC_KERNEL_SOURCE"])
    assert bcc_loader._compile(bcc, [], Path("a.bcc.c"), "/tmp/merged") == "/tmp/merged"
    assert "BCC_KERNEL_SOURCE" not in os.environ


def test_the_users_own_choice_of_headers_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/usr/src/mine")
    bcc_loader._compile(fake_bcc(lambda **_: None), [], Path("a.bcc.c"), "/tmp/merged")
    assert os.environ["BCC_KERNEL_SOURCE"] == "/usr/src/mine"


def test_a_program_that_does_not_compile_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)

    def refuse(**_: object) -> None:
        raise Exception("Failed to compile BPF module")  # as bcc does

    with pytest.raises(
        SourceUnavailable, match=r"bcc cannot compile a\.bcc\.c: Failed to compile BPF module"
    ):
        bcc_loader._compile(fake_bcc(refuse), [], Path("a.bcc.c"), "/tmp/merged")
    assert "BCC_KERNEL_SOURCE" not in os.environ


def test_a_failed_load_leaves_no_event_open(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(2)]

    def no_btf(_: object) -> dict[str, int]:
        raise OSError("no BTF")

    monkeypatch.setattr(bcc_loader, "import_bcc", lambda: fake_bcc(lambda **_: None))
    monkeypatch.setattr(bcc_loader, "offsets", no_btf)
    opened = {cpu: Opened({"cycles": fd}) for cpu, fd in enumerate(descriptors)}
    monkeypatch.setattr(cpu_events, "open_all", lambda *_: ({"cycles": HARDWARE["cycles"]}, opened))
    monkeypatch.setattr(libbpf, "possible_cpus", lambda: 2)
    monkeypatch.setattr(bpf_maps, "has_ring_buffers", lambda: True)
    with pytest.raises(SourceUnavailable, match=r"no headers of kernel .* and no BTF"):
        load(OPTIONS)
    assert not any(map(is_open, descriptors))
