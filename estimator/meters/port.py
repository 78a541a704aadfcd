"""The port of every power meter: cumulative energy by zone and socket."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Protocol

ZONES = ("package", "core", "uncore", "dram", "psys", "gpu", "platform")
# Of the CPU: where a meter has one of them, its energy is not taken from a model.
CPU_ZONES = frozenset({"package", "core", "uncore", "dram", "psys"})


@dataclass(frozen=True, slots=True)
class ZoneReading:
    """One counter of one zone, as the hardware gives it.

    zone: one of ZONES. socket: the physical package, None for what spans the machine (psys, platform).
    path: where it was read, the counter's identity. energy_uj: cumulative microjoules, wraps to 0 after
    max_energy_uj. boottime_ns: CLOCK_BOOTTIME at the read, which goes on while the machine sleeps, as the
    counter does. most_watts: what this counter can draw at the most, where the machine itself says so.
    source: the meter's name, where readings of several lie together. spread_uj: cumulative too, how much of
    energy_uj is uncertain, ±. is_integrated: kept by this process from watts. is_own: counted from a moment
    within this process, so that no other can go on from it; what is integrated is so too. device: of a zone
    that several things have (gpu), which, by an address that every meter of it knows, such as 0000:41:00.0 on
    PCI: zone and device are served by one meter; "" where the zone is one thing.
    """

    zone: str
    socket: int | None
    path: str
    energy_uj: int
    max_energy_uj: int
    boottime_ns: int
    most_watts: float | None = None
    source: str = ""
    spread_uj: int = 0
    is_integrated: bool = False
    is_own: bool = False
    device: str = ""

    @property
    def can_be_resumed(self) -> bool:
        """Whether another process may go on from it, in the same boot."""
        return not (self.is_integrated or self.is_own)


@dataclass(frozen=True, slots=True)
class MeterError:
    """A zone that could not be read this time: where, why, and whether it is gone rather than failing."""

    path: str
    message: str
    vanished: bool


class PowerMeter(Protocol):
    """A meter; making one raises MeterUnavailable, with the reason and the mend, where it cannot serve.

    name: rapl, perf, hwmon, ipmi, redfish, nvml, amdsmi; what podjoule_power_source_info says. zones: those
    that it is known to have; more may come.
    """

    name: str
    errors: Sequence[MeterError]

    @property
    def zones(self) -> Set[str]:
        """By their names in ZONES."""

    def read(self) -> list[ZoneReading]:
        """Every zone that answers; those that did not are in `errors` until the next read. A zone that has
        no new reading is in neither. Never waits: what may take long reads in a BackgroundMeter."""

    def close(self) -> None:
        """Let go of everything; never waits."""
