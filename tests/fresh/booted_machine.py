"""A distribution booted by the kit `booted`: what is run in it, and what it answers over its own network."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import skip_for_hardware
from tests.e2e.servers import get
from tests.live.sandbox import Cgroup, cgroup
from tests.programs import program

KIT = Path(__file__).with_name("booted")
CACHE = Path(os.environ.get("FRESH_DIR") or Path.home() / ".cache/podjoule/fresh")
# What changes wherever anything is installed, and logs.
_OF_THE_MACHINE = (
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/share",
    "/var/cache",
    "/var/log",
    "/var/lib/dpkg",
    "/root",
)
_NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--net")
_NO_UBUNTU = 3
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Booted:
    """The machine. pid: of its process 1, as this machine counts. share: its folder /share, as it is here."""

    pid: int
    cgroup: Cgroup
    share: Path
    network: ThreadPoolExecutor

    @property
    def root(self) -> Path:
        """Where its root lies for who is beside it."""
        return CACHE / "root"

    @property
    def beside(self) -> tuple[str, ...]:
        """What enters all its namespaces, and sees this machine's files: its own programs lie elsewhere."""
        return program("nsenter"), f"--target={self.pid}", *_NAMESPACES

    def run(self, script: str, *, ok: bool = True) -> str:
        """Run a shell script as its root; what it printed."""
        enter = [*self.beside, "--root", "--wd=/"]
        plain = [
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive",
        ]
        done = subprocess.run([*enter, *plain, "sh", "-ec", script], cwd="/", capture_output=True, text=True)
        assert done.returncode == 0 or not ok, f"{script}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def get(self, path: str) -> str:
        """The body of a page of the exporter in it. Raises OSError where nobody answers."""
        return self.network.submit(get, f"http://127.0.0.1:28283{path}").result()[1]

    def unit(self, name: str) -> Path:
        """The cgroup of a unit."""
        return self.cgroup.folder("v2") / "system.slice" / name

    def pid_of(self, unit: str) -> int:
        """The process of a unit that has one, as this machine counts."""
        return int((self.unit(unit) / "cgroup.procs").read_text())

    def files(self) -> set[str]:
        """Every path in it but those that logs and the package manager have."""
        prune = " -o ".join(f"-path {path}" for path in _OF_THE_MACHINE)
        return set(self.run(f"find / \\( {prune} \\) -prune -o -print").splitlines())


@contextlib.contextmanager
def booted(suite: str, share: Path) -> Iterator[Booted]:
    """Boot it; it is gone afterwards, with all that ran in it."""
    archive_of(suite)
    with cgroup(suite) as place:
        command = [KIT, "hold", CACHE, suite, place.folder("v2"), share]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as holding:
            try:
                pid = _first_process(holding)
                with ThreadPoolExecutor(1, initializer=enter_network, initargs=(pid,)) as network:
                    machine = Booted(pid, place, share, network)
                    _wait_until_up(machine, holding)
                    yield machine
            finally:
                holding.kill()


def archive_of(suite: str) -> Path:
    """Its root as it was before it was booted, packed."""
    code = subprocess.run([KIT, "make", CACHE, suite]).returncode
    if code == _NO_UBUNTU:
        skip_for_hardware("Ubuntu's archive cannot be reached from here")
    assert code == 0, f"{KIT} make {suite} ended with {code}"
    (found,) = CACHE.glob(f"booted-{suite}-*.tar")
    return found


def enter_network(pid: int) -> None:
    """Have the calling thread, and no other, speak on the network of a process."""
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(namespace)


def _first_process(holding: subprocess.Popen[bytes]) -> int:
    """unshare's child, once it is systemd."""
    children = Path(f"/proc/{holding.pid}/task/{holding.pid}/children")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and holding.poll() is None:
        for child in children.read_text().split():
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return int(child)
        time.sleep(0.1)
    raise TimeoutError(f"the machine does not start: {KIT.name} ended with {holding.poll()}")


def _wait_until_up(machine: Booted, holding: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and holding.poll() is None:
        if machine.run("systemctl is-system-running --wait", ok=False).strip() in {"running", "degraded"}:
            return
        time.sleep(0.2)
    raise TimeoutError("systemd does not come up")
