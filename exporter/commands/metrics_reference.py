"""The page on metrics, made from the table of families: python -m exporter.commands.metrics_reference."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from exporter.metrics.families import SPECS, Spec
from exporter.metrics.selfmetrics import OwnFamilies

_HEAD = """<!-- Made by `make docs` from exporter/metrics/families.py; edit that. -->
# Metrics

Every series but those of `process_*` and `python_*` also has the label `node_name`. Counters never go down
while their series is there; the series of a workload that has ended goes after `monitor.terminatedTTL`.
Zones overlap (`core` and `uncore` lie in `package`, `psys` holds them all): never add them up. A gauge that
the last tick has no value for has no series. In OpenMetrics each counter has a line `_created` beside it, the
Unix time at which it was 0: docs/metrics.md.
"""

_GROUPS = (
    (
        "kepler_",
        "Kepler's",
        "Names, labels and units are Kepler 0.11's: queries on them work unchanged.",
    ),
    ("podjoule_", "podjoule's own", "What Kepler does not have, and what podjoule says of itself."),
    ("process_", "The process's", "What every Prometheus client has."),
    ("python_", "The interpreter's", "What every Prometheus client in Python has."),
)
_COLUMNS = "| name | type | labels | unit | help |\n|---|---|---|---|---|\n"

# How a name ends, before _total: https://prometheus.io/docs/practices/naming/#base-units
_UNITS = ("joules", "watts", "seconds", "grams", "ratio", "bytes")


def reference(specs: Iterable[Spec]) -> str:
    """The page, in Markdown: a table a group, one row a family."""
    known = list(specs)
    return _HEAD + "".join(
        _group(title, text, [spec for spec in known if spec.name.startswith(prefix)])
        for prefix, title, text in _GROUPS
    )


def every_spec() -> list[Spec]:
    """All families there are, those of the process included."""
    own = OwnFamilies().read()
    return [*SPECS, *(Spec(family.name, family.type, family.help, family.label_names) for family in own)]


def unit_of(name: str) -> str:
    """The unit in a family's name; empty for what is counted or always 1."""
    last = name.removesuffix("_total").rpartition("_")[2]
    return last if last in _UNITS else ""


def _group(title: str, text: str, specs: Sequence[Spec]) -> str:
    return f"\n## {title}\n\n{text}\n\n{_COLUMNS}" + "".join(f"{_row(spec)}\n" for spec in specs)


def _row(spec: Spec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    return f"| {' | '.join((f'`{spec.name}`', spec.type, labels, unit_of(spec.name), spec.help))} |"


if __name__ == "__main__":
    sys.stdout.write(reference(every_spec()))
