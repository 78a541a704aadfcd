"""The grid's carbon intensity: the port that the tick reads, and a figure that is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Curve(Protocol):
    """A number over time."""

    def mean(self, seconds: float) -> float:
        """The mean over the last `seconds`; with 0 the value of the moment. Finite, at least 0."""


@dataclass(frozen=True, slots=True)
class Intensity:
    """What holds now. provider: constant, schedule, table, electricitymaps or watttime."""

    grams_per_kwh: float
    zone: str
    provider: str


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How a provider fares. age_seconds: of its last good value; without one, how long it has been asked."""

    provider: str
    age_seconds: float
    errors: Mapping[str, int]


class GridIntensity(Protocol):
    """Where the intensity comes from. Nothing here waits for a network."""

    def mean(self, seconds: float) -> float:
        """The mean over the last `seconds`, in g/kWh; see Curve."""

    def now(self) -> Intensity:
        """What holds at this moment, and who says so."""

    def status(self) -> FeedStatus | None:
        """How the provider fares; None where nobody is asked."""

    def close(self) -> None:
        """End what works in the background."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A curve that is flat."""

    value: float

    def mean(self, seconds: float) -> float:  # noqa: ARG002  the port's signature
        """The value."""
        return self.value


@dataclass(frozen=True, slots=True)
class KnownIntensity:
    """A GridIntensity from the configuration or from the table of countries."""

    curve: Curve
    zone: str
    provider: str

    def mean(self, seconds: float) -> float:
        """See GridIntensity."""
        return self.curve.mean(seconds)

    def now(self) -> Intensity:
        """See GridIntensity."""
        return Intensity(self.curve.mean(0.0), self.zone, self.provider)

    def status(self) -> None:
        """Nobody is asked."""

    def close(self) -> None:
        """Nothing works in the background."""
