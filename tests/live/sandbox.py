"""Cgroups that a live test makes, in every hierarchy the machine has, and what the kernel says they used."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ebpf.cpu_stat import parse_cpu_stat
from ebpf.errors import SourceUnavailable
from ebpf.hierarchy import Hierarchy, find_hierarchy

CGROUPFS, PROCFS = Path("/sys/fs/cgroup"), Path("/proc")
RUNS = "TEST_RUNS_OF_PODJOULE"
"""The variable with the ids of the runs of tests that this process belongs to; see tests/keeper.py."""


def run_tag() -> str:
    """What the names of our cgroups and containers bear: the innermost run's id, else this process's."""
    return os.environ.get(RUNS, "").rpartition(":")[2] or str(os.getpid())


def hierarchies() -> dict[str, Hierarchy]:
    """The hierarchies this machine has: "v1", "v2"."""
    found = {}
    for version in ("v1", "v2"):
        with contextlib.suppress(SourceUnavailable):
            found[version] = find_hierarchy(version, CGROUPFS, PROCFS)
    return found


@dataclass(frozen=True)
class Cgroup:
    """One path, made in each hierarchy."""

    path: str
    mounts: dict[str, Hierarchy]

    def folder(self, version: str) -> Path:
        return Path(f"{self.mounts[version].mount}{self.path}")

    def make(self) -> Cgroup:
        for version in self.mounts:
            self.folder(version).mkdir()
        return self

    def child(self, name: str) -> Cgroup:
        return Cgroup(f"{self.path}/{name}", self.mounts)

    def cgroup_id(self, version: str) -> int:
        return self.folder(version).stat().st_ino

    def add(self, pid: int) -> None:
        for version in self.mounts:
            (self.folder(version) / "cgroup.procs").write_text(str(pid))

    def used_ns(self, version: str) -> int:
        """The kernel's own accounting."""
        if version == "v2":
            return parse_cpu_stat((self.folder(version) / "cpu.stat").read_text())
        return int((self.folder(version) / "cpuacct.usage").read_text())

    def wait_until_used(self, version: str, seconds: float) -> None:
        """CPU time, not time: a busy machine keeps a load from running for a while."""
        deadline = time.monotonic() + 60
        while self.used_ns(version) < seconds * 1e9:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path}: the load hardly ran")
            time.sleep(0.1)

    def spawn(self, command: Sequence[str], cpu: int | None = None) -> subprocess.Popen[bytes]:
        """Start a command in the cgroup, pinned if asked for; it leads a process group of its own."""

        def enter() -> None:
            os.setpgid(0, 0)
            self.add(0)
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})

        # entered before the program starts, so that all of it is in the cgroup
        return subprocess.Popen(command, preexec_fn=enter, stdout=subprocess.DEVNULL)  # noqa: PLW1509

    def python(self, code: str, *arguments: str, cpu: int | None = None) -> subprocess.Popen[bytes]:
        return self.spawn([sys.executable, "-S", "-c", code, *arguments], cpu)

    def remove(self) -> None:
        """Take the cgroup away, with everything below and in it."""
        for version in self.mounts:
            folders = sorted(self.folder(version).glob("**/"), reverse=True)
            for folder in folders:
                remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Take one directory of cgroups away, with the processes in it."""
    for _ in range(100):
        try:
            for pid in (folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass  # a threaded cgroup does not list processes
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"{folder} cannot be removed")


@contextlib.contextmanager
def cgroup(name: str) -> Iterator[Cgroup]:
    """A fresh top-level cgroup in every hierarchy, gone afterwards."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # tests side by side may name theirs alike
    made = Cgroup(f"/podjoule-test-{run_tag()}-{worker}{name}", hierarchies())
    made.make()
    try:
        yield made
    finally:
        made.remove()


@contextlib.contextmanager
def mounted_bpffs(mount: Path) -> Iterator[Path]:
    """A bpffs at a directory, which is made where it is missing; what is pinned in it goes with it."""
    mount.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "bpf", "bpf", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """End processes and their groups, and wait."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


BUSY = "while True: pass"
"""A loop that never gives up its CPU."""
