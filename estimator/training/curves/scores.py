"""How far off power by specification is on CPU models and families that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from estimator.energy import FloatArray
from estimator.machine.catalogue import Catalogue
from estimator.machine.description import Knowledge, MachineDescription
from estimator.machine.names import chips_by_name
from estimator.machine.specification import Specification
from estimator.model.process import AMD_FAMILIES
from estimator.model.specification_zone import Factors, SpecificationZone
from estimator.training.curves.levels import Machine, shapes_of
from estimator.training.curves.process_fit import Design, Fits, of_nobody
from estimator.training.curves.search import SINCE
from estimator.training.curves.specpower import Server

COVERAGE = 0.9
_UNKNOWN_SINCE = 2017
# Fewer machines or CPU models of a family do not carry bounds of their own.
_LEAST_MACHINES, _LEAST_CPUS = 10, 4
_HELD: tuple[Knowledge, ...] = ("specified", "named", "family")


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """ln(said / true) per result and end, shape (n_servers, 2), NaN where nothing could be said.

    errors: by what is known of a machine whose CPU model was left out, of a host its maker, too;
    maker_unknown: specified, but for who made it; family_left_out: specified, with all of its family left
    out, and family_left_out_maker_unknown.
    """

    servers: Sequence[Server]
    errors: Mapping[Knowledge, FloatArray]
    maker_unknown: FloatArray
    family_left_out: FloatArray
    family_left_out_maker_unknown: FloatArray

    @property
    def asks(self) -> dict[str, FloatArray]:
        """All of them, by who asks."""
        return {
            "leave_one_cpu_model_out_specified": self.errors["specified"],
            "leave_one_cpu_model_out_maker_unknown": self.maker_unknown,
            "leave_one_cpu_model_out_named": self.errors["named"],
            "leave_one_cpu_model_out_family": self.errors["family"],
            "leave_one_family_out": self.family_left_out,
            "leave_one_family_out_maker_unknown": self.family_left_out_maker_unknown,
        }

    @property
    def recent(self) -> np.ndarray:
        """Which of them were published since 2021."""
        return np.array([server.published >= SINCE for server in self.servers])

    @property
    def families(self) -> np.ndarray:
        """By server."""
        return np.array([server.specification.family for server in self.servers])

    @property
    def cpus(self) -> np.ndarray:
        """By server."""
        return np.array([server.cpu for server in self.servers])


def leave_out(
    servers: Sequence[Server], design: Design, fits_of: Callable[[str], Fits], catalogue: Catalogue
) -> LeftOut:
    """Every CPU model, then every family, left out in turn of what fits_of gives for the family."""
    errors = {known: np.full((len(servers), 2), np.nan) for known in _HELD}
    unknown, family_out, family_out_unknown = (np.full((len(servers), 2), np.nan) for _ in range(3))
    alone = _alone(design)
    for cpu, rows in _groups([server.cpu for server in servers]):
        family = servers[rows[0]].specification.family
        zone = _zone_without(fits_of(family or ""), design.cpus == cpu)
        for row in rows:
            errors["specified"][row] = _error(zone, servers[row], "specified")
            errors["named"][row] = _error(zone, of_nobody(servers[row]), "named")
            unknown[row] = _error(zone, of_nobody(servers[row]), "specified")
        if family not in alone:
            said = zone.watts_per_cpu(_of_family(servers[rows[0]], catalogue))
            errors["family"][rows] = [_log_ratio(said, servers[row]) for row in rows]
    for family, rows in _groups([str(server.specification.family) for server in servers]):
        zone = _zone_without(fits_of(family), design.families == family)
        for row in rows:
            family_out[row] = _error(zone, servers[row], "specified")
            family_out_unknown[row] = _error(zone, of_nobody(servers[row]), "specified")
    return LeftOut(servers, errors, unknown, family_out, family_out_unknown)


def _alone(design: Design) -> set[str]:
    """Families with a single CPU model: left out, nobody of the family is there to speak for it."""
    return {
        str(family)
        for family in np.unique(design.families)
        if len(np.unique(design.cpus[design.families == family])) < 2
    }


def _groups(labels: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    names = np.array(labels)
    return ((str(name), np.flatnonzero(names == name)) for name in np.unique(names))


def _zone_without(fits: Fits, gone: np.ndarray) -> SpecificationZone:
    process = fits.process(np.flatnonzero(gone))
    return SpecificationZone(process, {"any": (0, 1)}, 0.0, NO_BOUNDS, (1.0, 1.0), COVERAGE)


_NONE = Factors((1.0, 1.0), (1.0, 1.0))
NO_BOUNDS: Mapping[Knowledge, Mapping[str, Factors]] = {
    known: {"any": _NONE} for known in ("specified", "named", "family", "nothing")
}


def _error(zone: SpecificationZone, server: Server, known: Knowledge) -> FloatArray:
    """As a host, or as a guest that knows its CPU by name alone."""
    of, machine = server.specification, MachineDescription(server.specification, _cpus_of(server))
    if known == "named":
        of = replace(of, chips=chips_by_name(server.cpu), memory_gb_per_chip=None)
        machine = MachineDescription(of, machine.n_cpu, is_guest=True)
    is_dense = server.is_dense and known == "specified"
    return _log_ratio(zone.watts_per_cpu(machine, is_dense=is_dense), server)


def _of_family(server: Server, catalogue: Catalogue) -> MachineDescription:
    """As a guest that knows nothing but its family."""
    family = server.specification.family or ""
    largest = catalogue.largest_of(family)
    return MachineDescription(Specification(family), _cpus_of(server), is_guest=True, candidates=largest)


def _cpus_of(server: Server) -> int:
    return round((server.specification.threads_per_chip or 1.0) * (server.specification.chips or 1.0))


def _log_ratio(per_cpu: tuple[float, float], server: Server) -> FloatArray:
    true = np.array([server.idle_watts, server.full_watts]) / (server.specification.threads_per_chip or 1.0)
    return np.asarray(np.log(np.array(per_cpu) / true))


def percentages(errors: FloatArray) -> tuple[float, float]:
    """Median and 90th percentile of the absolute percentage error."""
    known = np.abs(np.expm1(errors[~np.isnan(errors)]))
    return 100 * float(np.median(known)), 100 * float(np.quantile(known, 0.9))


def bounds(left_out: LeftOut, known: Knowledge, without: str | None = None) -> dict[str, Factors]:
    """Factors by family and for "any", from errors on CPU models left out; without: a CPU model not to use.

    The (1 - c) / 2 and (1 + c) / 2 quantiles of ln(true / said), each at rank ⌈(n + 1) q⌉. Of a family where
    it has machines and CPU models enough, not narrower than "any" for what knows the family alone; of "any",
    from families left out for what knows the specification, with and without the maker, the results of a CPU
    model weighing less where they are many. Source: Barber et al., Annals of Statistics 49, 2021.
    """
    errors = left_out.errors[known]
    used = left_out.recent & ~np.isnan(errors).any(axis=1) & (left_out.cpus != (without or ""))
    of_any = (
        (left_out.family_left_out, left_out.family_left_out_maker_unknown)
        if known == "specified"
        else (errors, errors)
    )
    found = {"any": _wider(*(_factors(of[used], left_out.cpus[used]) for of in of_any))}
    for family in np.unique(left_out.families[used]):
        of = used & (left_out.families == family)
        if of.sum() >= _LEAST_MACHINES and len(np.unique(left_out.cpus[of])) >= _LEAST_CPUS:
            near = _toward(found["any"], _factors(errors[of], left_out.cpus[of]))
            found[str(family)] = _wider(near, found["any"]) if known == "family" else near
    return found


def _wider(one: Factors, other: Factors) -> Factors:
    def both(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
        return max(a[0], b[0]), max(a[1], b[1])

    return Factors(both(one.idle, other.idle), both(one.full, other.full))


def _toward(any_family: Factors, own: Factors) -> Factors:
    """Half way, in ln: a family's machines are few, and of few vendors."""

    def between(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
        low, high = (math.ceil(1000 * math.sqrt(x * y)) / 1000 for x, y in zip(a, b, strict=True))
        return low, high

    return Factors(between(any_family.idle, own.idle), between(any_family.full, own.full))


def _factors(errors: FloatArray, cpus: np.ndarray) -> Factors:
    _, index, counts = np.unique(cpus, return_inverse=True, return_counts=True)
    weights = np.asarray(counts[index] ** -0.25, dtype=np.float64)
    return Factors(_within(-errors[:, 0], weights), _within(-errors[:, 1], weights))


def _within(true_over_said: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Rounded up, so that the machine that sets a bound stays inside."""
    low = _quantile(-true_over_said, weights)
    high = _quantile(true_over_said, weights)
    return math.ceil(1000 * math.exp(max(0.0, low))) / 1000, math.ceil(1000 * math.exp(max(0.0, high))) / 1000


def _quantile(values: FloatArray, weights: FloatArray) -> float:
    """The (1 + c) / 2 quantile, one machine more standing at infinity, held to the largest seen."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    at = np.searchsorted(total, (1 + COVERAGE) / 2 * (total[-1] + weights.mean()))
    return float(values[order][min(at, len(values) - 1)])


def covered(left_out: LeftOut, known: Knowledge) -> np.ndarray:
    """Whether the true watts lie within bounds made without the machine's CPU model; (n_servers, 2)."""
    inside = np.zeros((len(left_out.servers), 2), dtype=np.bool_)
    for cpu, rows in _groups(list(left_out.cpus)):
        factors = bounds(left_out, known, without=cpu)
        for row in rows:
            of = factors.get(str(left_out.families[row]), factors["any"])
            for end, (low, high) in enumerate((of.idle, of.full)):
                off = -left_out.errors[known][row, end]
                inside[row, end] = -math.log(low) <= off <= math.log(high)
    return inside


def unknown_bounds(servers: Sequence[Server]) -> tuple[tuple[float, float], Factors]:
    """Watts per CPU where nothing is known, and how far off: families weighing the same, each left out."""
    recent = [server for server in servers if server.published >= _UNKNOWN_SINCE]
    watts = np.array([(server.idle_watts, server.full_watts) for server in recent])
    per_cpu = np.log(watts / np.array([[server.specification.threads_per_chip or 1.0] for server in recent]))
    families = np.array([server.specification.family for server in recent])
    medians = {family: np.median(per_cpu[families == family], axis=0) for family in np.unique(families)}
    said = {
        family: np.mean([of for other, of in medians.items() if other != family], axis=0)
        for family in medians
    }
    errors = np.array([said[family] - of for family, of in zip(families, per_cpu, strict=True)])
    idle, full = np.exp(np.mean(list(medians.values()), axis=0))
    return (float(f"{idle:.4g}"), float(f"{full:.4g}")), _factors(errors, families)


def held_out_scores(left_out: LeftOut) -> dict[str, dict[str, float]]:
    """By who asks, on rows since 2021: the model file's scores."""
    scores = plain_scores(left_out)
    for known in left_out.errors:
        there = left_out.recent & ~np.isnan(left_out.errors[known][:, 0])
        inside = covered(left_out, known)[there].mean(axis=0)
        for end, share in zip(("idle", "full"), inside, strict=True):
            scores[f"leave_one_cpu_model_out_{known}"][f"{end}_coverage_percent"] = round(
                100 * float(share), 1
            )
    return scores


def plain_scores(left_out: LeftOut) -> dict[str, dict[str, float]]:
    """The same, of errors alone."""
    return {ask: _score(left_out, errors) for ask, errors in left_out.asks.items()}


def _score(left_out: LeftOut, errors: FloatArray) -> dict[str, float]:
    there = left_out.recent & ~np.isnan(errors).any(axis=1)
    score: dict[str, float] = {"rows": int(there.sum())}
    for end, name in enumerate(("idle", "full")):
        median, ninetieth = percentages(errors[there, end])
        score[f"{name}_median_ape_percent"] = round(median, 1)
        score[f"{name}_90th_ape_percent"] = round(ninetieth, 1)
    return score


def level_scores(machines: Sequence[Machine], design: Design, fits: Fits) -> dict[str, dict[str, float]]:
    """All eleven levels, with the machine's own ends and with those the model gives without its CPU model."""
    own = [_level_errors(of, shapes_without(machines, of), of.watts[0], of.watts[-1]) for of in machines]
    zones = {
        of.specification.cpu: _zone_without(fits, design.cpus == of.specification.cpu) for of in machines
    }
    said = []
    for of in machines:
        chips = of.specification.chips or 1.0
        idle, full = zones[of.specification.cpu].process.watts_per_chip(of.specification)
        said.append(_level_errors(of, shapes_without(machines, of), idle * chips, full * chips))
    return {
        name: {
            "rows": len(machines),
            "median_ape_percent": round(100 * float(np.nanmedian(np.abs(errors))), 1),
        }
        for name, errors in (("levels_with_true_ends", own), ("levels_leave_one_cpu_model_out", said))
    }


def shapes_without(machines: Sequence[Machine], gone: Machine) -> FloatArray:
    """The vendor's shape from machines of other CPU models."""
    others = [of for of in machines if of.specification.cpu != gone.specification.cpu]
    vendor = "AMD" if gone.specification.family in AMD_FAMILIES else "Intel"
    return np.array(shapes_of(others)[vendor])


def _level_errors(of: Machine, shape: FloatArray, idle: float, full: float) -> FloatArray:
    return np.asarray((idle + (full - idle) * shape) / of.watts - 1)
