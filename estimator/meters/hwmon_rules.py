"""What a chip of hwmon measures, as one row of the table says it, or the user."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who writes rules down has no chips at hand
    from estimator.meters.hwmon_tree import Chip

NO_ZONE = "none"


@dataclass(frozen=True, slots=True)
class Measure:
    """A zone, and a pattern of the sensors that add up to it, by label or id, whole and in any case.

    Of the measures of one zone on a chip the first counts that finds a sensor; a sensor belongs to the first
    measure that it fits. zone: of estimator.meters.port.ZONES, or NO_ZONE for what must not be read.
    is_shell: the pattern is a shell's, such as VDD_*, rather than a regular expression.
    """

    zone: str
    pattern: str
    is_shell: bool = False

    def fits(self, *names: str) -> bool:
        """Whether one of these names is meant."""
        return any(name and _compiled(self.pattern, self.is_shell).fullmatch(name) for name in names)


@dataclass(frozen=True, slots=True)
class ChipRule:
    """What the chips of a name measure.

    device: only the one that sits there, "" for all. measures: in order. pairings: of a voltage's index, the
    current's that belongs to it; None where labels tell, else the index; is_same_index: always the index.
    skip_voltages, skip_currents: indices that are no rail's. max_energy_uj: after how much its energy counter
    begins anew, which hwmon does not say. of_socket: there is one such chip a socket. unless: labels that say
    that it is something else.
    """

    name: str
    measures: tuple[Measure, ...] = ()
    device: str = ""
    pairings: Mapping[int, int] | None = None
    skip_voltages: frozenset[int] = frozenset()
    skip_currents: frozenset[int] = frozenset()
    max_energy_uj: int | None = None
    is_same_index: bool = False
    of_socket: bool = False
    unless: frozenset[str] = field(default_factory=frozenset)

    def is_of(self, chip: Chip) -> bool:
        """Whether it speaks of this chip."""
        return self.name.casefold() == chip.name.casefold() and self.device in ("", chip.device)


@cache
def _compiled(pattern: str, is_shell: bool) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern) if is_shell else pattern, re.IGNORECASE)
