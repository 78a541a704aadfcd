"""The section of the configuration about which meters serve."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.configuration.options import option
from exporter.configuration.value_types import ordered_choices

# Those that are measured where they are before those that are worked out; a counter before watts.
METERS = ("perf", "rapl", "nvml", "amdsmi", "redfish", "ipmi", "hwmon")


@dataclass(frozen=True, slots=True)
class Meters:
    """Which meters serve, and in which order."""

    preferred: tuple[str, ...] = option(
        "meters.preferred",
        ordered_choices(*METERS, empty="none, so that energy is a model's"),
        METERS,
        "Meters that are used, each zone by the first of them that has it; one that is left out is not read",
    )
