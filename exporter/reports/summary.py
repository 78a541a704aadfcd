"""What a report says, worked out: the tables and figures that every format prints, whichever that is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Amount:
    """Sums of rows. grams, market_grams, cost: None where a row had none. measured_joules: those of rows
    whose source is a meter. covered_ratio: covered seconds by hour, 0 to 1."""

    joules: float
    low_joules: float
    high_joules: float
    grams: float | None = None
    market_grams: float | None = None
    cost: float | None = None
    cpu_seconds: float = 0.0
    requested_cpu_seconds: float | None = None
    measured_joules: float = 0.0
    covered_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """One line of the report.

    key: the values of what it is grouped by, in order; "(idle)" and the like for energy that is nobody's.
    That has a node group and a cluster: grouped by these alone, a line has all of it. amount: active and idle
    shares together. before: the month before.
    """

    key: tuple[str, ...]
    amount: Amount
    active_joules: float
    idle_share_joules: float
    before: Amount | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What explains the change of the whole from the month before: parts that add up to `joules` (and to
    `grams`).

    cpu_seconds: more work. watts_per_cpu_second: the same work at another cost. idle: idle energy. other:
    unattributed, difference. energy_grams: at the intensity of the month before; intensity_grams: the grid
    alone.
    """

    joules: float
    cpu_seconds_joules: float
    watts_per_cpu_second_joules: float
    idle_joules: float
    other_joules: float
    grams: float | None = None
    energy_grams: float | None = None
    intensity_grams: float | None = None


@dataclass(frozen=True, slots=True)
class Waster:
    """A workload that reserves and does not use. key: namespace and workload. idle_joules: its idle share, or
    its part of the idle energy by what it reserved."""

    key: tuple[str, ...]
    requested_cpu_seconds: float
    cpu_seconds: float
    idle_joules: float

    @property
    def used_ratio(self) -> float:
        """CPU time by reserved CPU time."""
        return self.cpu_seconds / self.requested_cpu_seconds


@dataclass(frozen=True, slots=True)
class Sci:
    """ISO/IEC 21031: (E * I + M) per R. energy_kwh with idle and PUE; operational_grams is E * I;
    embodied_grams is M; units is R, what `query` counts."""

    query: str
    unit: str
    units: float
    energy_kwh: float
    operational_grams: float
    embodied_grams: float

    @property
    def grams_per_unit(self) -> float:
        """The score."""
        return (self.operational_grams + self.embodied_grams) / self.units


@dataclass(frozen=True, slots=True)
class Summary:
    """A month (or several) of some clusters. by: what groups are of, such as ("namespace",) or
    ("label:team",).

    nodes: what the nodes' meters counted; total: with overhead. kinds: by kind of row. difference_ratio: by
    how much rows and nodes differ. days: unix time of each day's begin; joules_by_day: by kind, one a day.
    joules_by_source: by the rows' source. hours_missing: hours asked for that no file holds. closed: the
    manifest's hash, "" while open. namespaces: those that it is of, () for all and for what is nobody's;
    difference_ratio and what of total and nodes is covered are those of all rows also then.
    """

    title: str
    clusters: tuple[str, ...]
    from_seconds: int
    to_seconds: int
    by: tuple[str, ...]
    groups: tuple[Group, ...]
    total: Amount
    nodes: Amount
    kinds: dict[str, Amount]
    difference_ratio: float
    days: tuple[int, ...] = ()
    joules_by_day: dict[str, tuple[float, ...]] = field(default_factory=dict)
    grams_by_day: tuple[float | None, ...] = ()
    joules_by_source: dict[str, float] = field(default_factory=dict)
    currency: str = ""
    change: Change | None = None
    wasters: tuple[Waster, ...] = ()
    sci: Sci | None = None
    embodied_grams: float | None = None
    hours_missing: int = 0
    closed: str = ""
    low_joules_by_day: tuple[float, ...] = ()
    high_joules_by_day: tuple[float, ...] = ()
    """The bounds of all kinds of a day together, one a day; both () where they are not worked out."""
    namespaces: tuple[str, ...] = ()
