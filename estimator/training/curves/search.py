"""The variances of power by specification, searched for by cross-validation; VARIANCES holds what was found.

Each end (idle, full load), with and without the machine's maker, on its own: from Kernel's round numbers,
one after the other is multiplied or divided by the first of _FACTORS, then the next, as long as that lowers
the error on CPU models and families left out. Once with all rows, for the model that is shipped; and once for
each of FOLDS groups of families without any row of theirs, so that the nested scores are of machines by which
no variance was chosen.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from estimator.energy import FloatArray
from estimator.machine.catalogue import Catalogue
from estimator.machine.names import chips_by_name
from estimator.machine.specification import Specification
from estimator.model.process import INPUTS, inputs_of
from estimator.training.curves.process_fit import (
    Design,
    Kernel,
    Variances,
    covariance,
    design_of,
    doubts_of,
    noise,
)
from estimator.training.curves.specpower import Server

VARIANCES = Path(__file__).with_name("variances.json")
FOLDS = 3
SINCE = 2021
# By end: of several orders those that led furthest with all rows.
_FACTORS = ((4.0, 2.0, 2.0, 1.4), (8.0, 3.0, 2.0, 1.4))
_SCALARS = ("near", "same", "result", "machine", "ageing")
# Promised by who asks: idle's median and 90th percentile of absolute errors, then full's. Error is in these.
PROMISED = {
    "specified": ((0.12, 0.35), (0.08, 0.20)),
    "named": ((0.14, 0.38), (0.10, 0.25)),
    "family": ((0.25, 0.60), (0.18, 0.40)),
    "family_left_out": ((0.18, 0.35), (0.10, 0.24)),
}
_OF_HOSTS = ("specified", "family_left_out")


def fold_of(family: str) -> int:
    """The group of families that it is left out with: by its name, so that no other one moves it."""
    return zlib.crc32(family.encode()) % FOLDS


def read_variances() -> list[Variances]:
    """Of all rows, then of each fold left out."""
    return [
        tuple(tuple(Kernel.of(end) for end in ends) for ends in found)  # type: ignore[misc]
        for found in json.loads(VARIANCES.read_text(encoding="utf-8"))
    ]


def search_all(servers: Sequence[Server], catalogue: Catalogue) -> None:
    """Writes VARIANCES anew."""
    folds = [fold_of(server.specification.family or "") for server in servers]
    kept = [[server for server, of in zip(servers, folds, strict=True) if of != n] for n in range(FOLDS)]
    found = [_found(of, catalogue) for of in (servers, *kept)]
    VARIANCES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _found(servers: Sequence[Server], catalogue: Catalogue) -> list[list[dict[str, Any]]]:
    design = design_of(servers)
    asked = list(_asked(servers, design, catalogue))
    return [
        [_rounded(search(design, asked, end, is_told=is_told)) for end in (0, 1)] for is_told in (True, False)
    ]


def _rounded(kernel: Kernel) -> dict[str, Any]:
    return {
        name: [float(f"{one:.4g}") for one in of] if isinstance(of, tuple) else float(f"{of:.4g}")
        for name, of in asdict(kernel).items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Machines of which one thing is known, all of a CPU model or family that was left out together.

    scaled: (m, n_inputs) of parts; mean: (n_asked, m), how they are averaged; true: (n_asked, 2), ln watts.
    gone: the machines of the design that were left out.
    """

    known: str
    scaled: FloatArray
    makers: np.ndarray
    mean: FloatArray
    true: FloatArray
    gone: np.ndarray


def _asked(servers: Sequence[Server], design: Design, catalogue: Catalogue) -> Iterator[Asked]:
    recent = [server for server in servers if server.published >= SINCE]
    for cpu in sorted({server.cpu for server in recent}):
        of, gone = [server for server in recent if server.cpu == cpu], np.flatnonzero(design.cpus == cpu)
        family = of[0].specification.family or ""
        yield _plain("specified", of, design, gone)
        named = [_by_name(server) for server in of]
        yield _plain("named", named, design, gone)
        if len(np.unique(design.cpus[design.families == family])) > 1:
            yield _of_family(of, catalogue.largest_of(family), design, gone)
    for family in sorted({server.specification.family or "" for server in recent}):
        of = [server for server in recent if server.specification.family == family]
        yield _plain("family_left_out", of, design, np.flatnonzero(design.families == family))


def _by_name(server: Server) -> Server:
    of = replace(server.specification, chips=chips_by_name(server.cpu), memory_gb_per_chip=None)
    return replace(server, specification=of, is_dense=False)


