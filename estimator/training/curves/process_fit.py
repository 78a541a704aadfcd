"""The Gaussian process fitted to servers, and what it says of those that are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from estimator.energy import FloatArray
from estimator.model.process import INPUTS, LOGARITHMIC, End, Ends, Inputs, PowerProcess, inputs_of
from estimator.training.curves.specpower import Server

_BEYOND = np.log(1.5)
_CONSTANT = 4.0
AGED_FROM = 2024.0
# Of a normal distribution's median distance from its mean.
_TO_DEVIATION = 1.4826


@dataclass(frozen=True, slots=True)
class Kernel:
    """What one end's process takes for granted, each a variance of ln watts; estimator.training.curves.search
    begins at these.

    trend, narrowness: of each input, which all have the spread 1. near: of what likeness explains; made: by
    which share more among machines of one maker. same: of a CPU. machine, result: of a machine from what its
    specification says, and of one result from the machine's mean; ageing: by which share both grow in five
    years before AGED_FROM, so that old servers say less about new ones.
    """

    trend: tuple[float, ...] = (0.03,) * len(INPUTS)
    narrowness: tuple[float, ...] = (0.15,) * len(INPUTS)
    near: float = 0.15
    made: float = 0.0
    same: float = 0.01
    result: float = 0.05
    machine: float = 0.005
    ageing: float = 0.3

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Kernel:
        """As VARIANCES has it."""
        by_input = {name: tuple(document[name]) for name in ("trend", "narrowness")}
        return cls(**{**document, **by_input})

    def likeness(self, one: FloatArray, other: FloatArray, made: FloatArray) -> FloatArray:
        """What machines share by their inputs (n, n_inputs), (m, n_inputs) and makers (n, m); (n, m)."""
        root = np.sqrt(self.narrowness)
        one_narrow, other_narrow = one * root, other * root
        squares = (one_narrow**2).sum(axis=1)[:, None] + (other_narrow**2).sum(axis=1)[None]
        near = self.near * np.exp(np.minimum(0.0, one_narrow @ other_narrow.T - 0.5 * squares))
        return np.asarray(_CONSTANT + (one * self.trend) @ other.T + near * (1 + self.made * made))


# (idle, full) with the maker known, and unknown.
Variances = tuple[tuple[Kernel, Kernel], tuple[Kernel, Kernel]]


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Results of like machines drawn together.

    inputs: how they are scaled. scaled: (n, n_inputs). cpus, families, makers: (n,). log_watts: (n, 2), idle
    and full, means. counts: (n,), results of each. row_of: (n_servers,), the machine of each result.
    """

    inputs: Inputs
    scaled: FloatArray
    cpus: np.ndarray
    families: np.ndarray
    makers: np.ndarray
    log_watts: FloatArray
    counts: FloatArray
    row_of: np.ndarray

    @property
    def ages(self) -> FloatArray:
        """In units of five years before AGED_FROM, ≥ 0; (n,)."""
        at = INPUTS.index("year")
        years = self.inputs.centre[at] + self.inputs.spread[at] * self.scaled[:, at]
        return np.asarray(np.maximum(0.0, AGED_FROM - years) / 5)


def design_of(servers: Sequence[Server]) -> Design:
    """One row for each CPU model, maker, chips, memory (to half a doubling), clock and kind of chassis."""
    values = np.array([inputs_of(server.specification, is_dense=server.is_dense) for server in servers])
    memory = INPUTS.index("memory_gb")
    marks = values.copy()
    marks[:, memory] = np.round(2 * marks[:, memory] / np.log(2))
    marks = np.nan_to_num(np.delete(marks, INPUTS.index("year"), axis=1), nan=-1.0)
    labels = [
        (server.cpu, server.specification.maker, *mark)
        for server, mark in zip(servers, marks.tolist(), strict=True)
    ]
    first = {label: at for at, label in reversed(list(enumerate(labels)))}
    order = sorted(first.values())
    place = {labels[at]: row for row, at in enumerate(order)}
    row_of = np.array([place[label] for label in labels])
    counts = np.bincount(row_of).astype(np.float64)
    watts = np.log([(server.idle_watts, server.full_watts) for server in servers])
    means = np.column_stack([np.bincount(row_of, watts[:, end]) / counts for end in (0, 1)])
    inputs = _scaling(values[order])
    return Design(
        inputs=inputs,
        scaled=np.array([inputs.scaled(row) for row in values[order]]),
        cpus=np.array([servers[at].cpu for at in order]),
        families=np.array([servers[at].specification.family for at in order]),
        makers=np.array([servers[at].specification.maker for at in order]),
        log_watts=means,
        counts=counts,
        row_of=row_of,
    )


def _scaling(values: FloatArray) -> Inputs:
    """Rounded as the model file has it, so that what is trained on is what is read back."""
    centre: FloatArray = np.nanmean(values, axis=0)
    spread: FloatArray = np.nanstd(values, axis=0)
    scaled = (values - centre) / spread
    whole = scaled[~np.isnan(scaled).any(axis=1)]
    logarithmic = np.array([name in LOGARITHMIC for name in INPUTS])
    beyond = np.where(logarithmic, _BEYOND, np.where(np.array(INPUTS) == "year", 2.0, 0.0))
    return Inputs(
        centre=np.round(centre, 5),
        spread=np.round(spread, 5),
        least=np.round(np.nanmin(values, axis=0) - beyond, 5),
        most=np.round(np.nanmax(values, axis=0) + beyond, 5),
        covariance=np.round(np.cov(whole.T) + 1e-3 * np.eye(len(INPUTS)), 5),
    )


