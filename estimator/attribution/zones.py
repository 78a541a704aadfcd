"""Which zones are the node's energy: they overlap, so that not all of them may count."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from estimator.energy import SourceInfo

# The widest first. psys and platform hold everything below them; package and dram do not overlap, and core
# and uncore lie in package: Linux, Documentation/power/powercap/powercap.rst; DESIGN section 4.
_INNER, _GPU = ("package", "dram"), frozenset({"gpu"})
LEVELS = (("platform",), ("psys",), _INNER)

_FORGETTING = 0.9
_LOST_BELOW = 0.95
_MOST_SILENT_TICKS = 60


def node_zones(known: Iterable[str], modelled: Container[str] = ()) -> tuple[str, ...]:
    """The zones whose joules make up the node's, no joule twice.

    known: every zone that a source has. `platform` alone where there is one, else `psys` alone, else
    `package` and `dram`, over all sockets; `core` and `uncore` never. `gpu` beside package and dram, and
    beside a platform that is a model's (modelled): models know nothing of GPUs. Empty where none is known.
    """
    zones = set(known)
    chosen: tuple[str, ...] = next((level for level in LEVELS if zones.intersection(level)), ())
    holds_gpus = bool(chosen) and chosen != _INNER and chosen[0] not in modelled
    return chosen if holds_gpus or "gpu" not in zones else (*chosen, "gpu")


class CountedZones:
    """The rule over a run, tick by tick, where zones come, fail and come back.

    A zone that has given energy stays known for as long as a source has it: one that fails for some
    ticks counts no energy then, and no narrower zone stands in, since the next reading spans the hole. One
    that is silent for minutes is forgotten. A wider zone that appears takes over at the tick after its first,
    whose joules may reach back over ticks that were already counted. A psys that reads less than the packages
    in it is not the machine's, and does not count.
    """

    def __init__(self) -> None:
        self._sources: Mapping[str, SourceInfo] = {}
        self._silent_ticks: dict[str, int] = {}
        self._begin_to_compare()

    def _begin_to_compare(self) -> None:
        self._inner_joules = self._recent_inner_joules = self._recent_psys_joules = 0.0
        self._holds_packages = True

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that count and have given energy."""
        return tuple(zone for zone in self._chosen(self._silent_ticks) if zone in self._silent_ticks)

    def choose(self, sources: Mapping[str, SourceInfo], joules: Mapping[str, float]) -> tuple[str, ...]:
        """The zones that count in a tick. sources: by zone, where its energy comes from. joules: by zone, of
        those with energy in it."""
        if any(sources.get(zone) != source for zone, source in self._sources.items()):
            self._silent_ticks = {zone: n for zone, n in self._silent_ticks.items() if zone in sources}
            self._begin_to_compare()
        self._sources = dict(sources)
        self._compare(joules)
        apart = _GPU.intersection(joules)  # of no other zone, so that nothing of it was counted before
        chosen = self._chosen(apart.union(self._silent_ticks) if self._silent_ticks else joules)
        silent = {zone: 0 if zone in joules else ticks + 1 for zone, ticks in self._silent_ticks.items()}
        silent |= dict.fromkeys(joules, 0)
        self._silent_ticks = {zone: ticks for zone, ticks in silent.items() if ticks <= _MOST_SILENT_TICKS}
        return chosen

    def _chosen(self, known: Iterable[str]) -> tuple[str, ...]:
        modelled = {zone for zone, source in self._sources.items() if source.source == "model"}
        return node_zones((zone for zone in known if zone != "psys" or self._holds_packages), modelled)

    def _compare(self, joules: Mapping[str, float]) -> None:
        """Over the last minute or so, each time that psys tells: what the others drew since waits for it."""
        self._inner_joules += sum(joules.get(zone, 0.0) for zone in ("package", "dram"))
        if "psys" not in joules:
            return
        self._recent_inner_joules = _FORGETTING * self._recent_inner_joules + self._inner_joules
        self._recent_psys_joules = _FORGETTING * self._recent_psys_joules + joules["psys"]
        self._inner_joules = 0.0
        # Apart, so that two zones which read nearly the same do not take turns.
        least = _LOST_BELOW if self._holds_packages else 1.0
        self._holds_packages = self._recent_psys_joules >= least * self._recent_inner_joules
