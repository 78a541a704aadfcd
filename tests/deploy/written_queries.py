"""Every query in PromQL that a page, a dashboard or a rule tells somebody to ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from tests.deploy import dashboards

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yaml"

_FENCE = re.compile(r"^ *```promql\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
_FAMILY = r"\b(?:kepler|podjoule|process)_\w+"
# A function or an aggregate of one of our families, in the text or in a comment.
_INLINE = re.compile(rf"`(?P<text>(?!label_values)[a-z_]+ ?(?:by ?)?\([^`]*{_FAMILY}[^`]*\))`")
_COMMENT = re.compile(rf"^#   (?P<text>[a-z_]+\(.*{_FAMILY}.*\))$", re.MULTILINE)


@dataclass(frozen=True)
class Written:
    """Where it stands, and what is to be asked."""

    place: str
    promql: str

    def __str__(self) -> str:
        return self.place


def stanzas(block: str) -> Iterator[str]:
    """The queries of a block: a comment or an empty line ends one."""
    lines: list[str] = []
    for line in [*dedent(block).splitlines(), ""]:
        if line.strip() and not line.startswith("#"):
            lines.append(line)
        elif lines:
            yield "\n".join(lines)
            lines = []


def of_pages() -> list[Written]:
    """Those of all Markdown in the repository, in its blocks and in its sentences."""
    pages = [
        *ROOT.glob("*.md"),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "deploy").rglob("*.md")),
    ]
    found = []
    for page in pages:
        text = page.read_text()
        told = [query for fence in _FENCE.finditer(text) for query in stanzas(fence["text"])]
        told += [inline["text"] for inline in _INLINE.finditer(text)]
        place = str(page.relative_to(ROOT))
        found += [_written(f"{place}/{number}", query) for number, query in enumerate(told, start=1)]
    comments = _COMMENT.finditer(RULES.read_text())
    return found + [
        _written(f"{RULES.name}/comment {n}", at["text"]) for n, at in enumerate(comments, start=1)
    ]


def of_rules() -> list[Written]:
    """Those of recording rules and of alerts, by name."""
    return [Written(rule.get("record") or rule["alert"], rule["expr"]) for rule in rules()]


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def of_training() -> list[Written]:
    """Those that `podjoule train` and `evaluate` ask."""
    from estimator.training.prometheus_source import _expressions

    return [Written(f"training/{name}", promql) for name, promql in _expressions("", 60).items()]


def of_dashboards(**variables: str) -> list[Written]:
    """Those of every panel; variables as dashboards.Query.filled_in takes them."""
    return [Written(str(query), query.filled_in(**variables)) for query in dashboards.queries()]


def _written(place: str, promql: str) -> Written:
    return Written(place, promql.replace("$__rate_interval", "5m"))
