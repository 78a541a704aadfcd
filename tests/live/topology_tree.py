"""A tree of sysfs that says where CPUs sit, whatever the machine's says; without pytest, as counting.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def write_tree(root: Path, cores: Sequence[Sequence[int]], socket_of: Mapping[int, int] = {}) -> Path:
    """cores: the CPUs of each that are online. socket_of: by CPU; 0 where it is not given.

    Files that are there already are written over, so that who holds one open reads what is new.
    """
    folder = root / "devices/system/cpu"
    cpus = sorted(cpu for core in cores for cpu in core)
    for core in cores:
        for cpu in core:
            topology = folder / f"cpu{cpu}/topology"
            topology.mkdir(parents=True, exist_ok=True)
            (topology / "thread_siblings_list").write_text(_list(core))
            (topology / "physical_package_id").write_text(f"{socket_of.get(cpu, 0)}\n")
    (folder / "online").write_text(_list(cpus))
    return root


def _list(cpus: Sequence[int]) -> str:
    return ",".join(map(str, cpus)) + "\n"
