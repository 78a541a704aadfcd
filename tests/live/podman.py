"""A real container without Kubernetes or a registry: busybox-static in a directory, run by podman."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

PODMAN = ("podman", "--cgroup-manager=cgroupfs", "--runtime=runc")
# podman asks for more than a small machine allows.
LIMITS = ("--network=none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")
SLEEP = ("/bin/busybox", "sleep", "600")
BUSY = ("/bin/sh", "-c", "while :; do :; done")
CGROUPS = Path("/sys/fs/cgroup")
NEEDED = ("podman", "runc", "busybox")


def missing() -> list[str]:
    """The programs that are not there; a test skips with these words."""
    return [program for program in NEEDED if shutil.which(program) is None]


class PodmanContainer:
    """`with PodmanContainer("name", BUSY) as container:` runs it, then removes it and what podman leaves.

    id: 64 hex digits. pid: of its first process. cgroup_paths: by v1 controller ("cpu", "memory", ...), with
    the v2 one under "". Raises RuntimeError with podman's own words if it does not start.
    """

    def __init__(self, name: str, command: Sequence[str] = SLEEP) -> None:
        self.name = name
        self.command = tuple(command)
        self.id = ""
        self.pid = 0
        self.cgroup_paths: dict[str, str] = {}

    def __enter__(self) -> PodmanContainer:
        self._before = set(_parents())
        self._rootfs = Path(tempfile.mkdtemp(prefix="podjoule-rootfs-"))
        try:
            _make_rootfs(self._rootfs)
            options = ("--detach", f"--name={self.name}", *LIMITS, "--rootfs", str(self._rootfs))
            self.id = _podman("run", *options, *self.command)
            self.pid = int(_podman("inspect", "--format={{.State.Pid}}", self.id))
            self.cgroup_paths = _cgroup_paths(self.pid)
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def stop(self) -> None:
        """End it now; podman keeps its name until `remove`."""
        _podman("stop", "--time=0", self.name)

    def remove(self) -> None:
        """End it, and leave no container, no directory and no cgroup that was not there before."""
        try:
            _podman("rm", "--force", "--ignore", "--time=0", self.name)
        finally:
            shutil.rmtree(self._rootfs, ignore_errors=True)
        for parent in set(_parents()) - self._before:
            _remove_cgroup(parent)


def _podman(*arguments: str) -> str:
    done = subprocess.run([*PODMAN, *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"podman {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _make_rootfs(directory: Path) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("busybox is missing: apt-get install busybox-static")
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (directory / name).mkdir()
    shutil.copy(busybox, directory / "bin/busybox")
    (directory / "bin/sh").symlink_to("busybox")


def _cgroup_paths(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    entries = (line.split(":", 2) for line in lines)
    return {controller: path for _, controllers, path in entries for controller in controllers.split(",")}


def _parents() -> list[Path]:
    """What runc makes above its containers, in every hierarchy, and never removes."""
    return [*CGROUPS.glob("libpod_parent"), *CGROUPS.glob("*/libpod_parent")]


def _remove_cgroup(parent: Path, seconds: float = 2.0) -> None:
    """conmon may still be on its way out; a cgroup that others use stays."""
    deadline = time.monotonic() + seconds
    while parent.exists() and time.monotonic() < deadline:
        with suppress(OSError):
            for child in parent.iterdir():
                if child.is_dir():
                    child.rmdir()
            parent.rmdir()
        time.sleep(0.01)
