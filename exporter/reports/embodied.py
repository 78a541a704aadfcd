"""What making the machines emitted, by specification and lifetime: the part of it that falls on a span of
time.

M = TE * TR / TS of ISO/IEC 21031 (total embodied, reserved hours by the hours of a lifetime); whole machines
are reserved.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from ebpf.errors import UsageError

TABLE: Final = "embodied.csv"
_HOURS_A_YEAR = 8760
_YEARS: Final = 4.0
_KEYS: Final = ("kgCO2e", "instanceType", "machines", "lifetimeYears")


@dataclass(frozen=True, slots=True)
class Machines:
    """Machines of a kind. kg: what making one of them emitted, kg CO2 equivalent."""

    node_group: str
    machines: float
    kg: float
    lifetime_years: float = _YEARS

    def grams(self, seconds: float) -> float:
        """What falls on so much time of all of them."""
        return self.machines * self.kg * 1e3 * seconds / (self.lifetime_years * _HOURS_A_YEAR * 3600)


def embodied_grams(machines: Iterable[Machines], seconds: float) -> float:
    """What falls on so much time of all machines."""
    return math.fsum(each.grams(seconds) for each in machines)


def read_machines(path: Path) -> tuple[Machines, ...]:
    """A YAML file: NODE_GROUP: {machines: N, kgCO2e: KG | instanceType: TYPE, lifetimeYears: 4}.

    Raises UsageError, which says the key that is wrong.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--embodied: {path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not found:
        raise UsageError(
            f"--embodied: {path}: wanted NODE_GROUP: {{kgCO2e: …, machines: …}}, found {found!r}"
        )
    return tuple(_machines(f"--embodied: {path}: {name}", str(name), each) for name, each in found.items())


def kg_of_instance(name: str) -> float | None:
    """What making an instance's part of its platform emitted; None for a type that is not in the table.

    Source: Cloud Carbon Footprint's coefficients of AWS, platforms whole, shared out by vCPU (see
    `embodied_table`).
    """
    text = resources.files("exporter.reports").joinpath(TABLE).read_text(encoding="utf-8")
    rows = (line.split(",") for line in text.splitlines()[1:])
    return next((float(kg) for found, kg in rows if found == name), None)


def _machines(where: str, name: str, found: Any) -> Machines:
    if not isinstance(found, dict):
        raise UsageError(f"{where}: wanted kgCO2e or instanceType, and machines, found {found!r}")
    if unknown := sorted(set(map(str, found)) - set(_KEYS)):
        raise UsageError(f"{where}: unknown key {', '.join(unknown)}; there are {', '.join(_KEYS)}")
    return Machines(
        name,
        _positive(where, found, "machines", 1.0),
        _kg(where, found),
        _positive(where, found, "lifetimeYears", _YEARS),
    )


def _kg(where: str, found: Mapping[str, Any]) -> float:
    if ("kgCO2e" in found) == ("instanceType" in found):
        raise UsageError(f"{where}: wanted one of kgCO2e and instanceType")
    if "kgCO2e" in found:
        return _positive(where, found, "kgCO2e", 0.0)
    kg = kg_of_instance(str(found["instanceType"]))
    if kg is None:
        raise UsageError(f"{where}: nothing is known of instanceType {found['instanceType']}; say kgCO2e")
    return kg


def _positive(where: str, found: Mapping[str, Any], key: str, default: float) -> float:
    value = found.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UsageError(f"{where}: {key}: wanted a number above 0, found {value!r}")
    return float(value)
