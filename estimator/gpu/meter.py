"""GPUs as a power meter: their counters, or their watts, and beside these who keeps them busy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import Protocol

from estimator.gpu.activity import ActivityLog, look_at
from estimator.gpu.port import Gpu, GpuError, GpuLibrary, PlaceUse
from estimator.meters.integrated import IntegratedCounter
from estimator.meters.port import MeterError, ZoneReading

log = logging.getLogger(__name__)

PERIOD_SECONDS = 0.1
"""How often the meter is to be read: what gives watts alone is added up from as many."""
_LOOK_SECONDS, _LIST_SECONDS = 1.0, 10.0
_RANGE_UJ = 2**64 - 1


class Pids(Protocol):
    """What knows where processes are: ebpf.pids.PidDirectory."""

    def cgroups(self, pids: Collection[int]) -> Mapping[int, int]:
        """Cgroup ids by PID, of the processes that are there. Raises OSError."""

    def close(self) -> None:
        """Let go of it."""


class NoPids:
    """Where nobody knows."""

    def cgroups(self, pids: Collection[int]) -> Mapping[int, int]:  # noqa: ARG002  the port's signature
        """None is known."""
        return {}

    def close(self) -> None:
        """Nothing is held."""


class GpuMeter:
    """A PowerMeter over a GpuLibrary, which may let each call wait: for a thread of its own.

    Reads energy each time, who is there each second, and which GPUs there are each ten; what it sees goes
    into `seen`. pids: closed with the meter. boottime_ns: CLOCK_BOOTTIME.
    """

    zones: Set[str] = frozenset({"gpu"})

    def __init__(
        self,
        library: GpuLibrary,
        seen: ActivityLog,
        pids: Pids,
        boottime_ns: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    ) -> None:
        self.name = library.name
        self.errors: Sequence[MeterError] = ()
        self._library, self._seen, self._pids, self._boottime_ns = library, seen, pids, boottime_ns
        self._gpus: Sequence[Gpu] = ()
        self._integrated: dict[str, IntegratedCounter] = {}
        self._named: Mapping[int, int] = {}
        self._listed_ns = self._looked_ns = -1

    def read(self) -> list[ZoneReading]:
        """See PowerMeter. One GPU that fails costs itself alone; all of them raise GpuError."""
        now_ns = self._boottime_ns()
        errors: list[MeterError] = []
        if self._listed_ns < 0 or now_ns - self._listed_ns >= _LIST_SECONDS * 1e9:
            errors += self._list(now_ns)
        readings = [reading for gpu in self._gpus if (reading := self._read(gpu, errors))]
        if now_ns - self._looked_ns >= _LOOK_SECONDS * 1e9:
            self._look(now_ns, errors)
        self.errors = errors
        return readings

    def close(self) -> None:
        """See PowerMeter."""
        self._library.close()
        self._pids.close()

    def _list(self, now_ns: int) -> list[MeterError]:
        """Take over which GPUs there are; those that went are errors."""
        before, self._gpus = self._gpus, self._library.gpus()
        self._listed_ns = now_ns
        here = {gpu.uuid for gpu in self._gpus}
        return [
            MeterError(gpu.uuid, f"GPU {gpu.index} is gone", vanished=True)
            for gpu in before
            if gpu.uuid not in here
        ]

    def _read(self, gpu: Gpu, errors: list[MeterError]) -> ZoneReading | None:
        try:
            energy_uj = self._library.energy_uj(gpu)
            if energy_uj is None:
                return self._integrate(gpu, errors)
        except (GpuError, ValueError) as error:
            errors.append(MeterError(gpu.uuid, str(error), vanished=False))
            return None
        return ZoneReading(
            "gpu",
            None,
            gpu.uuid,
            energy_uj,
            _RANGE_UJ,
            self._boottime_ns(),
            gpu.most_watts,
            source=self.name,
            device=gpu.address,
        )

    def _integrate(self, gpu: Gpu, errors: list[MeterError]) -> ZoneReading | None:
        counter = self._integrated.get(gpu.uuid)
        if counter is None:
            counter = self._integrated[gpu.uuid] = IntegratedCounter(
                "gpu", None, gpu.uuid, PERIOD_SECONDS, device=gpu.address, most_watts=gpu.most_watts
            )
        if gap := counter.take(self._library.watts(gpu), self._boottime_ns()):
            errors.append(gap)
        return counter.reading()

    def _look(self, now_ns: int, errors: list[MeterError]) -> None:
        """Who kept each GPU busy since the last look; the first begins it."""
        uses: list[PlaceUse] = []
        for gpu in self._gpus:
            try:
                uses += self._library.use(gpu)
            except GpuError as error:
                errors.append(MeterError(gpu.uuid, str(error), vanished=False))
                uses += [PlaceUse(place, is_told=False) for place in _places(gpu)]
        seconds = (now_ns - self._looked_ns) / 1e9 if self._looked_ns >= 0 else 0.0
        self._looked_ns = now_ns
        self._seen.add(look_at(self._gpus, uses, seconds, self._name))

    def _name(self, pids: Collection[int]) -> Mapping[int, int]:
        """Their cgroups; of one that has ended since the last look, where it was then."""
        before = {pid: self._named[pid] for pid in pids if pid in self._named}
        try:
            self._named = before | dict(self._pids.cgroups(pids))
        except OSError as error:
            self._named = before
            log.debug("where processes of GPUs are cannot be looked up: %s", error)
        return self._named


def _places(gpu: Gpu) -> list[str]:
    return [each.uuid for each in gpu.instances] or [gpu.uuid]
