"""The dashboards as Grafana would load them: their panels, and their queries with the variables filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy/grafana/dashboards"
NAMES = ("sustainability", "node", "pod", "gpu")

# What Grafana fills in: https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
RANGE_SECONDS = 120
FILLED_IN = {
    "$__rate_interval": "30s",
    "$__range": f"{RANGE_SECONDS}s",
    "$cluster": ".*",
    "$node": ".*",
    "$namespace": ".*",
    "$pod": ".*",
}


@dataclass(frozen=True)
class Query:
    """One query of one panel. instant: asked at the end of the range alone, else over all of it."""

    dashboard: str
    panel: str
    ref: str
    written: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard}/{self.panel}/{self.ref}"

    def filled_in(self, **variables: str) -> str:
        """As Grafana sends it; variables: of the dashboard, all values by default."""
        text = self.written
        for name, value in (FILLED_IN | {f"${name}": value for name, value in variables.items()}).items():
            text = text.replace(name, value)
        return text


def load(name: str) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All but the rows, those in a collapsed row included."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


def queries() -> list[Query]:
    return [
        Query(name, panel["title"], target["refId"], target["expr"], target.get("instant", False))
        for name in NAMES
        for panel in panels(load(name))
        for target in panel["targets"]
    ]


def query(dashboard: str, panel: str, ref: str = "A") -> Query:
    (found,) = (
        query for query in queries() if (query.dashboard, query.panel, query.ref) == (dashboard, panel, ref)
    )
    return found
