"""A zone of kind "specification" as a model file has it, read strictly and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from estimator.energy import FloatArray
from estimator.machine.description import Knowledge
from estimator.model.document import Field
from estimator.model.process import INPUTS, End, Ends, Inputs, PowerProcess
from estimator.model.specification_zone import Factors, SpecificationZone

_MOST_SERVERS = 2_000
_MOST = 1e9
_LEVELS = 11
_KNOWLEDGE: tuple[Knowledge, ...] = ("specified", "named", "family", "nothing")


def read_specification_zone(zone: Field) -> SpecificationZone:
    """The zone, or ModelInvalid naming the field."""
    if [name.text() for name in zone["inputs"]["names"].elements(len(INPUTS))] != list(INPUTS):
        zone["inputs"]["names"].refuse(", ".join(INPUTS))
    cpus = tuple(cpu.text() for cpu in zone["servers"]["cpus"].elements(_MOST_SERVERS))
    return SpecificationZone(
        process=PowerProcess(
            inputs=_inputs(zone["inputs"]),
            servers=_matrix(zone["servers"]["scaled"], len(cpus)),
            cpus=cpus,
            makers=_makers(zone["servers"]["makers"], len(cpus)),
            maker_known=_ends(zone["maker_known"], len(cpus)),
            maker_unknown=_ends(zone["maker_unknown"], len(cpus)),
        ),
        shapes={name: _shape(zone["shapes"][name]) for name in ("AMD", "Intel", "any")},
        second_thread=zone["second_thread"].number(most=1.0),
        factors={known: _by_family(zone["interval"][known]) for known in _KNOWLEDGE},
        unknown=(
            zone["unknown"]["idle_watts_per_cpu"].number(1e-6, _MOST),
            zone["unknown"]["full_watts_per_cpu"].number(1e-6, _MOST),
        ),
        coverage=zone["interval"]["coverage"].number(most=1.0),
    )


def _makers(makers: Field, n_servers: int) -> tuple[str, ...]:
    found = tuple(maker.text() for maker in makers.elements(n_servers))
    if len(found) != n_servers:
        makers.refuse(f"{n_servers} makers, one of each server")
    return found


def _inputs(inputs: Field) -> Inputs:
    def row(name: str, least: float) -> FloatArray:
        return _row(inputs[name], len(INPUTS), least)

    return Inputs(
        centre=row("centre", -_MOST),
        spread=row("spread", 1e-9),
        least=row("least", -_MOST),
        most=row("most", -_MOST),
        covariance=_matrix(inputs["covariance"], len(INPUTS)),
    )


def _ends(ends: Field, n_servers: int) -> Ends:
    known = {cpu: _known(of) for cpu, of in ends["known"].items()}
    return Ends(_end(ends["idle"], n_servers), _end(ends["full"], n_servers), known)


def _end(end: Field, n_servers: int) -> End:
    return End(
        offset=end["offset"].number(-_MOST, _MOST),
        slopes=_row(end["slopes"], len(INPUTS), -_MOST),
        narrowness=_row(end["narrowness"], len(INPUTS), 0.0),
        near=end["near"].number(most=_MOST),
        made=end["made"].number(most=_MOST),
        same=end["same"].number(most=_MOST),
        weights=_row(end["weights"], n_servers, -_MOST),
    )


def _known(of: Field) -> tuple[float, float]:
    values = _row(of, 2, -10.0, 10.0)
    return float(values[0]), float(values[1])


def _by_family(of: Field) -> Mapping[str, Factors]:
    of["any"].mapping()
    return {family: Factors(_pair(factors["idle"]), _pair(factors["full"])) for family, factors in of.items()}


def _pair(factors: Field) -> tuple[float, float]:
    values = _row(factors, 2, 1.0, 1e3)
    return float(values[0]), float(values[1])


def _shape(levels: Field) -> tuple[float, ...]:
    values = _row(levels, _LEVELS, 0.0, 1.0)
    if values[0] != 0 or values[-1] != 1 or (np.diff(values) < 0).any():
        levels.refuse("levels that rise from 0 to 1")
    return tuple(values.tolist())


def _row(field: Field, n: int, least: float = -_MOST, most: float = _MOST) -> FloatArray:
    values = field.array(n, least, most)
    if len(values) != n:
        field.refuse(f"{n} numbers")
    return values


def _matrix(field: Field, n_rows: int) -> FloatArray:
    """Rows of as many numbers as there are inputs, one after the other."""
    return _row(field, n_rows * len(INPUTS)).reshape(n_rows, len(INPUTS))


def specification_document(zone: SpecificationZone, method: str) -> dict[str, Any]:
    """The inverse of read_specification_zone; numbers rounded to what the data holds."""
    process = zone.process
    arrays = {
        "inputs": {
            "names": list(INPUTS),
            **{
                name: _listed(getattr(process.inputs, name), 7)
                for name in ("centre", "spread", "least", "most")
            },
            "covariance": _listed(process.inputs.covariance, 7),
        },
        "servers": {
            "cpus": list(process.cpus),
            "makers": list(process.makers),
            "scaled": _listed(process.servers, 5),
        },
        "maker_known": _ends_document(process.maker_known),
        "maker_unknown": _ends_document(process.maker_unknown),
    }
    interval = {
        known: {
            family: {"idle": _listed(np.array(of.idle), 4), "full": _listed(np.array(of.full), 4)}
            for family, of in by_family.items()
        }
        for known, by_family in zone.factors.items()
    }
    return {
        "kind": "specification",
        **arrays,
        "shapes": {name: list(shape) for name, shape in zone.shapes.items()},
        "second_thread": zone.second_thread,
        "unknown": {"idle_watts_per_cpu": zone.unknown[0], "full_watts_per_cpu": zone.unknown[1]},
        "interval": {"coverage": zone.coverage, "method": method, **interval},
    }


def _ends_document(ends: Ends) -> dict[str, Any]:
    known = {cpu: _listed(np.array(of), 4) for cpu, of in ends.known.items()}
    return {"idle": _end_document(ends.idle), "full": _end_document(ends.full), "known": known}


def _end_document(end: End) -> dict[str, Any]:
    return {
        "offset": float(f"{end.offset:.7g}"),
        "near": float(f"{end.near:.5g}"),
        "made": float(f"{end.made:.5g}"),
        "same": float(f"{end.same:.5g}"),
        **{name: _listed(getattr(end, name), 7) for name in ("slopes", "narrowness", "weights")},
    }


def _listed(values: FloatArray, digits: int) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in np.ravel(values)]
