"""Power by specification: a Gaussian process over known servers, evaluated in numpy.

Source: Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, sections 2.2 and 2.7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from estimator.energy import FloatArray
from estimator.machine.specification import Specification

INPUTS = (
    *("tdp_watts", "cores", "tdp_per_core", "mhz", "chips", "memory_gb"),
    *("year", "threads_per_core", "is_amd", "is_dense"),
)
LOGARITHMIC = frozenset(INPUTS[:6])
# Of full load; no server of the table idles above it.
_MOST_IDLE = 0.65
AMD_FAMILIES = frozenset(
    {
        *("Naples", "Rome", "Milan", "Genoa", "Bergamo", "Turin", "Turin Dense"),
        *("Zen", "Zen+", "Zen 2", "Zen 3", "Zen 4", "Zen 5", "K10", "Bulldozer", "Piledriver"),
    }
)


def inputs_of(of: Specification, *, is_dense: bool = False) -> FloatArray:
    """In the order of INPUTS, per chip; logarithms of what is a size; NaN for what is not known."""
    values = (
        of.tdp_watts,
        of.cores_per_chip,
        of.tdp_watts and of.cores_per_chip and of.tdp_watts / of.cores_per_chip,
        of.mhz,
        of.chips,
        of.memory_gb_per_chip,
        of.year,
        of.threads_per_core,
    )
    known = [
        math.nan if not value else math.log(value) if name in LOGARITHMIC else value
        for name, value in zip(INPUTS, values, strict=False)
    ]
    return np.array([*known, float(of.family in AMD_FAMILIES), float(is_dense)])


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """How inputs are put on one scale, and what stands in for those that are not known.

    centre, spread, least, most: shape (n_inputs,). covariance: of the scaled inputs, (n_inputs, n_inputs).
    """

    centre: FloatArray
    spread: FloatArray
    least: FloatArray
    most: FloatArray
    covariance: FloatArray

    def scaled(self, values: FloatArray) -> FloatArray:
        """Held to what is known, scaled; what is NaN is what the other inputs make likeliest."""
        held = np.clip(values, self.least, self.most)
        scaled = (held - self.centre) / self.spread
        missing = np.isnan(scaled)
        if missing.any():
            known = ~missing
            among = self.covariance[np.ix_(known, known)]
            toward = self.covariance[np.ix_(missing, known)]
            scaled[missing] = toward @ np.linalg.solve(among, scaled[known])
        return np.asarray(scaled, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """ln watts of a chip at one end (idle or full load), as a sum over the known servers.

    offset, slopes (n_inputs,): the trend. narrowness (n_inputs,): 1 / length². near: what likeness counts,
    and made: how much more between machines of one maker; same: what being the very CPU counts. weights:
    (n_servers,).
    """

    offset: float
    slopes: FloatArray
    narrowness: FloatArray
    near: float
    made: float
    same: float
    weights: FloatArray

    def log_watts(self, scaled: FloatArray, servers: FloatArray, made: FloatArray, same: FloatArray) -> float:
        """scaled: (n_inputs,); servers: (n_servers, n_inputs); made, same: 1 where a server shares it."""
        likeness = np.exp(-0.5 * ((servers - scaled) ** 2) @ self.narrowness)
        alike = self.near * likeness * (1 + self.made * made) + self.same * same
        return float(self.offset + self.slopes @ scaled + alike @ self.weights)


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """Idle and full load. known: by CPU, what its own results say beyond its specification, ln watts."""

    idle: End
    full: End
    known: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class PowerProcess:
    """servers: (n_servers, n_inputs), scaled; cpus, makers: the key of each one's CPU and maker.

    maker_known, maker_unknown: fitted with, and without, who made a machine.
    """

    inputs: Inputs
    servers: FloatArray
    cpus: tuple[str, ...]
    makers: tuple[str, ...]
    maker_known: Ends
    maker_unknown: Ends

    def watts_per_chip(self, of: Specification, *, is_dense: bool = False) -> tuple[float, float]:
        """Idle and at full load, the wall power of a server over its chips; idle within what servers do."""
        scaled = self.inputs.scaled(inputs_of(of, is_dense=is_dense))
        same = np.array([bool(of.cpu) and cpu == of.cpu for cpu in self.cpus], dtype=np.float64)
        made = np.array([bool(of.maker) and maker == of.maker for maker in self.makers], dtype=np.float64)
        ends = self.maker_known if made.any() else self.maker_unknown
        own = ends.known.get(of.cpu, (0.0, 0.0))
        idle, full = (
            math.exp(end.log_watts(scaled, self.servers, made, same) + more)
            for end, more in zip((ends.idle, ends.full), own, strict=True)
        )
        return min(idle, _MOST_IDLE * full), full

    def chips_of(self, of: Specification) -> float:
        """The sockets it has, or likely has."""
        if of.chips:
            return of.chips
        at = INPUTS.index("chips")
        scaled = self.inputs.scaled(inputs_of(of))
        return math.exp(scaled[at] * self.inputs.spread[at] + self.inputs.centre[at])
