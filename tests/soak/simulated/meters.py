"""What measures a machine that is made up: RAPL's files, a chip that knows the packages too, and a board."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from estimator.errors import MeterUnavailable
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import MeterError, PowerMeter, ZoneReading
from estimator.meters.powercap import PowercapMeter
from estimator.meters.several import SeveralMeters
from tests.estimator.meters.rapl_tree import AMD_RANGE_UJ, DRAM_RANGE_UJ, XEON_RANGE_UJ, RaplTree
from tests.exporter.tick.board import PERIOD_SECONDS, Board
from tests.soak.simulated.clock import Clock

N_SOCKETS, CPUS_PER_SOCKET = 2, 4
PACKAGES = tuple(f"intel-rapl:{socket}" for socket in range(N_SOCKETS))
DRAMS = tuple(f"intel-rapl:{socket}:0" for socket in range(N_SOCKETS))
_IDLE_WATTS = {"package": 22.0, "dram": 4.0}
_CPU_WATTS = {"package": 14.0, "dram": 2.0}
_BOARD_WATTS, _WATTS_OF_CPU = 80.0, 18.0
_ASLEEP = 0.03
# What a counter costs that begins anew: since it was read last, which a machine that stalls puts off, until
# it is read for the first time.
RESET_SECONDS = 120.0

Busy = npt.NDArray[np.float64]


class Chip:
    """A PowerMeter of both packages, with a counter of 64 kJ. is_gone: both have vanished."""

    name = "hwmon"
    zones: Set[str] = frozenset({"package"})

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.errors: Sequence[MeterError] = ()
        self.is_gone = False
        self.energy_uj = [0] * N_SOCKETS

    def draw(self, socket: int, joules: float) -> None:
        self.energy_uj[socket] = (self.energy_uj[socket] + round(joules * 1e6)) % (AMD_RANGE_UJ + 1)

    def read(self) -> list[ZoneReading]:
        """See PowerMeter."""
        paths = [f"chip/{socket}" for socket in range(N_SOCKETS)]
        if self.is_gone:
            self.errors = [MeterError(path, "has vanished", vanished=True) for path in paths]
            return []
        self.errors = ()
        now_ns = self._clock.boottime_ns()
        return [
            ZoneReading("package", socket, path, self.energy_uj[socket], AMD_RANGE_UJ, now_ns)
            for socket, path in enumerate(paths)
        ]

    def close(self) -> None:
        """It stays for the next process."""


class Meters:
    """All of them.

    drawn: by zone, the joules in truth; excused: those of them that need not have been counted, since what
    would have told of them was away, set to 0 or began anew. hidden: what a counter that stands still has not
    shown. still, away: which do, and which are gone.
    """

    def __init__(self, sysfs: Path, clock: Clock) -> None:
        self._clock = clock
        self.rapl = RaplTree(sysfs)
        for socket in range(N_SOCKETS):
            self.rapl.add_zone(PACKAGES[socket], f"package-{socket}", XEON_RANGE_UJ // (socket + 2))
            self.rapl.add_zone(DRAMS[socket], "dram", 5_000_000, DRAM_RANGE_UJ)
        self.chip = Chip(clock)
        self.board = Board(gives_watts=True)
        self.drawn: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()
        self._watts: dict[str, float] = {}
        self.still: set[str] = set()
        self.hidden: Counter[str] = Counter()
        self.away: set[str] = set()

    def draw(self, seconds: float, busy: Busy, *, asleep: bool = False) -> None:
        """busy: shape (n_cpu,), the CPUs' worth of work."""
        before = self.drawn.copy()
        part = _ASLEEP if asleep else 1.0
        sockets = busy.reshape(N_SOCKETS, CPUS_PER_SOCKET).sum(axis=1)
        for socket, work in enumerate(sockets.tolist()):
            for zone, zone_id in (("package", PACKAGES[socket]), ("dram", DRAMS[socket])):
                joules = (_IDLE_WATTS[zone] + _CPU_WATTS[zone] * work) * seconds * part
                self._show(zone, zone_id, joules)
                if zone == "package":
                    self.chip.draw(socket, joules)
        joules = (_BOARD_WATTS + _WATTS_OF_CPU * float(busy.sum())) * seconds * part
        self.drawn["platform"] += joules
        self.board.draw(joules)
        self._watts = {zone: (self.drawn[zone] - before[zone]) / seconds for zone in self.drawn}

    def excuse(self, zone: str, seconds: float) -> None:
        """What is drawn in so long a time, at the power of now and half of it again, need not be counted."""
        self.excused[zone] += 1.5 * self._watts.get(zone, 0.0) * seconds

    def _show(self, zone: str, zone_id: str, joules: float) -> None:
        self.drawn[zone] += joules
        if zone_id in self.still:
            self.hidden[zone_id] += joules
        elif zone_id in self.away:
            self.excused[zone] += joules
        else:
            self.rapl.advance(zone_id, joules + self.hidden.pop(zone_id, 0.0))

    def spoil(self, zone_id: str, text: bytes) -> None:
        """What is read is no number, until it goes up again or is mended."""
        if zone_id not in self.away:
            (self.rapl.path(zone_id) / "energy_uj").write_bytes(text)

    def reset(self, zone_id: str) -> None:
        self.excuse("package" if zone_id in PACKAGES else "dram", RESET_SECONDS)
        self.rapl.advance(zone_id, -self.rapl.energy_uj(zone_id) / 1e6)

    def take_away(self, zone_id: str) -> None:
        """With those below it."""
        for zone in ("package", "dram"):
            self.excuse(zone, RESET_SECONDS)
        self.rapl.remove(zone_id)
        self.away |= {each for each in (*PACKAGES, *DRAMS) if each.startswith(zone_id)}

    def bring_back(self, zone_id: str, energy_uj: int | None = None) -> None:
        self.rapl.restore(zone_id, energy_uj)
        self.away -= {each for each in (*PACKAGES, *DRAMS) if each.startswith(zone_id)}

    def boot(self) -> None:
        """All counters begin at 0, and all are there."""
        self.excuse("platform", 2 * PERIOD_SECONDS)
        for zone_id in PACKAGES:
            if zone_id in self.away:
                self.bring_back(zone_id)
        for zone_id in DRAMS:
            if zone_id in self.away:
                self.bring_back(zone_id)
        self.still.clear()
        self.hidden.clear()
        for zone_id in (*PACKAGES, *DRAMS):
            self.reset(zone_id)
        self.chip.energy_uj = [0] * N_SOCKETS
        self.chip.is_gone = False
        self.board.hanging = self.board.failing = 0
        self.board._answered_ns = None
        self.board.answered_joules = self.board.drawn_joules

    def opened(self) -> SeveralMeters:
        """As a new process opens them: RAPL is preferred to the chip."""
        clock = self._clock

        def slept_ns() -> int:
            return clock.slept_ns

        meters: list[PowerMeter] = [self.chip, self.board.meter(lambda: clock.boottime_ns() / 1e9)]
        with suppress(MeterUnavailable):  # it went, and comes back for the next process
            meters.insert(0, PowercapMeter(self.rapl.root, clock=clock.boottime_ns))
        return SeveralMeters([MeteredEnergy(each, slept_ns) for each in meters], clock=clock.boottime_ns)
