"""What goes wrong in a day, at random from the seed: each trouble begins, and most are over after a while."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from tests.exporter.tick.board import PERIOD_SECONDS
from tests.soak.simulated.meters import DRAMS, PACKAGES

if TYPE_CHECKING:
    from tests.soak.simulated.day import Day

_HOUR = 3_600.0
_ALL_HAPPEN_HOURS = 6.0
_NONSENSE = (b"", b"\n", b"0x12\n", b"energy\n", b"-5\n")


@dataclass(order=True)
class _Due:
    seconds: float
    number: int
    do: Callable[[], None] = field(compare=False)


class Troubles:
    """What happens how often an hour, and more often in less than a few of them: all of it is to happen.

    done: how often it did; last_outage: when the API server was last gone.
    """

    def __init__(self, day: Day, seconds: float, rng: Random) -> None:
        self.done: Counter[str] = Counter()
        self.last_outage = -1e9
        self._day, self._rng = day, rng
        self._machine = day.machine
        self._more = max(1.0, _ALL_HAPPEN_HOURS * _HOUR / seconds)
        self._over: list[_Due] = []
        self._kinds: dict[str, tuple[float, Callable[[], None]]] = {
            "counter reads as no number": (4.0, self._spoil),
            "package's counter stands still": (2.0, self._stand_still),
            "DRAM's counter is set to 0": (1.0, self._reset),
            "DRAM's counter vanishes": (1.0, self._dram_vanishes),
            "RAPL of a socket vanishes": (0.4, self._socket_vanishes),
            "RAPL vanishes": (0.4, self._rapl_vanishes),
            "chip vanishes": (0.4, self._chip_vanishes),
            "board says nothing": (0.5, self._board_hangs),
            "counts cannot be read": (2.0, self._counts_fail),
            "API server is gone": (0.8, self._api_goes),
            "API server forgets": (1.0, self._api_forgets),
            "clock is set": (1.5, self._set_clock),
            "no tick for a while": (1.0, self._stall),
            "machine sleeps": (0.15, self._sleep),
            "kill -9 and a new start": (1.5, lambda: self._restart(by="kill")),
            "SIGTERM and a new start": (1.5, lambda: self._restart(by="end")),
            "reboot": (0.12, self._reboot),
        }

    def happen(self, seconds: float) -> None:
        """What befalls the machine in this time, and what is over by now."""
        now = self._machine.clock.lived_seconds
        while self._over and self._over[0].seconds <= now:
            heapq.heappop(self._over).do()
        for name, (an_hour, begin) in self._kinds.items():
            is_restart = name.endswith(("start", "reboot"))
            happens = self._rng.random() < self._more * an_hour * seconds / _HOUR
            if happens and not (is_restart and self._day.grows_old):
                self.done[name] += 1
                begin()

    def end_all(self) -> None:
        """Everything is put right."""
        while self._over:
            heapq.heappop(self._over).do()

    def _later(self, low: float, high: float, do: Callable[[], None]) -> None:
        due = self._machine.clock.lived_seconds + self._rng.uniform(low, high)
        heapq.heappush(self._over, _Due(due, sum(self.done.values()), do))

    def _spoil(self) -> None:
        """At the moment of one reading; the next tick's energy is written over it."""
        zone_id, nonsense = self._rng.choice((*PACKAGES, *DRAMS)), self._rng.choice(_NONSENSE)
        self._day.before_tick.append(lambda: self._machine.meters.spoil(zone_id, nonsense))

    def _stand_still(self) -> None:
        zone_id = self._rng.choice(PACKAGES)
        self._machine.meters.still.add(zone_id)
        self._later(10.0, 120.0, lambda: self._machine.meters.still.discard(zone_id))

    def _reset(self) -> None:
        self._machine.meters.reset(self._rng.choice(DRAMS))

    def _dram_vanishes(self) -> None:
        self._take_away(self._rng.choice(DRAMS), 20.0, 600.0)

    def _socket_vanishes(self) -> None:
        self._take_away(self._rng.choice(PACKAGES), 20.0, 900.0)

    def _rapl_vanishes(self) -> None:
        """For longer than others wait before they serve its zones."""
        for zone_id in PACKAGES:
            self._take_away(zone_id, 300.0, 1_200.0)

    def _take_away(self, zone_id: str, low: float, high: float) -> None:
        meters = self._machine.meters
        if zone_id in meters.away or zone_id in meters.still:
            return
        energy_uj = self._rng.choice((None, 0))
        meters.take_away(zone_id)
        boot_id = self._machine.boot_id

        def bring_back() -> None:
            if self._machine.boot_id == boot_id and zone_id in meters.away:
                meters.bring_back(zone_id, energy_uj)

        self._later(low, high, bring_back)

    def _chip_vanishes(self) -> None:
        chip = self._machine.meters.chip
        chip.is_gone = True

        def come_back() -> None:
            chip.is_gone = False

        self._later(20.0, 900.0, come_back)

    def _board_hangs(self) -> None:
        board = self._machine.meters.board
        self._machine.meters.excuse("platform", 12 * PERIOD_SECONDS)
        if self._rng.random() < 0.5:
            board.hanging = self._rng.randint(1, 60)
        else:
            board.failing = self._rng.randint(1, 5)

    def _counts_fail(self) -> None:
        self._machine.counts.failing = self._rng.randint(1, 3)

    def _api_goes(self) -> None:
        server = self._machine.server
        server.is_out = True

        def come_back() -> None:
            server.is_out = False
            self.last_outage = self._machine.clock.awake_seconds

        self._later(10.0, 1_500.0, come_back)

    def _api_forgets(self) -> None:
        self._day.exporter.list_pods_anew()

    def _set_clock(self) -> None:
        """A little as a rule; by hours where somebody sets it by hand, and then it is put right."""
        if self._rng.random() < 0.8:
            self._machine.clock.step(self._rng.uniform(-2.0, 2.0))
            return
        seconds = self._rng.uniform(-2.0, 2.0) * _HOUR
        self._machine.clock.step(seconds)
        self._later(60.0, 900.0, lambda: self._machine.clock.step(-seconds))

    def _stall(self) -> None:
        self._day.live_on(self._rng.uniform(10.0, 90.0))

    def _sleep(self) -> None:
        """The board gives watts alone: what was drawn in a hole of some minutes it cannot tell."""
        seconds = self._rng.uniform(60.0, 1_800.0)
        self._machine.meters.excuse("platform", 2 * PERIOD_SECONDS + seconds)
        self._machine.sleep(seconds)

    def _restart(self, by: str) -> None:
        away_seconds = self._rng.uniform(0.0, 60.0)
        self._machine.meters.excuse(
            "platform", away_seconds + 3 * PERIOD_SECONDS
        )  # which a process integrates
        self._day.restart(by, away_seconds)

    def _reboot(self) -> None:
        self._day.reboot()
