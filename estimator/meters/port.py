"""The port of every power meter: cumulative energy by zone and socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

ZONES = ("package", "core", "uncore", "dram", "psys", "platform")


@dataclass(frozen=True, slots=True)
class ZoneReading:
    """One counter of one zone, as the hardware gives it.

    zone: one of ZONES. socket: the physical package, None for what spans the machine (psys, platform).
    path: where it was read, the counter's identity. energy_uj: cumulative microjoules, wraps to 0 after
    max_energy_uj. boottime_ns: CLOCK_BOOTTIME at the read, which goes on while the machine sleeps, as the
    counter does. most_watts: what this counter can draw at the most, where the machine itself says so.
    """

    zone: str
    socket: int | None
    path: str
    energy_uj: int
    max_energy_uj: int
    boottime_ns: int
    most_watts: float | None = None


@dataclass(frozen=True, slots=True)
class MeterError:
    """A zone that could not be read this time: where, why, and whether it is gone rather than failing."""

    path: str
    message: str
    vanished: bool


class PowerMeter(Protocol):
    """A meter; making one raises MeterUnavailable, with the reason and the mend, where it cannot serve."""

    name: str
    errors: Sequence[MeterError]

    def read(self) -> list[ZoneReading]:
        """Every zone that answers; those that did not are in `errors` until the next read."""
