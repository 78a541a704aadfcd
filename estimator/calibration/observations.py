"""What one tick shows of each zone: watts and features, and whether a fit is to believe them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from estimator.energy import FloatArray, Usage, ZoneEnergy
from estimator.features import LEARNED, amounts, measured
from estimator.meters.difference import DEFAULT_PLAUSIBLE_WATTS, IMPOSSIBLE_FACTOR, PLAUSIBLE_WATTS

# The features of a fit, after the constant 1, are those of LEARNED in units of SCALE.
SCALE = np.array([feature.usual for feature in LEARNED.values()])

_COLUMN = {name: at for at, name in enumerate(LEARNED)}

# Counters are read a moment apart from the clock that the rates go by.
_SLACK = 1.1
_MOST_PER_CPU = _SLACK * np.array([feature.most for feature in LEARNED.values()]) / SCALE

# The energy and the counters must span the same time, to this ratio.
_SAME_SPAN = 1.2

# An interval this many times the usual one is a suspend or a stall: what it averages over is not one load.
_LONG = 10.0

# A meter that repeats its joules to the microjoule while the load moved by this share is stuck.
_MOVED = 0.1


@dataclass(frozen=True, slots=True)
class Observation:
    """One zone at one place in one interval. features: shape (1 + n_features,), the constant 1 first, then
    rates in units of SCALE; reason: empty for one to learn from, else why not, in a word or two."""

    watts: float
    features: FloatArray
    reason: str = ""


class ObservationReader:
    """Turns energies and usage into observations; remembers what shows a stuck meter and a suspend.

    socket_index: from the physical socket to the index in usage.used, as attribution has it.
    """

    def __init__(self, socket_index: Mapping[int, int]) -> None:
        self._socket_index = socket_index
        self._usual_seconds = math.nan
        self._last: dict[str, tuple[float, FloatArray]] = {}
        self._stuck: set[str] = set()

    def follow(self, socket_index: Mapping[int, int]) -> None:
        """The machine has other sockets from now on."""
        self._socket_index = socket_index

    def read(self, energies: Sequence[ZoneEnergy], usage: Usage) -> list[Observation]:
        """One an energy, in order."""
        loads = self._loads(usage, self._judge_interval(usage.interval_seconds))
        indices = (
            self._socket_index.get(-1 if energy.socket is None else energy.socket) for energy in energies
        )
        observations = [
            self._observe(energy, loads.get(index, loads[None]), usage.interval_seconds)
            for energy, index in zip(energies, indices, strict=True)
        ]
        self._last = {
            energy.path: (energy.joules, observation.features)
            for energy, observation in zip(energies, observations, strict=True)
        }
        return observations

    def _judge_interval(self, seconds: float) -> str:
        if not 0 < seconds < math.inf:
            return "no time passed"
        usual = self._usual_seconds if self._usual_seconds > 0 else seconds
        self._usual_seconds = usual * min(2.0, max(0.5, seconds / usual)) ** 0.2
        return "long interval" if seconds > _LONG * usual else ""

    def _loads(self, usage: Usage, why: str) -> dict[int | None, Observation]:
        """What every socket, and under None the machine, did; energy is still to come."""
        totals = _totals(usage)
        by_index: dict[int | None, FloatArray] = {None: totals.sum(axis=0), **dict(enumerate(totals))}
        return {index: _load(total, usage, why) for index, total in by_index.items()}

    def _observe(self, energy: ZoneEnergy, load: Observation, seconds: float) -> Observation:
        reason = load.reason or _judge_energy(energy, seconds)
        if reason or self._is_stuck(energy, load.features):
            return Observation(math.nan, load.features, reason or "stuck")
        return Observation(energy.joules / energy.interval_seconds, load.features)

    def _is_stuck(self, energy: ZoneEnergy, features: FloatArray) -> bool:
        joules, before = self._last.get(energy.path, (math.nan, features))
        if joules != energy.joules:
            self._stuck.discard(energy.path)
        elif float(np.abs(features - before).sum()) > _MOVED * float(before.sum()):
            self._stuck.add(energy.path)
        return energy.path in self._stuck


def _load(totals: FloatArray, usage: Usage, why: str) -> Observation:
    rates = totals / usage.interval_seconds if not why else totals
    return Observation(math.nan, np.concatenate([[1.0], rates]), why or _judge_rates(rates, usage.n_cpu))


def _judge_energy(energy: ZoneEnergy, seconds: float) -> str:
    joules, spanned = energy.joules, energy.interval_seconds
    if not (0 <= joules < math.inf and 0 < spanned < math.inf):
        return "not a number"
    if not 1 / _SAME_SPAN <= spanned / seconds <= _SAME_SPAN:
        return "spans another time"
    most_watts = IMPOSSIBLE_FACTOR * PLAUSIBLE_WATTS.get(energy.zone, DEFAULT_PLAUSIBLE_WATTS)
    if joules > most_watts * spanned:
        return "implausible"
    return "no energy" if joules == 0 else ""


def _judge_rates(rates: FloatArray, n_cpu: int) -> str:
    if not np.isfinite(rates).all():
        return "not a number"
    return "" if (rates >= 0).all() and (rates <= _MOST_PER_CPU * n_cpu).all() else "impossible counters"


def _totals(usage: Usage) -> FloatArray:
    """Totals over the interval in units of SCALE; shape (n_sockets, n_features)."""
    counted = list(measured(usage.available, LEARNED))
    totals = np.zeros((usage.used.shape[1], len(LEARNED)))
    if counted:
        used = np.concatenate([usage.used, usage.dropped[np.newaxis]])
        columns = [_COLUMN[feature.name] for feature in counted]
        with np.errstate(invalid="ignore", over="ignore"):  # what is no number is found out below
            totals[:, columns] = amounts(used, counted, usage.awake_seconds).sum(axis=0)
    scaled: FloatArray = totals / SCALE
    return scaled