def _plain(known: str, of: Sequence[Server], design: Design, gone: np.ndarray) -> Asked:
    scaled = [design.inputs.scaled(inputs_of(one.specification, is_dense=one.is_dense)) for one in of]
    makers = np.array([one.specification.maker for one in of])
    return Asked(known, np.array(scaled), makers, np.eye(len(of)), _log_watts(of), gone)


def _of_family(
    of: Sequence[Server], parts: Sequence[Specification], design: Design, gone: np.ndarray
) -> Asked:
    """As SpecificationZone takes a guest that knows its family alone, per thread."""
    scaled = np.array([design.inputs.scaled(inputs_of(part)) for part in parts])
    cores = np.array([part.cores_per_chip or 1.0 for part in parts])
    threads = np.log([part.threads_per_chip or 1.0 for part in parts])
    own = np.log([server.specification.threads_per_chip or 1.0 for server in of])
    more = float(np.average(threads, weights=cores)) - own
    mean = np.tile(cores / cores.sum(), (len(of), 1))
    nobody = np.full(len(parts), "")
    return Asked("family", scaled, nobody, mean, _log_watts(of) + more[:, np.newaxis], gone)


def _log_watts(of: Sequence[Server]) -> FloatArray:
    return np.log([(server.idle_watts, server.full_watts) for server in of])


def search(design: Design, asked: Sequence[Asked], end: int, *, is_told: bool) -> Kernel:
    """The kernel that the walk of the module's docstring ends at."""
    best = Kernel(made=0.5 if is_told else 0.0)
    least = error_of(design, asked, best, end, is_told=is_told)
    for factor in _FACTORS[end]:
        for name, at in _coordinates(is_told=is_told):
            for by in (factor, 1 / factor):
                tried = _moved(best, name, at, by)
                while (found := error_of(design, asked, tried, end, is_told=is_told)) < least - 1e-4:
                    best, least = tried, found
                    tried = _moved(best, name, at, by)
    return best


def _coordinates(*, is_told: bool) -> list[tuple[str, int | None]]:
    scalars = (*_SCALARS, "made") if is_told else _SCALARS
    inputs = [(name, at) for name in ("narrowness", "trend") for at in (None, *range(len(INPUTS)))]
    return [*((name, None) for name in scalars), *inputs]


def _moved(kernel: Kernel, name: str, at: int | None, by: float) -> Kernel:
    """at: the input; None: all of them."""
    value = getattr(kernel, name)
    if isinstance(value, tuple):
        moved = tuple(one * (by if at in (None, index) else 1.0) for index, one in enumerate(value))
        return replace(kernel, **{name: moved})  # type: ignore[arg-type]
    return replace(kernel, **{name: value * by})


def error_of(design: Design, asked: Sequence[Asked], kernel: Kernel, end: int, *, is_told: bool) -> float:
    """In units of what is promised: the means over who asks, and the worst; doubts as of all machines.

    A machine whose maker is known is a host; one whose maker is not is a host or a guest.
    """
    mean = float(design.log_watts[:, end].mean())
    target, alike = design.log_watts[:, end] - mean, covariance(design, kernel)
    doubts = doubts_of(np.asarray(np.linalg.inv(alike)), target, design.cpus)
    precision = np.linalg.inv(alike + np.diag(noise(design, kernel) * (doubts - 1)))
    weights = precision @ target
    errors: Mapping[str, list[FloatArray]] = {known: [] for known in (_OF_HOSTS if is_told else PROMISED)}
    gone, kept = None, weights
    for of in asked:
        if of.known in errors:
            if of.gone is not gone:
                gone = of.gone
                block = np.linalg.solve(precision[np.ix_(gone, gone)], weights[gone])
                kept = weights - precision[:, gone] @ block
            made = (of.makers[:, None] == design.makers[None]).astype(np.float64)
            said = of.mean @ (kernel.likeness(of.scaled, design.scaled, made) @ kept)
            off = said + mean - of.true[:, end]
            errors[of.known].append(np.abs(np.expm1(off)))
    ratios, means = [], []
    for known, all_of in errors.items():
        found = np.concatenate(all_of)
        ratios.append(np.quantile(found, (0.5, 0.9)) / PROMISED[known][end])
        means.append(np.minimum(found, 1.0).mean() / PROMISED[known][end][0])
    return float(np.mean(means) + np.mean(ratios) + np.max(ratios))
