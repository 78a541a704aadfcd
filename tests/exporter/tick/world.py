"""A machine that is made up: what it draws and runs is known to the microjoule and nanosecond, and its faults
are those of real ones. The exporter on it is the real one, from the files of sysfs to the page."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ebpf.fake import FakeCounterSource
from estimator.calibration.calibration import Calibration
from estimator.machine.topology import read_topology
from estimator.meters.difference import DEFAULT_PLAUSIBLE_WATTS, PLAUSIBLE_WATTS
from estimator.meters.metered import MeteredEnergy
from estimator.meters.powercap import PowercapMeter
from estimator.meters.powercap_counter import open_file, read_file
from estimator.meters.several import SeveralMeters
from exporter.restarts.continuity import FILE, Clocks, Continuity
from exporter.tick.calibrated import CalibratedEnergy, CalibrationFile
from exporter.tick.measurement import Tick
from exporter.tick.model_watch import CurrentCoefficients
from exporter.tick.power import Power
from exporter.tick.ticker import Ticker
from tests.estimator.meters.rapl_tree import XEON_RANGE_UJ, RaplTree
from tests.exporter.nodes import Node, Samples, container, in_pod
from tests.exporter.tick.board import Board

BOOT = "b7c0"
CPUS_PER_SOCKET, THREADS = 4, 2
WATTS_OF_CPU = 10.0
IDLE_WATTS = {"package": 8.0, "dram": 2.0, "core": 0.0, "uncore": 0.0, "psys": 5.0}
CPU_WATTS = {"package": 10.0, "dram": 1.0, "core": 7.0, "uncore": 0.5, "psys": 12.0}
ASLEEP = 0.05
BOARD_WATTS, WATTS_OF_BOARD = 60.0, 20.0
PATIENCE_SECONDS = 300.0
UNREAD_RANGE = 0.8


@dataclass
class Zone:
    """A counter of the machine.

    shown_uj: what it went up by since the world began; hidden_uj: what was drawn while it stood still.
    unread_joules: what it can have drawn at the most since it was read. failing: how many reads fail.
    ahead_uj: what the next reading alone shows too much; lied_uj: the sum of it since all was calm,
    and late_uj of what was shown late; unseen_uj of what it stood at when it was reset, which is lost unseen
    where it has drawn as much again when it is read.
    blocking: seconds that the next read takes. swaps: how often it was taken away.
    in_doubt: since all was calm something befell it that costs energy, or that cannot be told from another.
    told, told_ns: in how many ticks of this process it had energy, and when last.
    """

    zone_id: str
    name: str
    socket: int | None
    range_uj: int
    shown_uj: int = 0
    hidden_uj: int = 0
    is_stuck: bool = False
    still_seconds: float = 0.0
    unread_joules: float = 0.0
    failing: int = 0
    ahead_uj: int = 0
    lied_uj: int = 0
    late_uj: int = 0
    unseen_uj: int = 0
    blocking: float = 0.0
    swaps: int = 0
    is_there: bool = True
    in_doubt: bool = True
    told: int = 0
    told_ns: int = 0

    def watts(self, busy: Sequence[float]) -> float:
        """busy: the CPUs' worth of work on each socket."""
        mine = sum(busy) if self.socket is None else busy[self.socket]
        n_packages = len(busy) if self.socket is None else 1
        return IDLE_WATTS[self.name] * n_packages + CPU_WATTS[self.name] * mine


