"""Which hierarchy is followed, for every way that machines mount cgroups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ebpf import file_system
from ebpf.errors import SourceUnavailable
from ebpf.hierarchy import Hierarchy, find_hierarchy

CGROUPFS = Path("/sys/fs/cgroup")
MakeProcfs = Callable[..., Path]

OTHERS = """\
22 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:14 - proc proc rw
23 28 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
28 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
"""
PURE_V2 = """\
30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
"""
HYBRID = """\
30 23 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
32 30 0:28 / /sys/fs/cgroup/systemd rw,nosuid,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
36 30 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct
37 30 0:33 / /sys/fs/cgroup/cpuset rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,cpuset
"""
SEPARATE = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
PURE_V1 = """\
25 23 0:23 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
30 25 0:28 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
31 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpuacct,cpu
"""
V1_WITHOUT_CPU = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
# a container's own part of the tree in its usual place, the node's whole tree under /host
CONTAINER = """\
900 880 0:26 /kubepods/pod1/c1 /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw
910 870 0:26 / /host/sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw
"""
CONTAINER_ON_V1 = """\
900 880 0:60 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs rw,mode=755
901 900 0:29 /docker/c1 /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct
910 870 0:23 / /host/sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
911 910 0:29 / /host/sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct
912 910 0:27 / /host/sys/fs/cgroup/unified ro,nosuid - cgroup2 cgroup2 rw
"""


@pytest.fixture
def procfs(tmp_path: Path) -> MakeProcfs:
    def make(mountinfo: str, **numbers: int) -> Path:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/mountinfo").write_text(OTHERS + mountinfo)
        rows = "".join(f"{name}\t{number}\t120\t1\n" for name, number in numbers.items())
        (tmp_path / "proc/cgroups").write_text(f"#subsys_name\thierarchy\tnum_cgroups\tenabled\n{rows}")
        return tmp_path / "proc"

    return make


def v2(at: str = "") -> Hierarchy:
    return Hierarchy(2, CGROUPFS / at)


def v1(at: str, number: int, controller: str) -> Hierarchy:
    return Hierarchy(1, CGROUPFS / at, number, controller)


@pytest.mark.parametrize("wanted", ["auto", "v2"])
def test_pure_v2(procfs: MakeProcfs, wanted: str) -> None:
    assert find_hierarchy(wanted, CGROUPFS, procfs(PURE_V2, cpu=0, cpuacct=0)) == v2()


def test_a_part_of_the_tree_is_refused_with_the_mend(
    procfs: MakeProcfs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a private cgroup namespace shows it: a cgroup2 whose root is some cgroup of the host's."""
    found = procfs(PURE_V2.replace("/sys/fs/cgroup", str(tmp_path)))
    assert find_hierarchy("auto", tmp_path, found).mount == tmp_path, "no cgroupfs: nothing to refuse"
    monkeypatch.setattr(file_system, "magic", lambda path: file_system.CGROUPS[1])
    with pytest.raises(
        SourceUnavailable, match=r"a part of the cgroup tree.*--host.cgroupfs.*--cgroupns=host"
    ):
        find_hierarchy("auto", tmp_path, found)


def test_pure_v2_has_no_v1(procfs: MakeProcfs) -> None:
    with pytest.raises(SourceUnavailable, match="no v1 cpu or cpuacct hierarchy at or below /sys/fs/cgroup"):
        find_hierarchy("v1", CGROUPFS, procfs(PURE_V2, cpu=0, cpuacct=0))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("auto", v1("cpu,cpuacct", 4, "cpuacct")),
        ("v1", v1("cpu,cpuacct", 4, "cpuacct")),
        ("v2", v2("unified")),
    ],
)
def test_systemds_hybrid(procfs: MakeProcfs, wanted: str, found: Hierarchy) -> None:
    assert find_hierarchy(wanted, CGROUPFS, procfs(HYBRID, cpuset=3, cpu=4, cpuacct=4)) == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("auto", v1("cpuacct", 2, "cpuacct")), ("v1", v1("cpuacct", 2, "cpuacct")), ("v2", v2("unified"))],
)
def test_cpu_and_cpuacct_mounted_apart(procfs: MakeProcfs, wanted: str, found: Hierarchy) -> None:
    """The one whose usage can be checked is followed, by its own number."""
    assert find_hierarchy(wanted, CGROUPFS, procfs(SEPARATE, cpuset=3, cpu=1, cpuacct=2)) == found


@pytest.mark.parametrize("wanted", ["auto", "v1"])
def test_pure_v1(procfs: MakeProcfs, wanted: str) -> None:
    found = find_hierarchy(wanted, CGROUPFS, procfs(PURE_V1, memory=6, cpu=5, cpuacct=5))
    assert found == v1("cpu,cpuacct", 5, "cpuacct")


def test_pure_v1_has_no_v2(procfs: MakeProcfs) -> None:
    with pytest.raises(SourceUnavailable, match="no cgroup2 mount"):
        find_hierarchy("v2", CGROUPFS, procfs(PURE_V1, memory=6, cpu=5, cpuacct=5))


def test_the_cpu_controller_alone_will_do_for_v1(procfs: MakeProcfs) -> None:
    mountinfo = "".join(line for line in SEPARATE.splitlines(keepends=True) if "cpuacct" not in line)
    assert find_hierarchy("auto", CGROUPFS, procfs(mountinfo, cpu=1, cpuacct=0)) == v1("cpu", 1, "cpu")


def test_auto_stays_with_v2_where_v1_has_no_cpu_controller(procfs: MakeProcfs) -> None:
    found = find_hierarchy("auto", CGROUPFS, procfs(V1_WITHOUT_CPU, memory=2, cpu=0, cpuacct=0))
    assert found == v2("unified")


