"""The shipped models for machines without a meter: `python -m estimator.power_curves --output models/`.

Reads the tables in tests/data and writes, byte for byte the same each time, one JSON file and one card for
each microarchitecture and a generic one. tests/data/README.md says where the tables come from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from estimator.curve_card import render_card
from estimator.curve_fit import (
    COVERAGE,
    WITHOUT_MACHINES,
    Curve,
    Tables,
    generic_curve,
    own_curve,
    published_curve,
    read_tables,
)
from estimator.curve_scores import DRAW, LOAD, absolute_score
from estimator.model_choice import GENERIC, slug
from estimator.model_file import parse_model, render_model
from estimator.power_model import CurveZone
from estimator.specification_card import render_specification_card
from estimator.specification_fit import (
    scaling_document,
    unseen_cpu_score,
    unseen_microarchitecture_score,
)
from estimator.specpower import NX12, PUBLISHED, SPECPOWER, read_nx12

ZONE = "platform"
# Stated, not the clock's: the same tables give the same bytes. Moves when a table or the method does.
CREATED = "2026-11-21"

SPECIFICATION_CARD = "power-from-specification.md"

_NX12_IS = "Haswell"


def build(tables: Tables) -> dict[str, str]:
    """Every model's JSON by name."""
    generic = generic_curve(tables)
    curves = [own_curve(tables, name, generic) for name in sorted(tables.servers)]
    curves += [published_curve(tables, name, generic) for name in WITHOUT_MACHINES]
    named = {f"power-curve-{slug(curve.microarchitecture or '')}": curve for curve in curves}
    return {
        name: render_model(_content(name, curve, tables))
        for name, curve in {GENERIC: generic, **named}.items()
    }


def _content(name: str, curve: Curve, tables: Tables) -> dict[str, Any]:
    zone = _zone(curve)
    scores = {**curve.scores, **tables.shape_scores}
    if curve.microarchitecture in (None, _NX12_IS):
        series, n_cpu = read_nx12(tables.data)
        scores["external_nx12_wall"] = absolute_score(_as_zone(curve), series, n_cpu)
    return {
        "name": name,
        "created": CREATED,
        "machine": _machine(curve.microarchitecture),
        "features": {"cpu_seconds": "s"},
        "zones": {ZONE: zone},
        "envelope": {"cpu_seconds": [0.0, 1.0]},
        "scores": {split: {ZONE: score} for split, score in sorted(scores.items())},
        "training": _training(curve, tables.data),
    }


def _zone(curve: Curve) -> dict[str, Any]:
    scaling = {"scaling": scaling_document(curve.scaling)} if curve.scaling else {}
    return {
        **scaling,
        "kind": "curve",
        "idle_watts_per_cpu": curve.watts[0],
        "full_watts_per_cpu": curve.watts[1],
        "load": list(LOAD),
        "draw": list(DRAW),
        "interval": {
            "coverage": COVERAGE,
            "idle_factor": curve.factors[0],
            "full_factor": curve.factors[1],
            "method": curve.method,
        },
    }


def _as_zone(curve: Curve) -> CurveZone:
    return CurveZone(*curve.watts, LOAD, DRAW, *curve.factors, COVERAGE)


def _machine(microarchitecture: str | None) -> dict[str, Any]:
    unknown = dict.fromkeys(("family", "model", "cores", "sockets", "tdp_watts"))
    return {**unknown, "vendor": _vendor(microarchitecture), "microarchitecture": microarchitecture}


def _vendor(microarchitecture: str | None) -> str | None:
    if microarchitecture is None:
        return None
    vendors = {"EPYC": "AuthenticAMD", "Cortex-A72": "ARM", "Neoverse": "ARM"}
    return vendors.get(microarchitecture.split()[0], "GenuineIntel")


def _training(curve: Curve, data: Path) -> dict[str, Any]:
    table = SPECPOWER if curve.rows else PUBLISHED
    scored_on = [data / PUBLISHED, data / NX12, *sorted((data / "load_vs_rapl").glob("*/*.csv"))]
    return {
        "rows": curve.rows,
        "source": f"tests/data/{table}",
        "sha256": _sha256(data / table),
        "scored_on": {path.relative_to(data).as_posix(): _sha256(path) for path in scored_on},
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def specification_card(tables: Tables) -> str:
    """The table of how far power from specification is off, by microarchitecture."""
    scores = {name: unseen_cpu_score(tables.servers, name) for name in tables.servers}
    every = unseen_cpu_score(tables.servers, *tables.servers)
    return render_specification_card(scores, every, unseen_microarchitecture_score(tables.servers))


def write(models: Mapping[str, str], output: Path) -> None:
    """One JSON file and one card for each model; nothing is written unless all of them can be read back."""
    cards = {
        name: render_card(parse_model(f"{name}.json", text), json.loads(text))
        for name, text in models.items()
    }
    for name, text in models.items():
        (output / f"{name}.json").write_text(text, encoding="utf-8")
        (output / f"{name}.md").write_text(cards[name], encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m estimator.power_curves", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--output", type=Path, required=True, help="where the models and their cards go")
    parser.add_argument("--data", type=Path, default=Path("tests/data"), help="where the tables are")
    options = parser.parse_args(arguments)
    tables = read_tables(options.data)
    models = build(tables)
    write(models, options.output)
    (options.output / SPECIFICATION_CARD).write_text(specification_card(tables), encoding="utf-8")
    sys.stdout.write(f"{len(models)} models in {options.output}\n")


if __name__ == "__main__":
    main()
