"""docs/tour.md leads to functions that are there, in at most twelve stops."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOUR = (ROOT / "docs/tour.md").read_text()
STOPS = re.findall(r"^\d+\. .*?(?=^\d+\. |\Z)", TOUR, re.MULTILINE | re.DOTALL)
LINKS = re.findall(r"\[`(\w+)`\]\(\.\./([\w./]+)\)", TOUR)


def functions_of(path: Path) -> set[str]:
    if path.suffix == ".py":
        found = ast.walk(ast.parse(path.read_text()))
        return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return set(re.findall(r"^(?:static \w+ )?\w+ (\w+)\(", path.read_text(), re.MULTILINE))


def test_it_has_at_most_twelve_stops_and_each_leads_to_a_function() -> None:
    assert 1 <= len(STOPS) <= 12
    assert all(re.search(r"\[`\w+`\]\(\.\./", stop) for stop in STOPS)


@pytest.mark.parametrize(("name", "path"), LINKS)
def test_the_function_is_there(name: str, path: str) -> None:
    assert name in functions_of(ROOT / path)


def test_a_function_that_is_not_there_would_be_found() -> None:
    assert "no_such_function" not in functions_of(ROOT / "estimator/attribution/shares.py")
