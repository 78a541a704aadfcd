"""A real container without Kubernetes or a registry: busybox-static in a directory, run by podman."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.live.sandbox import run_tag
from tests.programs import program

PODMAN = ("podman", "--cgroup-manager=cgroupfs", "--runtime=runc")
# podman asks for more than a small machine allows.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")
ALONE = ("--network=none",)
SLEEP = ("/bin/busybox", "sleep", "600")
BUSY = ("/bin/sh", "-c", "while :; do :; done")
CGROUPS = Path("/sys/fs/cgroup")
ROOT = Path(__file__).resolve().parents[2]
_STARTED = ("podman", "runc", "conmon")


class PodmanContainer:
    """`with PodmanContainer("name", BUSY) as container:` runs it, then removes it and what podman leaves.

    id: 64 hex digits. pid: of its first process. cgroup_paths: by v1 controller ("cpu", "memory", ...), with
    the v2 one under "". options: more of podman's; without any it has no network. Raises RuntimeError with
    podman's own words if it does not start, ProgramMissing.
    """

    def __init__(self, name: str, command: Sequence[str] = SLEEP, options: Sequence[str] = ALONE) -> None:
        for each in _STARTED:
            program(each)
        self.name = name
        self.command = tuple(command)
        self.options = tuple(options)
        self.id = ""
        self.pid = 0
        self.cgroup_paths: dict[str, str] = {}

    def __enter__(self) -> PodmanContainer:
        self._before = set(_parents())
        self._rootfs = Path(tempfile.mkdtemp(prefix="podjoule-rootfs-"))
        try:
            _make_rootfs(self._rootfs)
            named = (f"--name={self.name}", f"--label=run={run_tag()}")
            options = ("--detach", *named, *LIMITS, *self.options, "--rootfs", str(self._rootfs))
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

    def log(self) -> str:
        """What it wrote so far."""
        return _podman("logs", self.name)

    def exit_code(self) -> int:
        """Once it has ended by itself."""
        return int(_podman("wait", self.name))

    def remove(self) -> None:
        """End it, and leave no container, no directory and no cgroup that was not there before."""
        try:
            _podman("rm", "--force", "--ignore", "--time=0", self.name)
        finally:
            shutil.rmtree(self._rootfs, ignore_errors=True)
        remove_parents(self._before)


def as_here() -> tuple[str, ...]:
    """The options with which a container runs this interpreter on this checkout, and sees all of the host's
    network."""
    here = [Path(each).resolve() for each in (ROOT, sys.prefix, sys.base_prefix, *filter(None, sys.path))]
    places = {str(each): str(each) for each in here if each.exists()}
    places |= {each: str(Path(each).resolve()) for each in ("/usr", "/lib", "/lib64") if Path(each).exists()}
    volumes = [f"--volume={source}:{place}:ro" for place, source in sorted(places.items())]
    return (
        "--network=host",
        "--privileged",
        f"--workdir={ROOT}",
        *volumes,
        "--volume=/etc/ld.so.cache:/etc/ld.so.cache:ro",
    )


def remove_parents(before: Collection[Path] = ()) -> None:
    """Take away the cgroups above containers that were not there before, where nobody uses them."""
    for parent in set(_parents()) - set(before):
        _remove_cgroup(parent)


def _podman(*arguments: str) -> str:
    done = subprocess.run([*PODMAN, *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"podman {' '.join(arguments)}: {done.stderr.strip()}")
    return (done.stdout + done.stderr if arguments[0] == "logs" else done.stdout).strip()


def _make_rootfs(directory: Path) -> None:
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (directory / name).mkdir()
    shutil.copy(program("busybox"), directory / "bin/busybox")
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