@dataclass
class World:
    """Time, CPUs, cgroups and counters. online: CPUs, of which each socket has four in a row.

    tells_no_socket: whether the last tick was the first of a process that goes on from another's counts, and
    that does not see CPUs which the other saw: see UsageTracker.resume.
    """

    folder: Path
    sockets: int
    online: set[int]
    zones: Sequence[str]
    range_uj: int = XEON_RANGE_UJ
    most_watts: float | None = None
    start_uj: int = 0
    is_pinned: bool = True
    idle_policy: str = "none"
    board: Board | None = None
    is_calm: bool = False
    tells_no_socket: bool = False
    slept_ns: int = 0
    wall_seconds: float = 1.76e9
    capacity_seconds: float = 0.0
    used_seconds: float = 0.0
    unseen: set[int] = field(default_factory=set)
    ticks: list[Tick] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree = RaplTree(self.folder / "sys")
        self.source = FakeCounterSource(n_cpu=self.sockets * CPUS_PER_SOCKET)
        self.source.identity = f"{BOOT} map 5" if self.is_pinned else ""
        self.counters: dict[str, Zone] = {}
        self._ran: set[int] = set()
        self._seen_at_start: set[int] = set()
        self._begins_without_cpus = False
        self._open: dict[int, tuple[str, int]] = {}
        for socket in range(self.sockets):
            self._add(f"intel-rapl:{socket}", "package", socket)
            below = [name for name in self.zones if name not in ("package", "psys")]
            for index, name in enumerate(below):
                self._add(f"intel-rapl:{socket}:{index}", name, socket)
        if "psys" in self.zones:
            self._add(f"intel-rapl:{self.sockets:x}", "psys", None)
        self._write_cpus()
        for socket in range(self.sockets):
            for path in self.paths(socket):
                self.source.add(path)
        (self.folder / "state").mkdir()
        self.seen = set(self.online)

    def _add(self, zone_id: str, name: str, socket: int | None) -> None:
        label = f"package-{socket}" if name == "package" else name
        self.counters[zone_id] = Zone(zone_id, name, socket, self.range_uj)
        path = self.tree.add_zone(zone_id, label, self.start_uj, self.range_uj)
        if self.most_watts:
            (path / "constraint_0_name").write_text("long_term\n")
            (path / "constraint_0_max_power_uw").write_text(f"{round(self.most_watts * 1e6)}\n")

    def paths(self, socket: int) -> tuple[str, str]:
        """The cgroups that run on a socket, and nowhere else."""
        return container(socket + 101), in_pod(socket + 201, pod=socket + 100)

    @property
    def boottime_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return self.source.monotonic_ns + self.slept_ns

    def plausible_watts(self, zone: str) -> float:
        """The most that a counter of this machine is taken to draw."""
        if self.most_watts:
            return 4 * self.most_watts
        return PLAUSIBLE_WATTS.get(zone, DEFAULT_PLAUSIBLE_WATTS)

    def may_pass_its_range(self, zone: Zone, seconds: float) -> bool:
        """Whether it may be taken to have wrapped more than once in so long a time."""
        return self.plausible_watts(zone.name) * seconds > UNREAD_RANGE * zone.range_uj / 1e6

    def ids(self, socket: int) -> list[int]:
        """Of the cgroups that run on a socket."""
        return [self.source._id_of[path] for path in self.paths(socket)]

    # what happens

    def live(self, seconds: float, loads: Sequence[int] = (), *, idle: bool = False) -> None:
        """Time passes. loads: percent of a CPU, by its number."""
        self.source.advance(seconds)
        self.wall_seconds += seconds
        busy = [0.0] * self.sockets
        for cpu in sorted(self.online) if not idle else []:
            share = (loads[cpu % len(loads)] if loads else 50) / 100
            busy[cpu // CPUS_PER_SOCKET] += share
            self.use(self.paths(cpu // CPUS_PER_SOCKET)[cpu % 2], seconds * share, cpu)
        self.capacity_seconds += len(self.online) * seconds
        self._draw(seconds, busy, 1.0)

    def busy(self, percent: int) -> list[float]:
        """The CPUs' worth of work on each socket where every CPU that is online has so much."""
        return [
            percent / 100 * sum(cpu // CPUS_PER_SOCKET == socket for cpu in self.online)
            for socket in range(self.sockets)
        ]

    def sleep(self, seconds: float) -> None:
        """The machine is suspended."""
        self.slept_ns += round(seconds * 1e9)
        self.wall_seconds += seconds
        self._draw(seconds, [0.0] * self.sockets, ASLEEP)

    def use(self, path: str, seconds: float, cpu: int) -> None:
        """A cgroup runs."""
        nanoseconds = round(seconds * 1e9)
        self.source.use(path, nanoseconds / 1e9, cpu=cpu, cycles=nanoseconds * 3)
        self.used_seconds += nanoseconds / 1e9
        self._ran.add(cpu)
        if cpu not in self.seen:
            self.unseen.add(cpu)

    def _draw(self, seconds: float, busy: Sequence[float], factor: float) -> None:
        for zone in self.counters.values():
            if not zone.is_there:
                continue
            drawn_uj = round(zone.watts(busy) * factor * seconds * 1e6)
            if zone.is_stuck:
                zone.hidden_uj += drawn_uj
            else:
                self._show(zone, drawn_uj)
            zone.unread_joules += self.plausible_watts(zone.name) * seconds * (1.0 if factor == 1.0 else 0.1)
            zone.in_doubt |= zone.unread_joules > UNREAD_RANGE * zone.range_uj / 1e6
            zone.still_seconds = zone.still_seconds + seconds if zone.is_stuck else 0.0
        if self.board is not None:
            self.board.draw((BOARD_WATTS + WATTS_OF_BOARD * sum(busy)) * factor * seconds)

    def _show(self, zone: Zone, drawn_uj: int) -> None:
        zone.shown_uj += drawn_uj
        self.tree.advance(zone.zone_id, drawn_uj / 1e6)

    # what befalls the counters

    def unstick(self, zone: Zone, *, catches_up: bool = True) -> None:
        """A counter goes on, with what was drawn meanwhile or without it."""
        if zone.still_seconds >= PATIENCE_SECONDS - 60:
            zone.in_doubt = True  # its time was told as one in which nothing was drawn
        zone.is_stuck, hidden_uj, zone.hidden_uj = False, zone.hidden_uj, 0
        if catches_up:
            self._show(zone, hidden_uj)
            zone.late_uj += hidden_uj

    def reset(self, zone: Zone) -> None:
        """A counter begins at 0."""
        zone.in_doubt = True
        zone.hidden_uj = 0
        zone.unseen_uj += self.tree.energy_uj(zone.zone_id)
        self.tree.advance(zone.zone_id, -self.tree.energy_uj(zone.zone_id) / 1e6)

    def take_away(self, zone: Zone) -> None:
        """A zone goes, and those below it."""
        self.tree.remove(zone.zone_id)
        for each in self._with_inner(zone):
            each.is_there, each.in_doubt, each.is_stuck, each.hidden_uj = False, True, False, 0
            each.swaps += 1

    def bring_back(self, zone: Zone, *, energy_uj: int | None = None, name: str = "") -> None:
        """A zone returns, maybe as another one, and those below it."""
        if name and name != zone.name:
            zone.name = name
            self.tree.rename(zone.zone_id, name)
            zone.shown_uj = 0
        self.tree.restore(zone.zone_id, energy_uj)
        for each in self._with_inner(zone):
            each.is_there = each.in_doubt = True

    def _with_inner(self, zone: Zone) -> list[Zone]:
        inner = f"{zone.zone_id}:"
        return [each for each in self.counters.values() if f"{each.zone_id}:".startswith(inner)]

    def set_online(self, cpus: Iterable[int]) -> None:
        """CPUs come and go; a socket without any takes its counters along."""
        self.online = set(cpus)
        self._write_cpus()
        for socket in range(self.sockets):
            package = self.counters[f"intel-rapl:{socket}"]
            is_up = any(cpu // CPUS_PER_SOCKET == socket for cpu in self.online)
            if package.is_there and not is_up:
                self.take_away(package)
            elif not package.is_there and is_up:
                self.bring_back(package)

    def _write_cpus(self) -> None:
        root = self.tree.root / "devices/system/cpu"
        root.mkdir(parents=True, exist_ok=True)
        n_cpu = self.sockets * CPUS_PER_SOCKET
        (root / "possible").write_text(f"0-{n_cpu - 1}\n")
        (root / "online").write_text(",".join(map(str, sorted(self.online))) + "\n")
        for cpu in range(n_cpu):
            place = root / f"cpu{cpu}/topology/physical_package_id"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            if cpu in self.online:
                place.write_text(f"{cpu // CPUS_PER_SOCKET}\n")

    # the exporter

    @property
    def has_lost_sockets(self) -> bool:
        """Whether a process began while CPUs were offline that had run: it cannot know where they sit."""
        return bool(self._ran - self._seen_at_start)

    def start(self) -> Node:
        """An exporter, with all that was kept by the one before it."""
        meter = PowercapMeter(
            self.tree.root, clock=lambda: self.boottime_ns, open_file=self._open_file, read_file=read_file
        )
        meter._read_file = self._read_file
        for counter in meter._counters.values():
            counter._read_file = self._read_file
        meters = [MeteredEnergy(meter, lambda: self.slept_ns)]
        if self.board is not None:
            meters.append(
                MeteredEnergy(self.board.meter(lambda: self.boottime_ns / 1e9), lambda: self.slept_ns)
            )
        metered = SeveralMeters(meters, clock=lambda: self.boottime_ns)
        calibration = Calibration(read_topology(self.tree.root).socket_index)
        energy = CalibratedEnergy(metered, calibration, {}, CalibrationFile(None, ""))
        power = Power(
            energy,
            CurrentCoefficients(energy.coefficients),
            metered.close,
            calibration=calibration,
            meter=metered,
        )
        node = Node(
            source=self.source,
            sysfs=self.tree.root,
            power=power,
            ttl=1e9,
            idle_policy=self.idle_policy,
            boottime_ns=lambda: self.boottime_ns,
        )
        if self.is_pinned:
            lock = os.open(self.folder / "state", os.O_RDONLY)
            clocks = Clocks(wall=lambda: self.wall_seconds, monotonic_ns=lambda: self.source.monotonic_ns)
            keeper = Continuity(self.folder / "state" / FILE, "n1", BOOT, lock, clocks)
            node.measurement.keeper = keeper
            keeper.restore(node.measurement)
        node.begin(node.seconds)
        node.ticker = Ticker(node.config, node.measurement, Watched(node.publisher, self.ticks), node.seconds)
        self._seen_at_start = set(self.online)
        self._begins_without_cpus = self.is_pinned and not self.seen <= self.online
        for zone in self.counters.values():
            zone.told = 0
        return node

    def stop(self, node: Node) -> None:
        """However it ended: nothing is called but what the kernel does."""
        node.measurement.power.close()
        if self.board is not None:
            self.board.stop()
        node.measurement.keeper.close()

    def tick(self, node: Node) -> Samples:
        """One tick of the exporter now; what is on the page then."""
        self.ticks.clear()
        failed = bool(self.source.failures)
        if self.board is not None:
            self.board.answer(self.boottime_ns, at_once=self.is_calm)
        node.ticker.tick()
        if not failed:
            self.tells_no_socket, self._begins_without_cpus = self._begins_without_cpus, False
            self.seen |= self.online
        assert node.publisher.page is not None
        return samples_of(node.publisher.page.body().decode())

    def _open_file(self, path: str) -> int:
        descriptor = open_file(path)
        zone = self.counters[Path(path).parent.name]
        self._open[descriptor] = zone.zone_id, zone.swaps
        return descriptor

    def _read_file(self, descriptor: int) -> bytes:
        """What the kernel answers; the files that are under it are not sysfs'."""
        zone_id, swaps = self._open[descriptor]
        zone = self.counters[zone_id]
        if swaps != zone.swaps:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if zone.failing:
            zone.failing -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if zone.blocking:
            seconds, zone.blocking = zone.blocking, 0.0
            self.live(seconds)
        ahead_uj, zone.ahead_uj, zone.unread_joules = zone.ahead_uj, 0, 0.0
        return b"%d\n" % ((int(read_file(descriptor)) + ahead_uj) % (zone.range_uj + 1))


def samples_of(page: str) -> Samples:
    """The same as nodes.parse, for a page that is known to be well-formed: there are thousands of them."""
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    samples = {_series(series): float(value) for series, _, value in lines if series}
    assert len(samples) == len(lines)
    return samples


@lru_cache(maxsize=65_536)
def _series(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    name, _, labels = text.partition("{")
    return name, tuple(sorted(re.findall(r'(\w+)="([^"]*)"', labels)))


@dataclass
class Watched:
    """A publisher whose ticks are kept."""

    publisher: object
    ticks: list[Tick]

    @property
    def is_empty(self) -> bool:
        """See Publisher."""
        return self.publisher.is_empty  # type: ignore[attr-defined,no-any-return]

    def publish(self, tick: Tick, config: object, when: Callable[[], object]) -> None:
        """See Publisher."""
        self.ticks.append(tick)
        self.publisher.publish(tick, config, when)  # type: ignore[attr-defined]
