"""What Redfish resources say of power: documents in, watts and kWh out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Document = Mapping[str, Any]

# A full rack: what is beyond is a mistake of the BMC's, in value or unit.
MAX_WATTS = 200_000
_MOST_DECIMALS = 6
# What a part of a board draws is in what the whole draws. Source: DSP0268, PhysicalContext of PowerControl.
_PARTS = frozenset(
    (
        *("Accelerator", "ASIC", "CPU", "CPUSubsystem", "Fan", "GPU", "GPUSubsystem"),
        *("Memory", "MemorySubsystem", "NetworkingDevice", "StorageDevice", "StorageSubsystem"),
    )
)


@dataclass(frozen=True, slots=True)
class PowerSource:
    """One thing whose power is told. type: EnvironmentMetrics, PowerSupply or PowerControl."""

    id: str
    name: str
    type: str
    watts: float


@dataclass(frozen=True, slots=True)
class ChassisPower:
    """What a chassis draws. energy_kwh: its counter as it was written, None without one. sources: what the
    watts are the sum of; none where only the counter is told."""

    sources: tuple[PowerSource, ...]
    energy_kwh: Decimal | None = None

    @property
    def watts(self) -> float | None:
        """The whole, None where it is not told."""
        return sum(source.watts for source in self.sources) if self.sources else None


def of_environment(document: Document) -> ChassisPower | None:
    """EnvironmentMetrics: PowerWatts and EnergykWh of all of it. Raises ValueError for bad numbers."""
    watts = _watts(_reading(document, "PowerWatts"), "PowerWatts")
    energy = _reading(document, "EnergykWh")
    kwh = None if energy is None else _kwh(energy)
    sources = (PowerSource("0", "PowerWatts", "EnvironmentMetrics", watts),) if watts else ()
    return ChassisPower(sources, kwh) if sources or kwh else None


def of_supplies(supplies: Iterable[tuple[Document, Document]]) -> ChassisPower | None:
    """Each PowerSupply with its metrics: what all of them draw from the wall, together."""
    sources = []
    for supply, metrics in supplies:
        watts = _watts(_reading(metrics, "InputPowerWatts"), "InputPowerWatts")
        if watts:
            sources.append(PowerSource(_id(supply), _name(supply), "PowerSupply", watts))
    return ChassisPower(tuple(sources)) if sources else None


def of_power(document: Document) -> ChassisPower | None:
    """The old Power: the first PowerControl that is of the whole, else what the supplies take in."""
    for control in _objects(document, "PowerControl"):
        watts = _watts(control.get("PowerConsumedWatts"), "PowerConsumedWatts")
        if watts and control.get("PhysicalContext") not in _PARTS:
            return ChassisPower((PowerSource(_id(control), _name(control), "PowerControl", watts),))
    sources = []
    for supply in _objects(document, "PowerSupplies"):
        watts = _watts(supply.get("PowerInputWatts"), "PowerInputWatts")
        if watts:
            sources.append(PowerSource(_id(supply), _name(supply), "PowerSupply", watts))
    return ChassisPower(tuple(sources)) if sources else None


def resolution_kwh(counter: Decimal) -> float:
    """The smallest step that a counter written so can show, in kWh; a watt-second is not told apart."""
    if _decimals(counter) > _MOST_DECIMALS:  # as floats are written: 12.340000000000002
        counter = round(counter, _MOST_DECIMALS).normalize()
    return float(10.0 ** -_decimals(counter))


def own_chassis(documents: Sequence[Document]) -> list[Document]:
    """Those that are this machine's whole, of chassis that tell power.

    One that holds fewer systems goes before one that holds more (a blade, not its enclosure), one with a
    system before one without (a board of GPUs), and none counts within another.
    """
    linked = [each for each in documents if _n_systems(each)]
    if linked:
        least = min(_n_systems(each) for each in linked)
        documents = [each for each in linked if _n_systems(each) == least]
    ids = {_path(each) for each in documents}
    return [each for each in documents if _holder(each) not in ids]


def link(document: Document, *names: str) -> str:
    """Where a resource below this one is, "" where it names none."""
    found: Any = document
    for name in (*names, "@odata.id"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) and found.startswith("/") else ""


def members(collection: Document) -> list[str]:
    """Where a collection's members are."""
    return [path for each in _objects(collection, "Members") if (path := link(each))]


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _n_systems(chassis: Document) -> int:
    links = chassis.get("Links")
    systems = links.get("ComputerSystems") if isinstance(links, Mapping) else None
    return len(systems) if isinstance(systems, list) else 0


def _holder(chassis: Document) -> str:
    return link(chassis, "Links", "ContainedBy").rstrip("/")


def _path(chassis: Document) -> str:
    return link(chassis).rstrip("/")


def _reading(document: Document, name: str) -> object:
    """Of a sensor's excerpt, or of a plain number as some write it."""
    found = document.get(name)
    return found.get("Reading") if isinstance(found, Mapping) else found


def _watts(found: object, name: str) -> float | None:
    """None where it is not told. 0 W are not told either: nothing that answers draws nothing."""
    number = _number(found, name)
    if number is None or number == 0:
        return None
    if not 0 < number <= MAX_WATTS:
        raise ValueError(f"{name} must be from 0 to {MAX_WATTS} W, found {number}")
    return float(number)


def _kwh(found: object) -> Decimal:
    number = _number(found, "EnergykWh")
    if number is None or not 0 <= number < 10**9:
        raise ValueError(f"EnergykWh must be from 0 to 10^9, found {found!r}")
    return number


def _number(found: object, name: str) -> Decimal | None:
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float | Decimal):
        raise ValueError(f"{name} must be a number, found {str(found)[:40]!r}")
    number = Decimal(found)
    if not number.is_finite():
        raise ValueError(f"{name} must be finite, found {found}")
    return number


def _objects(document: Document, name: str) -> list[Mapping[str, Any]]:
    found = document.get(name)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _id(document: Document) -> str:
    return str(document.get("MemberId") or document.get("Id") or "0")[:64]


def _name(document: Document) -> str:
    return str(document.get("Name") or "")[:64]
