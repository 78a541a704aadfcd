"""The section of the configuration about the meter of boards, supplies and GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from estimator.meters.hwmon_rules import ChipRule
from exporter.configuration.chip_rules import chip_rules
from exporter.configuration.options import option
from exporter.configuration.value_types import texts


@dataclass(frozen=True, slots=True)
class Hwmon:
    """What hwmon's chips measure."""

    zones: tuple[str, ...] = option(
        "hwmon.zones",
        texts("a list of zones, sensors' labels or ids such as power1; empty for all that is known"),
        (),
        "What is read of hwmon; may be given more than once",
    )
    chip_rules: tuple[ChipRule, ...] = option(
        "hwmon.chipRules",
        chip_rules(),
        (),
        "What chips measure that podjoule does not know, or knows otherwise",
    )