def test_auto_stays_with_v2_where_only_cpuacct_is_on_v1(procfs: MakeProcfs) -> None:
    mountinfo = "".join(line for line in SEPARATE.splitlines(keepends=True) if "/cgroup/cpu " not in line)
    made = procfs(mountinfo, cpu=0, cpuacct=2)
    assert find_hierarchy("auto", CGROUPFS, made) == v2("unified")
    assert find_hierarchy("v1", CGROUPFS, made) == v1("cpuacct", 2, "cpuacct")


@pytest.mark.parametrize(
    ("cgroupfs", "found"),
    [
        ("/host/sys/fs/cgroup", Hierarchy(2, Path("/host/sys/fs/cgroup"))),
        ("/sys/fs/cgroup", Hierarchy(2, CGROUPFS)),
    ],
)
def test_in_a_container_the_place_that_was_named_counts(
    procfs: MakeProcfs, cgroupfs: str, found: Hierarchy
) -> None:
    assert find_hierarchy("auto", Path(cgroupfs), procfs(CONTAINER, cpu=0, cpuacct=0)) == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("auto", Hierarchy(1, Path("/host/sys/fs/cgroup/cpu,cpuacct"), 4, "cpuacct")),
        ("v2", Hierarchy(2, Path("/host/sys/fs/cgroup/unified"))),
    ],
)
def test_in_a_container_on_a_hybrid_node(procfs: MakeProcfs, wanted: str, found: Hierarchy) -> None:
    made = procfs(CONTAINER_ON_V1, cpu=4, cpuacct=4)
    assert find_hierarchy(wanted, Path("/host/sys/fs/cgroup"), made) == found


def test_a_whole_tree_comes_before_a_part_of_one(procfs: MakeProcfs) -> None:
    made = procfs(CONTAINER.replace(" /sys/fs/cgroup", " /a/part").replace(" /host/sys", " /b/sys"), cpu=0)
    assert find_hierarchy("v2", Path("/"), made) == Hierarchy(2, Path("/b/sys/fs/cgroup"))


def test_a_path_that_only_begins_alike_is_another_place(procfs: MakeProcfs) -> None:
    with pytest.raises(SourceUnavailable):
        find_hierarchy("auto", CGROUPFS, procfs(PURE_V2.replace("fs/cgroup", "fs/cgroup-of-old"), cpu=0))


@pytest.mark.parametrize(
    ("escaped", "plain"), [(r"/mnt/my\040root", "/mnt/my root"), (r"/mnt/a\134b\011c", "/mnt/a\\b\tc")]
)
def test_escapes_in_mount_points_are_read(procfs: MakeProcfs, escaped: str, plain: str) -> None:
    made = procfs(PURE_V2.replace("/sys/fs/cgroup", f"{escaped}/cgroup"), cpu=0)
    assert find_hierarchy("auto", Path(plain), made) == Hierarchy(2, Path(plain) / "cgroup")


def test_an_escape_beside_a_letter_that_is_not_ascii(procfs: MakeProcfs) -> None:
    made = procfs(PURE_V2.replace("/sys/fs/cgroup", r"/mnt/größe\0401"), cpu=0)
    assert find_hierarchy("auto", Path("/mnt/größe 1"), made) == Hierarchy(2, Path("/mnt/größe 1"))


def test_a_foreign_mount_point_in_another_encoding_does_no_harm(procfs: MakeProcfs) -> None:
    made = procfs(PURE_V2, cpu=0)
    with (made / "self/mountinfo").open("ab") as file:
        file.write(b"99 28 8:1 / /media/caf\xe9 rw - vfat /dev/sdb1 rw\n")
    assert find_hierarchy("auto", CGROUPFS, made) == v2()


def test_a_tree_that_mountinfo_does_not_show_is_known_by_its_files(
    procfs: MakeProcfs, tmp_path: Path
) -> None:
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "cgroup/cgroup.controllers").write_text("cpu memory\n")
    assert find_hierarchy("auto", tmp_path / "cgroup", procfs("")) == Hierarchy(2, tmp_path / "cgroup")
    assert find_hierarchy("v2", tmp_path / "cgroup", tmp_path / "no-proc") == Hierarchy(
        2, tmp_path / "cgroup"
    )


@pytest.mark.parametrize("wanted", ["auto", "v1", "v2"])
def test_without_any_the_message_says_where_and_how_to_mend_it(procfs: MakeProcfs, wanted: str) -> None:
    with pytest.raises(SourceUnavailable, match=r"at or below /nowhere: mount one, or .* --host\.cgroupfs"):
        find_hierarchy(wanted, Path("/nowhere"), procfs(HYBRID, cpu=4, cpuacct=4))


def test_a_v1_mount_needs_its_number(procfs: MakeProcfs) -> None:
    """Without it the kernel programs cannot tell the hierarchy's events from another's."""
    made = procfs(HYBRID, cpu=4, cpuacct=4)
    (made / "cgroups").unlink()
    assert find_hierarchy("auto", CGROUPFS, made) == v2("unified")
    with pytest.raises(SourceUnavailable):
        find_hierarchy("v1", CGROUPFS, made)


@pytest.mark.parametrize(
    "line", ["", "30 23 0:26 /", "30 23 0:26 / /sys/fs/cgroup rw -", " - cgroup2 cgroup2 rw"]
)
def test_a_line_that_is_cut_short_is_passed_over(procfs: MakeProcfs, line: str) -> None:
    assert find_hierarchy("auto", CGROUPFS, procfs(f"{line}\n{PURE_V2}", cpu=0)) == v2()
