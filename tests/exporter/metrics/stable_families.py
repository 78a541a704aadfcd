"""The list of stable families, made from the declarations: names and types never change, labels only grow.

    python -m tests.exporter.metrics.stable_families            # writes what has grown
    python -m tests.exporter.metrics.stable_families --gone kepler_x_total "since 0.9: kepler_y_total has it"

A family that goes stays in the list with what was said of it. `make docs` runs the first; it refuses a list
that falls, so that no dashboard stops working without somebody having written down why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exporter.commands.metrics_reference import every_spec
from exporter.metrics.specs import Spec

LIST = Path(__file__).with_suffix(".tsv")
STABLE = ("kepler_", "podjoule_", "process_")  # python_* is the interpreter's: what it has is not ours to say
_HEAD = "# name\ttype\tlabels, after node_name but of process_*\tgone: since when, and what serves instead"


@dataclass(frozen=True, slots=True)
class Promise:
    """One stable family. gone: what was said where it was taken away; "" while it is there."""

    name: str
    type: str
    labels: tuple[str, ...]
    gone: str = ""

    @property
    def line(self) -> str:
        """As it stands in the list."""
        return "\t".join((self.name, self.type, ",".join(self.labels), self.gone)).rstrip("\t")


def declared(specs: Iterable[Spec]) -> dict[str, Promise]:
    """By name, the stable ones of these families."""
    return {
        spec.name: Promise(spec.name, spec.type, spec.labels)
        for spec in specs
        if spec.name.startswith(STABLE)
    }


def parse(text: str) -> dict[str, Promise]:
    """By name, what a list holds. Raises ValueError for a line that is none."""
    promises: dict[str, Promise] = {}
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        name, type_, *more = line.split("\t")
        labels, gone = (*more, "", "")[:2]
        if name in promises or len(more) > 2:
            raise ValueError(f"{LIST.name}: {line!r} is there twice, or has too many columns")
        promises[name] = Promise(name, type_, tuple(filter(None, labels.split(","))), gone)
    return promises


def written(promises: Mapping[str, Promise]) -> str:
    """The list, by name."""
    return "\n".join([_HEAD, *(promises[name].line for name in sorted(promises))]) + "\n"


def broken(promised: Mapping[str, Promise], now: Mapping[str, Promise]) -> list[str]:
    """What of the promises does not hold any more, a sentence each."""
    found: list[str] = []
    for name, promise in promised.items():
        family = now.get(name)
        if promise.gone:
            found += [f"{name} is said to be gone ({promise.gone}), and is declared"] if family else []
        elif family is None:
            found.append(f"{name} is declared no more: a family goes only with --gone, which says why")
        else:
            found += _changed(promise, family)
    return found


def _changed(promise: Promise, family: Promise) -> list[str]:
    lost = [label for label in promise.labels if label not in family.labels]
    said = (
        [f"{promise.name} was a {promise.type} and is a {family.type}"] if promise.type != family.type else []
    )
    return said + ([f"{promise.name} has lost {', '.join(lost)}: labels only grow"] if lost else [])


def grown(
    promised: Mapping[str, Promise], now: Mapping[str, Promise], gone: Mapping[str, str] | None = None
) -> dict[str, Promise]:
    """The promises with what has come and what is said to have gone. Raises ValueError for what falls."""
    taken = {
        name: replace(promised[name], gone=why) for name, why in (gone or {}).items() if name in promised
    }
    kept = {**promised, **taken}
    if falls := [
        *(f"{name} was never promised" for name in (gone or {}) if name not in promised),
        *broken(kept, now),
    ]:
        raise ValueError("; ".join(falls))
    return {**kept, **now}


def main(arguments: Sequence[str]) -> int:
    """Write the list; 1 and the reasons where it would fall."""
    parser = argparse.ArgumentParser(description="Write the list of stable families.")
    parser.add_argument("--gone", nargs=2, metavar=("NAME", "WHY"), action="append", default=[])
    gone = dict(parser.parse_args(arguments).gone)
    promised = parse(LIST.read_text()) if LIST.exists() else {}
    try:
        LIST.write_text(written(grown(promised, declared(every_spec()), gone)))
    except ValueError as error:
        sys.stderr.write(f"{LIST.name} is not written: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