def covariance(design: Design, kernel: Kernel) -> FloatArray:
    """Of the machines' ln watts; shape (n, n)."""
    made = (design.makers[:, None] == design.makers[None]).astype(np.float64)
    same = (design.cpus[:, None] == design.cpus[None]).astype(np.float64)
    alike = kernel.likeness(design.scaled, design.scaled, made) + kernel.same * same
    return np.asarray(alike + np.diag(noise(design, kernel)))


def noise(design: Design, kernel: Kernel) -> FloatArray:
    """What of a machine's ln watts nothing explains, before any is doubted; (n,)."""
    return np.asarray((kernel.machine + kernel.result / design.counts) * (1 + kernel.ageing * design.ages))


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """One end's process. precision: the covariance's inverse, nobody doubted; weights: (n,), of ln watts."""

    design: Design
    kernel: Kernel
    end_index: int
    covariance: FloatArray
    precision: FloatArray
    mean: float
    weights: FloatArray

    @classmethod
    def to(cls, design: Design, kernel: Kernel, end_index: int) -> Fitted:
        """end_index: 0 idle, 1 full."""
        of = covariance(design, kernel)
        precision = np.asarray(np.linalg.inv(of), dtype=np.float64)
        unfitted = cls(design, kernel, end_index, of, precision, 0.0, np.zeros(len(of)))
        return unfitted.without(np.array([], dtype=np.intp))

    def without(self, gone: np.ndarray) -> Fitted:
        """The same, had these machines (n,) not been there; their weights are 0.

        Source: Rasmussen, Williams, 2006, section 5.4.2, for groups.
        """
        kept = np.setdiff1d(np.arange(len(self.covariance)), gone)
        among = self.precision[np.ix_(kept, kept)]
        if len(gone):
            toward = self.precision[np.ix_(kept, gone)]
            among = among - toward @ np.linalg.solve(self.precision[np.ix_(gone, gone)], toward.T)
        target = self.design.log_watts[kept, self.end_index]
        mean = float(target.mean())
        doubts = doubts_of(among, target - mean, self.design.cpus[kept])
        doubted = np.diag(noise(self.design, self.kernel)[kept] * (doubts - 1))
        weights = np.zeros(len(self.covariance))
        weights[kept] = np.linalg.solve(self.covariance[np.ix_(kept, kept)] + doubted, target - mean)
        return replace(self, mean=mean, weights=weights)

    def end(self) -> End:
        """As a model evaluates it."""
        kernel = self.kernel
        return End(
            offset=self.mean + _CONSTANT * float(self.weights.sum()),
            slopes=np.array(kernel.trend) * (self.design.scaled.T @ self.weights),
            narrowness=np.array(kernel.narrowness),
            near=kernel.near,
            made=kernel.made,
            same=kernel.same,
            weights=self.weights,
        )


def doubts_of(precision: FloatArray, target: FloatArray, cpus: np.ndarray) -> FloatArray:
    """By which a machine's noise is multiplied, ≥ 1: its square distance from what the others say of its CPU,
    in units of twice what is usual (some results are power-capped, some have shelves of disks).
    """
    weights, off = precision @ target, np.empty(len(target))
    for cpu in np.unique(cpus):
        of = np.flatnonzero(cpus == cpu)
        off[of] = np.linalg.solve(precision[np.ix_(of, of)], weights[of])
    usual = _TO_DEVIATION * float(np.median(np.abs(off)))
    return np.maximum(1.0, (off / (2 * usual)) ** 2)


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """Idle and full load, with and without the machine's maker."""

    maker_known: tuple[Fitted, Fitted]
    maker_unknown: tuple[Fitted, Fitted]

    @classmethod
    def to(cls, design: Design, variances: Variances) -> Fits:
        """All four."""
        known, unknown = (
            (Fitted.to(design, idle, 0), Fitted.to(design, full, 1)) for idle, full in variances
        )
        return cls(known, unknown)

    def process(self, gone: np.ndarray | None = None) -> PowerProcess:
        """As a model, had the machines `gone` (n,) not been there."""
        design = self.maker_known[0].design
        pairs: tuple[tuple[Fitted, Fitted], ...] = (self.maker_known, self.maker_unknown)
        if gone is not None:
            pairs = tuple((idle.without(gone), full.without(gone)) for idle, full in pairs)
        known, unknown = (Ends(idle.end(), full.end()) for idle, full in pairs)
        cpus, makers = tuple(design.cpus.tolist()), tuple(design.makers.tolist())
        return PowerProcess(design.inputs, design.scaled, cpus, makers, known, unknown)


def with_known(process: PowerProcess, servers: Sequence[Server]) -> PowerProcess:
    """With the median of what a CPU's own results draw beyond what is said of them; of one, of half of it."""
    return replace(
        process,
        maker_known=replace(process.maker_known, known=_beyond(process, servers)),
        maker_unknown=replace(process.maker_unknown, known=_beyond(process, map(of_nobody, servers))),
    )


def _beyond(process: PowerProcess, servers: Iterable[Server]) -> dict[str, tuple[float, float]]:
    servers = list(servers)
    cpus = np.array([server.cpu for server in servers])
    said = [process.watts_per_chip(of.specification, is_dense=of.is_dense) for of in servers]
    beyond = np.log([(of.idle_watts, of.full_watts) for of in servers]) - np.log(said)
    known = {}
    for cpu in np.unique(cpus):
        own = beyond[cpus == cpu]
        idle, full = np.median(own, axis=0) * len(own) ** 2 / (len(own) ** 2 + 1)
        known[str(cpu)] = (float(idle), float(full))
    return known


def of_nobody(server: Server) -> Server:
    """The same, nobody knows by whom it was made."""
    return replace(server, specification=replace(server.specification, maker=""))
