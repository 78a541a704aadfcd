"""Several meters as one source of energy, each zone served by the first that has it; the others are twins,
which are compared with it and stand in for it, and never booked beside it."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set

from estimator.energy import EnergySource, SourceInfo, Usage, ZoneEnergy
from estimator.meters.agreement import MeanPower, Twin, furthest, ratio
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import ZONES, ZoneReading
from estimator.meters.powercap import boottime_ns
from estimator.meters.served_zone import ServedZone

log = logging.getLogger(__name__)

# Clocks of processes are read at other moments than their meters.
_LEAST_GAP_SECONDS = 0.5

# A zone, or one device of it.
_Key = tuple[str, str]


class SeveralMeters:
    """An EnergySource over meters in the order of preference, and a model behind them all, if there is one.

    clock: CLOCK_BOOTTIME, in ns. With one meter alone, what it says is handed on as it is.
    """

    def __init__(
        self,
        meters: Sequence[MeteredEnergy],
        model: EnergySource | None = None,
        clock: Callable[[], int] = boottime_ns,
    ) -> None:
        self.meters, self._model = tuple(meters), model
        self._sources: tuple[EnergySource, ...] = (*meters, *([model] if model else []))
        self._clock = clock
        self._served: dict[_Key, ServedZone] = {}
        self._powers: dict[_Key, dict[int, MeanPower]] = {}
        self._taken_over = self._gaps = self._now_ns = 0
        self._resumed_ns: int | None = None
        self._known: set[str] = set()

    @property
    def info(self) -> SourceInfo:
        """Of the first zone that there is, in the order of ZONES; before any, the first meter."""
        infos = self.infos()
        return next((infos[zone] for zone in ZONES if zone in infos), self._sources[0].info)

    def infos(self) -> Mapping[str, SourceInfo]:
        """See EnergySource."""
        if len(self._sources) == 1:
            return self._sources[0].infos()
        infos: dict[str, SourceInfo] = {}
        for (zone, _), served in self._served.items():
            if served.owner is not None:
                info = self._sources[served.owner].info
                infos[zone] = _together(infos.get(zone, info), info)
        return infos

    @property
    def zones(self) -> Set[str]:
        """Those that a meter is known to have."""
        return frozenset().union(*(meter.zones for meter in self.meters))

    @property
    def last(self) -> Mapping[str, ZoneReading]:
        """See MeteredEnergy.last, of all meters."""
        return {path: reading for meter in self.meters for path, reading in meter.last.items()}

    @property
    def longest_seconds(self) -> float:
        """How long the counters may go unread before one could pass its whole range unseen."""
        return min((meter.longest_seconds for meter in self.meters), default=math.inf)

    def resume(self, last: Mapping[str, ZoneReading], away_seconds: float = 0.0) -> None:
        """Go on from the readings of a process before this one, in the same life of the machine, which ended
        so long ago. A counter that cannot go on, and that no other stands in for, has a gap."""
        self._resumed_ns = self._clock() - round(away_seconds * 1e9)
        for meter in self.meters:
            meter.resume(last)

    def poll(self) -> None:
        """Read in between, where ticks are further apart than the counters' ranges allow; never raises."""
        for meter in self.meters:
            meter.poll()

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        """The energy of each zone by the one that serves it."""
        modelled = (
            [self._model.measure(usage)] if self._model else []
        )  # it may raise: meters are not read then
        told = [*(meter.measure(usage) for meter in self.meters), *modelled]
        if len(told) > 1:
            return self._begun(self._chosen(told))
        return self._begun(told[0])

    def _chosen(self, told: Sequence[Sequence[ZoneEnergy]]) -> list[ZoneEnergy]:
        now_ns = self._now_ns = self._clock()
        by_key = _by_key(told)
        having = self._having()
        booked: list[ZoneEnergy] = []
        for key in dict.fromkeys([*having, *by_key]):
            booked += self._serve(key, now_ns, by_key.get(key, {}), having.get(key, frozenset()))
        return booked

    def errors(self) -> Mapping[str, int]:
        """The sources' together, and how often one took a zone over from another."""
        counts: Counter[str] = Counter({"taken_over": self._taken_over} if len(self._sources) > 1 else {})
        for source in self._sources:
            counts.update(source.errors())
        if self._gaps:
            counts["gap"] += self._gaps
        return dict(counts)

    def twins(self) -> list[Twin]:
        """Who else has told of a zone, beside who serves it."""
        found = []
        for key, served in self._served.items():
            if served.owner is not None:
                powers = self._powers[key]
                ours = powers[served.owner].watts(self._now_ns) if served.owner in powers else None
                found += [
                    Twin(key[0], self._name(served.owner), self._name(source), ratio(ours, theirs))
                    for source, power in powers.items()
                    if source != served.owner
                    for theirs in [power.watts(self._now_ns)]
                ]
        return furthest(found)

    def close(self) -> None:
        """Let go of every meter."""
        for meter in self.meters:
            meter.close()

    def _begun(self, booked: list[ZoneEnergy]) -> list[ZoneEnergy]:
        """The same; says of a zone whose first energy in this process leaves a gap after the last process."""
        if self._resumed_ns is None:
            return booked
        for energy in booked:
            if energy.path in self._known or not energy.end_ns:
                continue
            self._known.add(energy.path)
            began_ns = energy.end_ns - round(energy.interval_seconds * 1e9)
            seconds = (began_ns - self._resumed_ns) / 1e9
            if seconds > _LEAST_GAP_SECONDS:
                self._gaps += 1
                log.warning(
                    "%s: gap, its energy is not counted: its meter began anew, %.1f s without podjoule",
                    *(energy.path, seconds),
                )
        return booked

    def _having(self) -> dict[_Key, Set[int]]:
        """By zone, the meters that are known to have it; devices are known once they have told."""
        having: dict[_Key, set[int]] = {}
        for source, meter in enumerate(self.meters):
            for zone in meter.zones - {"gpu"}:
                having.setdefault((zone, ""), set()).add(source)
        return dict(having)

    def _serve(
        self, key: _Key, now_ns: int, told: Mapping[int, Sequence[ZoneEnergy]], having: Set[int]
    ) -> list[ZoneEnergy]:
        served = self._served.setdefault(key, ServedZone())
        powers = self._powers.setdefault(key, {})
        for source, energies in told.items():
            powers.setdefault(source, MeanPower()).add(energies, now_ns)
        before = served.owner
        booked = served.take(now_ns, told, having)
        if before is not None and served.owner not in (None, before):
            self._say_change(key, before, served.owner)
        return booked

    def _name(self, source: int) -> str:
        return self._sources[source].info.source

    def _say_change(self, key: _Key, before: int, after: int | None) -> None:
        if after is None:
            return
        self._taken_over += 1
        zone, names = (
            " ".join(filter(None, key)),
            [self._sources[each].info.source for each in (after, before)],
        )
        if after > before:
            log.warning("%s: %s serves it from now on: %s gives no energy any more", zone, *names)
        else:
            log.info("%s: %s serves it from now on, which is preferred to %s", zone, *names)


def _by_key(told: Sequence[Sequence[ZoneEnergy]]) -> dict[_Key, dict[int, list[ZoneEnergy]]]:
    found: dict[_Key, dict[int, list[ZoneEnergy]]] = {}
    for source, energies in enumerate(told):
        for energy in energies:
            found.setdefault((energy.zone, energy.device), {}).setdefault(source, []).append(energy)
    return found


def _together(one: SourceInfo, other: SourceInfo) -> SourceInfo:
    """Of several devices of one zone."""
    if other.source in one.source.split("+"):
        return one
    return SourceInfo(f"{one.source}+{other.source}", one.model or other.model, one.sha256 or other.sha256)
