"""Which cgroup hierarchy is followed, and where it is mounted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ebpf import file_system
from ebpf.errors import SourceUnavailable

_ROOT = 1  # inode of a hierarchy's root directory
V1_CONTROLLERS = ("cpuacct", "cpu")  # cpuacct is the one whose usage can be checked against


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy. version: 2 or 1. number: the kernel's id, 0 for v2. controller: "" for v2."""

    version: int
    mount: Path
    number: int = 0
    controller: str = ""


@dataclass(frozen=True, slots=True)
class _Mount:
    root: str
    point: Path
    kind: str
    options: frozenset[str]


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _mounts(mountinfo: str) -> list[_Mount]:
    """The cgroup mounts in /proc/PID/mountinfo; format in proc(5)."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if len(left) > 4 and right[0] in ("cgroup", "cgroup2"):
            options = frozenset(right[2].split(",")) if len(right) > 2 else frozenset()
            found.append(_Mount(left[3], Path(_unescape(left[4])), right[0], options))
    return found


def _below(mounts: list[_Mount], cgroupfs: Path) -> list[_Mount]:
    """Those at or under the wanted root, whole trees before parts of one."""
    inside = [mount for mount in mounts if mount.point.is_relative_to(cgroupfs)]
    return sorted(inside, key=lambda mount: (mount.root != "/", mount.point))


def _numbers(procfs: Path) -> dict[str, int]:
    """controller -> hierarchy number, from /proc/cgroups."""
    try:
        rows = [line.split() for line in (procfs / "cgroups").read_text().splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _v2(mounts: list[_Mount], cgroupfs: Path) -> Hierarchy | None:
    for mount in mounts:
        if mount.kind == "cgroup2":
            return Hierarchy(2, mount.point)
    # a cgroup2 tree can be bind-mounted in a way that mountinfo shows under another path
    return Hierarchy(2, cgroupfs) if (cgroupfs / "cgroup.controllers").exists() else None


def _v1(mounts: list[_Mount], numbers: dict[str, int]) -> Hierarchy | None:
    for controller in V1_CONTROLLERS:
        for mount in mounts:
            if mount.kind == "cgroup" and controller in mount.options and numbers.get(controller):
                return Hierarchy(1, mount.point, numbers[controller], controller)
    return None


def _whole(found: Hierarchy) -> Hierarchy:
    """The hierarchy, if its root is the kernel's: of what lies outside a part nothing could be named."""
    try:
        is_part = file_system.magic(found.mount) in file_system.CGROUPS and found.mount.stat().st_ino != _ROOT
    except OSError:
        return found  # whoever reads it says so
    if is_part:
        raise SourceUnavailable(
            f"{found.mount} is a part of the cgroup tree, as in a cgroup namespace: mount the host's"
            " /sys/fs/cgroup and name its place with --host.cgroupfs, or run with --cgroupns=host"
        )
    return found


def find_hierarchy(wanted: str, cgroupfs: Path, procfs: Path) -> Hierarchy:
    """The hierarchy to follow: "v1", "v2", or "auto", which is v1 where the cpu controller is mounted as v1.

    Raises SourceUnavailable where it is not mounted at or below cgroupfs, or a part of it alone.
    """
    try:
        mounts = _below(_mounts((procfs / "self/mountinfo").read_text(errors="surrogateescape")), cgroupfs)
    except OSError:
        mounts = []
    v1 = _v1(mounts, _numbers(procfs)) if wanted != "v2" else None
    if v1 and (wanted == "v1" or any("cpu" in mount.options for mount in mounts if mount.kind == "cgroup")):
        return _whole(v1)
    v2 = _v2(mounts, cgroupfs) if wanted != "v1" else None
    if v2 or v1:
        return _whole(v2 or v1)  # type: ignore[arg-type]
    name = {"v1": "v1 cpu or cpuacct hierarchy", "v2": "cgroup2 mount"}.get(wanted, "cgroup hierarchy")
    raise SourceUnavailable(
        f"no {name} at or below {cgroupfs}: mount one, or name its place with --host.cgroupfs"
    )
