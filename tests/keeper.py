"""What a run of the tests started, mounted or made goes when the run ends, however it ends.

Whatever a run starts inherits the run's id in its environment (MARK); what it mounts lies below the run's
folder, and the cgroups and containers it makes bear the id. A process of its own, the keeper, waits for the
run's end, of which the kernel tells also after kill -9, and then takes away what is there. A run whose keeper
was killed as well is swept by the next one.

    python -m tests.keeper ID        what started by tests/conftest.py waits and sweeps
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.e2e.cluster import components
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.place import ClusterError
from tests.live.podman import remove_parents
from tests.live.sandbox import RUNS as MARK
from tests.live.sandbox import Cgroup, hierarchies

ROOT = Path(__file__).resolve().parents[1]
REGISTER = Path(tempfile.gettempdir()) / "podjoule-test-runs"
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of pytest. folder: what it mounts lies below. started: the process's start in ticks."""

    id: str
    pid: int
    started: str
    folder: str

    def processes(self) -> dict[int, str]:
        """Command by pid: those with the run's id, and their descendants."""
        return {pid: _command(pid) for pid in _with_descendants(_with_environment(self.id))}

    def processes_of(self, test: str) -> dict[int, str]:
        """Those that the body of a test started, by its id; what its fixtures started is theirs to end."""
        return {
            pid: command
            for pid, command in self.processes().items()
            if f"PYTEST_CURRENT_TEST={test} (call)" in _environment(pid)
        }

    def mounts(self) -> list[str]:
        """Mount points below the folder, the innermost first."""
        found = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        decoded = [each.encode().decode("unicode_escape") for each in found]
        return sorted((each for each in decoded if each.startswith(f"{self.folder}/")), reverse=True)

    def cgroups(self) -> list[str]:
        """Top-level cgroups of the run's, as paths below any hierarchy."""
        mounts = [hierarchy.mount for hierarchy in hierarchies().values()]
        return sorted({f"/{path.name}" for mount in mounts for path in Path(mount).glob(f"*-{self.id}-*")})

    def left(self) -> list[str]:
        """One line for each thing that is there."""
        return [
            *(f"process {pid}: {command}" for pid, command in self.processes().items()),
            *(f"mount {mount}" for mount in self.mounts()),
            *(f"cgroup {path}" for path in self.cgroups()),
        ]

    def left_after(self, seconds: float = PATIENCE_SECONDS) -> list[str]:
        """What is still there after some time: what was told to end may be on its way out."""
        deadline = time.monotonic() + seconds
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def sweep(self) -> None:
        """Take everything away; what cannot be is told on stderr, and the rest goes all the same."""
        steps = (self._end_cluster, self._kill, self._remove_containers, self._unmount, self._remove_cgroups)
        for step in steps:
            try:
                step()
            except (OSError, subprocess.SubprocessError, ClusterError) as error:
                print(f"keeper: {error}", file=sys.stderr)

    def _end_cluster(self) -> None:
        cluster, ours = Cluster(), self.processes()
        if any(components.running_pid(cluster.place, name) in ours for name in components.NAMES):
            cluster.down()

    def _kill(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (there := self.processes()) and time.monotonic() < deadline:
            kill(there)
            time.sleep(0.05)

    def _remove_containers(self) -> None:
        if podman := shutil.which("podman"):
            command = [podman, "ps", "--all", "--quiet", f"--filter=label=run={self.id}"]
            listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            if ids := listed.stdout.split():
                subprocess.run([podman, "rm", "--force", "--time=0", *ids], timeout=60, check=True)
                remove_parents()

    def _unmount(self) -> None:
        for mount in self.mounts():
            subprocess.run(["umount", "--lazy", mount], check=True)

    def _remove_cgroups(self) -> None:
        for path in self.cgroups():
            Cgroup(path, hierarchies()).remove()


def start(folder: Path) -> Run:
    """Begin a run that ends with this process: sweep what earlier ones left, and set a keeper to it."""
    for file, run in _registered():
        if _started(run.pid) != run.started:
            run.sweep()
            file.unlink(missing_ok=True)
    run = Run(uuid.uuid4().hex[:12], os.getpid(), _started(os.getpid()), str(folder))
    REGISTER.mkdir(exist_ok=True)
    (REGISTER / run.id).write_text(json.dumps(asdict(run)))
    # not subprocess: nobody here waits for it; without the mark of a run around this one: it outlives that
    environment = {**os.environ, MARK: "", "PYTHONPATH": str(ROOT)}
    os.posix_spawn(
        sys.executable, [sys.executable, "-m", "tests.keeper", run.id], environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)], setsid=True,
    )  # fmt: skip
    os.environ[MARK] = ":".join(filter(None, (os.environ.get(MARK), run.id)))
    return run


def kill(pids: dict[int, str]) -> None:
    """SIGKILL for all of them."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Wait for a run's end, and sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    file = REGISTER / sys.argv[1]
    run = Run(**json.loads(file.read_text()))
    with contextlib.suppress(ProcessLookupError):
        ended = os.pidfd_open(run.pid)
        if _started(run.pid) == run.started:
            select.select([ended], [], [])
    run.sweep()
    file.unlink(missing_ok=True)


def _registered() -> Iterator[tuple[Path, Run]]:
    for file in REGISTER.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            yield file, Run(**json.loads(file.read_text()))


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _environment(pid: int) -> str:
    """As it was when the program started, with newlines between; "" for one that is gone, or a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").replace("\0", "\n")
    return ""


def _with_environment(run: str) -> set[int]:
    def is_marked(pid: int) -> bool:
        lines = _environment(pid).splitlines()
        return any(line.startswith(f"{MARK}=") and run in line for line in lines)

    return {pid for pid in _pids() if is_marked(pid) and pid != os.getpid()}


def _with_descendants(pids: set[int]) -> set[int]:
    parents = {pid: parent for pid in _pids() if (parent := _field(pid, 1)) and _field(pid, 0) != "Z"}
    while more := {pid for pid, parent in parents.items() if int(parent) in pids} - pids:
        pids |= more
    return pids & parents.keys()


def _field(pid: int, number: int) -> str:
    """A field of /proc/PID/stat, from the state on; "" where there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[number]
    return ""


def _started(pid: int) -> str:
    return _field(pid, 19)


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()[:200]
    return ""


if __name__ == "__main__":
    main()
