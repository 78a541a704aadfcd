"""A powercap tree that draws what it says, whatever its counters show."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from random import Random

from tests.estimator.meters.rapl_tree import DRAM_RANGE_UJ, XEON_RANGE_UJ, RaplTree
from tests.live.restarts import topology

PACKAGE, DRAM = "intel-rapl:0", "intel-rapl:0:0"
WATTS = {PACKAGE: 60.0, DRAM: 12.0}
BEFORE_WRAP_JOULES = 1_500.0
JUMP_JOULES = 50_000.0  # more than any machine draws in the longest interval
NONSENSE = (b"", b"\n", b"0x12\n", b"energy\n", b"-5\n")


class Meter(RaplTree):
    """Two zones. The package's faults cost nothing; what the DRAM's cost has to be counted as a gap.

    drawn: by zone, the joules in truth. `watts` is what a Plant asks.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._lock = threading.RLock()
        self._nonsense: dict[str, bytes] = {}
        self._still: set[str] = set()
        self._more: Counter[str] = Counter()
        self.drawn: Counter[str] = Counter()
        self.add_zone(PACKAGE, "package-0", XEON_RANGE_UJ - round(BEFORE_WRAP_JOULES * 1e6))
        self.add_zone(DRAM, "dram", 5_000_000, DRAM_RANGE_UJ)
        topology(root)

    def watts(self, seconds: float) -> dict[str, float]:
        """What the counters go up by, a second: what is drawn, and what the faults make of it."""
        with self._lock:
            for zone, watts in WATTS.items():
                self.drawn[zone] += watts * seconds
                self._more[zone] += watts * seconds
            moving = [zone for zone in WATTS if zone not in self._still]
            return {zone: self._more.pop(zone, 0.0) / seconds for zone in moving}

    def shift(self, zone: str, joules: float) -> None:
        """Let a counter go up by what nobody drew, or back."""
        with self._lock:
            self._more[zone] += joules

    def reset(self, zone: str) -> None:
        with self._lock:
            self.advance(zone, -self.energy_uj(zone) / 1e6)

    def stand_still(self, zone: str) -> None:
        self._still.add(zone)

    def fail(self, zone: str, nonsense: bytes) -> None:
        """What is read is no number."""
        with self._lock:
            self._nonsense[zone] = nonsense
            self._write_energy(zone)

    def mend(self, zone: str) -> None:
        with self._lock:
            self._still.discard(zone)
            self._nonsense.pop(zone, None)
            if not self.path(zone).exists():
                self.restore(zone)

    def advance(self, zone_id: str, joules: float) -> None:
        with self._lock:
            super().advance(zone_id, joules)

    def remove(self, zone_id: str) -> None:
        with self._lock:
            super().remove(zone_id)

    def _write_energy(self, zone_id: str) -> None:
        if (nonsense := self._nonsense.get(zone_id)) is None:
            super()._write_energy(zone_id)
        else:
            (self._device(zone_id) / "energy_uj").write_bytes(nonsense)


class MeterFaults:
    """Counters that cannot be read, stand still, jump ahead for a moment, are set to 0 or go away."""

    name, pause = "meter", (3.0, 10.0)

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def step(self, rng: Random, stopping: threading.Event) -> str:
        zone = rng.choice((PACKAGE, DRAM))
        fault = rng.choice(("unreadable", "still") if zone == PACKAGE else ("jump", "reset", "gone", "still"))
        seconds = rng.uniform(0.5, 6.0)
        if fault == "unreadable":
            self._meter.fail(zone, rng.choice(NONSENSE))
        elif fault == "still":
            self._meter.stand_still(zone)
        elif fault == "gone":
            self._meter.remove(zone)
        elif fault == "reset":
            self._meter.reset(zone)
            return "reset"
        else:
            self._meter.shift(zone, JUMP_JOULES)
            stopping.wait(min(seconds, 0.4))
            self._meter.shift(zone, -JUMP_JOULES)
            return "jump ahead, and back"
        stopping.wait(seconds)
        self._meter.mend(zone)
        return fault

    def settle(self) -> None:
        for zone in WATTS:
            self._meter.mend(zone)
