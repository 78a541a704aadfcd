"""The shipped model for machines that nobody meters, its card, and the tables by which machines are known.

`python -m estimator.training.curves.power_from_specification` reads the tables in tests/data and writes, byte
for byte the same each time, models/power-from-specification.{json,md} and estimator/machine/tables/*.csv.
With `--machines own.csv --output mine/` a fleet's own hosts are fitted, too; with `--search` the variances
are searched for anew (some six minutes). tests/data/README.md has the origins.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estimator.machine.catalogue import CPU_TABLE, INSTANCE_TABLE, Catalogue
from estimator.machine.description import Knowledge
from estimator.model.file import parse_model, render_model
from estimator.model.specification_file import specification_document
from estimator.model.specification_zone import Factors, SpecificationZone
from estimator.training.curves.card import render_card
from estimator.training.curves.levels import (
    Machine,
    read_load_series,
    read_machines,
    second_thread_of,
    shapes_of,
)
from estimator.training.curves.process_fit import Design, Fits, design_of, with_known
from estimator.training.curves.scores import (
    COVERAGE,
    LeftOut,
    bounds,
    held_out_scores,
    leave_out,
    level_scores,
    plain_scores,
    unknown_bounds,
)
from estimator.training.curves.search import SINCE, fold_of, read_variances, search_all
from estimator.training.curves.specpower import Server, read_own, read_servers
from estimator.training.curves.tables import cpu_table, instance_table

NAME = "power-from-specification"
ZONE = "platform"
# Stated, not the clock's: the same tables give the same bytes. Moves when a table or the method does.
CREATED = "2026-11-29"
_METHOD = "conformal, CPU models left out; families with too few machines by all"
_TABLES = (
    "specpower_2026.csv",
    "specpower_levels.csv",
    "cpu_specifications.csv",
    "further_cpus.csv",
    "aws_instances.csv",
    "gcp_instances.csv",
)


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """All that a model is made of, and what it says of machines that it has not seen.

    nested: rows since SINCE, left out with variances for which no row of the family was seen, either.
    """

    servers: Sequence[Server]
    design: Design
    fits: Fits
    left_out: LeftOut
    nested: LeftOut
    machines: Sequence[Machine]
    second_thread: float


def train(data: Path, catalogue: Catalogue, own: Sequence[Server] = ()) -> Training:
    """Fit all, and leave everything out twice."""
    servers = [*read_servers(data, catalogue), *own]
    design = design_of(servers)
    fits, *of_folds = (Fits.to(design, variances) for variances in read_variances())
    left_out = leave_out(servers, design, lambda _: fits, catalogue)
    recent = [server for server in servers if server.published >= SINCE]
    nested = leave_out(recent, design, lambda family: of_folds[fold_of(family)], catalogue)
    machines = read_machines(data, catalogue)
    second = second_thread_of(read_load_series(data, "some_cores"), shapes_of(machines)["any"])
    return Training(servers, design, fits, left_out, nested, machines, second)


def zone_of(training: Training) -> SpecificationZone:
    """The model's one zone."""
    unknown, within = unknown_bounds(training.servers)
    factors: dict[Knowledge, Mapping[str, Factors]] = {
        known: bounds(training.left_out, known) for known in training.left_out.errors
    }
    return SpecificationZone(
        process=with_known(training.fits.process(), training.servers),
        shapes=shapes_of(training.machines),
        second_thread=training.second_thread,
        factors={**factors, "nothing": {"any": within}},
        unknown=unknown,
        coverage=COVERAGE,
    )


def content_of(training: Training, data: Path, name: str = NAME) -> dict[str, Any]:
    """The model's content, as render_model takes it."""
    none = ("vendor", "family", "model", "microarchitecture", "cores", "sockets", "tdp_watts")
    return {
        "name": name,
        "created": CREATED,
        "machine": dict.fromkeys(none),
        "features": {"cpu_seconds": "s"},
        "zones": {ZONE: specification_document(zone_of(training), _METHOD)},
        "envelope": {"cpu_seconds": [0.0, 1.0]},
        "scores": {
            split: {ZONE: score}
            for split, score in {
                **held_out_scores(training.left_out),
                **{f"nested_{ask}": score for ask, score in plain_scores(training.nested).items()},
                **level_scores(training.machines, training.design, training.fits),
            }.items()
        },
        "training": {
            "rows": len(training.servers),
            "source": f"tests/data/{_TABLES[0]}",
            "sha256": _sha256(data / _TABLES[0]),
            "tables": {table: _sha256(data / table) for table in _TABLES},
        },
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m estimator.training.curves.power_from_specification",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("--output", type=Path, default=Path("models"), help="where model and card go")
    parser.add_argument("--tables", type=Path, help="where the tables go (default: estimator/machine/tables)")
    parser.add_argument("--data", type=Path, default=Path("tests/data"), help="where the tables are")
    parser.add_argument("--machines", type=Path, metavar="CSV", help="your own hosts, see the notebook 04")
    parser.add_argument("--search", action="store_true", help="search for the variances anew, and keep them")
    options = parser.parse_args(arguments)
    catalogue = Catalogue(cpu_table(options.data), instance_table(options.data))
    own = read_own(options.machines, catalogue) if options.machines else ()
    if options.search:
        search_all(read_servers(options.data, catalogue), catalogue)
    training = train(options.data, catalogue, own)
    name = NAME if options.machines is None else options.machines.stem
    text = render_model(content_of(training, options.data, name))
    model = parse_model(f"{name}.json", text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / f"{name}.json").write_text(text, encoding="utf-8")
    (options.output / f"{name}.md").write_text(
        render_card(model, training.left_out, training.nested), encoding="utf-8"
    )
    tables = options.tables or (Path("estimator/machine/tables") if options.machines is None else None)
    if tables:
        (tables / CPU_TABLE).write_text(cpu_table(options.data), encoding="utf-8")
        (tables / INSTANCE_TABLE).write_text(instance_table(options.data), encoding="utf-8")
    sys.stdout.write(f"{name} in {options.output}\n")


if __name__ == "__main__":
    main()
