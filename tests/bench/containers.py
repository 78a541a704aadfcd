"""A thousand containers as the kernel sees them: cgroups with a process each that wakes now and then."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ebpf.hierarchy import Hierarchy, find_hierarchy
from tests.bench.compiled import program
from tests.live.sandbox import CGROUPFS, PROCFS, cgroup, stop

CONTAINERS = 1000


def followed() -> Hierarchy:
    """The hierarchy that podjoule follows here without being told."""
    return find_hierarchy("auto", CGROUPFS, PROCFS)


@contextmanager
def group(name: str) -> Iterator[Path]:
    """A cgroup that is gone afterwards, with everything below; its folder in the hierarchy followed."""
    hierarchy = followed()
    with cgroup(name) as made:
        yield made.folder(f"v{hierarchy.version}")


@contextmanager
def containers(
    count: int = CONTAINERS, wake_milliseconds: int = 1000, processes: int = CONTAINERS
) -> Iterator[Path]:
    """Cgroups named as Docker's containers, each with a process that wakes; the folder that holds them.

    processes: of all of them together; what is more than one a container sleeps.
    """
    with group("bench") as parent, program("sleepers") as command:
        folders = [parent / f"docker-{_container_id(index)}.scope" for index in range(count)]
        for folder in folders:
            folder.mkdir()
        with _sleeping([command, str(wake_milliseconds), str(max(0, processes // count - 1))], folders):
            yield parent


def _container_id(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()


@contextmanager
def _sleeping(command: list[str], folders: list[Path]) -> Iterator[None]:
    places = "".join(f"{folder}/cgroup.procs\n" for folder in folders)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(places.encode())
        process.stdin.close()
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("the processes cannot be put into their cgroups")
        yield
    finally:
        stop(process)
        process.stdout.close()
