"""Cgroups that come and go, with processes in them, under names that no one would choose."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections import deque
from random import Random

from tests.live.sandbox import Cgroup, remove_folder
from tests.programs import program

MOST_ALIVE = 20
# argv: seconds, loops, and the files of the cgroup's processes in every hierarchy
_WORK = """
seconds=$1 loops=$2; shift 2
for procs; do echo $$ > "$procs" || exit 1; done
i=0; while [ $i -lt $loops ]; do i=$((i+1)); done
exec sleep $seconds
"""
_ODD = (
    b"\xff\xfe-no-utf-8", b"caf\xe9", "kärnkraft ☢".encode(), b"two\rlines", b'quoted"name', b"back\\slash",
    b"a b\tc", b"}{,=", b"# TYPE x counter", b"x" * 255, b"-rf", b"$(id)", b"%s%n", b"\x01\x7f",
    b"docker-nothex.scope", b"kubepods.slice", b"libpod-.scope", b"session-.scope",
)  # fmt: skip


def work(group: Cgroup, seconds: float = 3600.0, loops: int = 2_000) -> subprocess.Popen[bytes]:
    """A process in a cgroup that uses some CPU and then sleeps; in no process group of its own."""
    files = [os.fsencode(group.folder(version) / "cgroup.procs") for version in group.mounts]
    told = [b"%.1f" % seconds, b"%d" % loops]
    return subprocess.Popen(
        [program("sh"), "-c", _WORK, "sh", *told, *files],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


class Cgroups:
    """Containers, odd names, deep trees, and some that live for an instant."""

    name, pause = "cgroups", (0.05, 0.8)

    def __init__(self, parent: Cgroup) -> None:
        self._parent = parent
        self._alive: deque[tuple[Cgroup, subprocess.Popen[bytes] | None]] = deque()

    def step(self, rng: Random, stopping: threading.Event) -> str:
        if len(self._alive) >= MOST_ALIVE or (self._alive and rng.random() < 0.45):
            self._remove(rng)
            return "removed"
        kind = rng.choice(("container", "container", "odd", "deep", "instant", "empty"))
        group = self._deep(rng) if kind == "deep" else self._parent.child(self._name(rng, kind))
        if any(group.folder(version).exists() for version in group.mounts):
            return "there already"
        self._make(group)
        process = None if kind == "empty" else work(group, loops=rng.randrange(20_000))
        self._alive.append((group, process))
        if kind == "instant":
            self._alive.rotate(1)
            self._remove(rng, first=True)
        return kind

    def settle(self) -> None:
        while self._alive:
            self._remove(Random(0))

    def _make(self, group: Cgroup) -> None:
        for version in group.mounts:
            group.folder(version).mkdir(parents=True)

    def _name(self, rng: Random, kind: str) -> str:
        if kind == "odd":
            return os.fsdecode(rng.choice(_ODD))
        return f"{rng.getrandbits(256):064x}"

    def _deep(self, rng: Random) -> Cgroup:
        """Long enough that its path does not fit 1,024 bytes."""
        names = [f"deep-{rng.randrange(3)}", *("d" * 250 for _ in range(rng.randrange(1, 5)))]
        return self._parent.child("/".join([*names, f"{rng.getrandbits(64):016x}"]))

    def _remove(self, rng: Random, *, first: bool = False) -> None:
        if not first:
            self._alive.rotate(rng.randrange(len(self._alive)))
        group, process = self._alive.popleft()
        if process:
            end(process)
        for version in group.mounts:
            remove_folder(group.folder(version))
            self._remove_parents(group, version)

    def _remove_parents(self, group: Cgroup, version: str) -> None:
        top = self._parent.folder(version)
        for parent in group.folder(version).parents:
            if parent == top:
                return
            with contextlib.suppress(OSError):  # others live there
                parent.rmdir()
