"""Two podjoules of one machine, as the host and the guest of an emulator that does nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest

from exporter.guests.tree import RANGE_UJ
from tests.e2e.servers import Plant, Podjoule, after_another_tick
from tests.estimator.meters.rapl_tree import RaplTree
from tests.live.sandbox import BUSY, Cgroup, cgroup, stop
from tests.programs import program
from tests.vm.guest_host import books_of

pytestmark = [pytest.mark.e2e]

UUID = "0f9e7a52-93a1-4bbd-8a3e-3c3a6d1b7c11"
WATTS, INTERVAL_SECONDS = 60.0, 0.5


@dataclass
class Place:
    """A meter, a machine's cgroup with its emulator and a load in it, and where its tree comes to be."""

    folder: Path
    scope: Cgroup
    processes: tuple[Popen[bytes], ...]

    @property
    def tree(self) -> Path:
        return self.folder / "guests" / UUID

    @property
    def counter(self) -> Path:
        return self.tree / "intel-rapl:0/energy_uj"

    def host(self, name: str) -> Podjoule:
        share = (f"--vm.share-dir={self.folder}/guests", f"--state.dir={self.folder}/state")
        return self._run(name, self.folder / "sys/class/powercap", *share)

    def guest(self) -> Podjoule:
        return self._run("guest", self.tree)

    def _run(self, name: str, powercap: Path, *arguments: str) -> Podjoule:
        common = (f"--monitor.interval={INTERVAL_SECONDS}s", "--kube.enabled=false", "--ebpf.loader=none")
        log = self.folder / f"{name}.log"
        return Podjoule(f"--host.powercap={powercap}", *common, *arguments, log=log)

    def counter_uj(self) -> int:
        return int(self.counter.read_text())

    def end(self) -> None:
        """The machine is off."""
        stop(*self.processes)
        self.scope.remove()


@pytest.fixture
def place(tmp_path: Path, require_root: None) -> Iterator[Place]:
    rapl = RaplTree(tmp_path / "sys")
    rapl.add_zone("intel-rapl:0", "package-0", 1_000_000)
    with cgroup("host") as group, Plant(rapl, {"intel-rapl:0": WATTS}):
        scope = group.child("machine-qemu-1-web.scope").make()
        command = [program("qemu-system-x86_64"), "-machine", "none", "-display", "none", "-nodefaults", "-S"]
        processes = scope.spawn([*command, "-uuid", UUID]), scope.python(BUSY)
        try:
            yield Place(tmp_path, scope, processes)
        finally:
            stop(*processes)


def eventually(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def drawn(first_uj: int, last_uj: int) -> float:
    """Joules between two readings of a counter."""
    return (last_uj - first_uj) % (RANGE_UJ + 1) / 1e6


def counted_joules(guest: Podjoule) -> float:
    return books_of(after_another_tick(f"{guest.url}/metrics"), "package")["total"]


def test_over_a_kill_and_a_restart_of_the_host_a_guest_counts_all_that_it_was_billed(place: Place) -> None:
    with place.host("first") as host:
        eventually(place.counter.exists)
        with place.guest() as guest:
            eventually(lambda: counted_joules(guest) > 0)
            host.process.kill()
            host.process.wait()
            first_uj, first_joules = place.counter_uj(), counted_joules(guest)
            with place.host("second"):
                eventually(lambda: drawn(first_uj, place.counter_uj()) > 60.0)
            last_uj, last_joules = place.counter_uj(), counted_joules(guest)
            assert last_joules - first_joules == pytest.approx(drawn(first_uj, last_uj), abs=1e-6)
            assert 'source="host"' in guest.metrics()
    assert "gap" not in (place.folder / "guest.log").read_text()


def test_a_machine_that_ends_while_nobody_is_there_leaves_no_tree(place: Place) -> None:
    with place.host("first"):
        eventually(place.counter.exists)
    assert place.counter.exists(), "guests go on with it"
    place.end()
    with place.host("second"):
        eventually(lambda: not place.tree.exists())
