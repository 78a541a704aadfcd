"""The parts of `make test`: whatever is found here is in one run of one part, and in that run's folders."""

from __future__ import annotations

import pytest

from tests.__main__ import PARTS, Run
from tests.conftest import COLLECTED

RUNS = [(part, run) for part, runs in PARTS.items() for run in runs]


def test_each_test_is_in_one_run_of_one_part(request: pytest.FixtureRequest) -> None:
    collected = request.config.stash[COLLECTED]
    known = {name.partition(":")[0] for name in request.config.getini("markers")}
    twice_or_never = {
        test for test, marks in collected.items() if sum(_selects(run, marks, known) for _, run in RUNS) != 1
    }
    assert request.node.nodeid in collected
    assert twice_or_never == set()


@pytest.mark.parametrize(("part", "run"), RUNS, ids=lambda value: getattr(value, "marks", value))
def test_all_that_a_run_selects_is_in_its_folders(
    request: pytest.FixtureRequest, part: str, run: Run
) -> None:
    collected = request.config.stash[COLLECTED]
    known = {name.partition(":")[0] for name in request.config.getini("markers")}
    below = tuple(run.arguments())[-len(run.folders) :]
    elsewhere = {
        test
        for test, marks in collected.items()
        if _selects(run, marks, known)
        and not any(test.startswith((f"{each}/", f"{each}::")) or each == "tests/." for each in below)
    }
    assert elsewhere == set(), f"`make test PARTS={part}` would not find them"


def test_a_test_that_is_named_takes_the_place_of_the_folders() -> None:
    run = Run("live", ("live", "soak"), ("-x",))
    named = "tests/test_parts.py::test_it"
    assert run.arguments(["-k", "it"]) == ["-m", "live", "-x", "tests/live", "tests/soak", "-k", "it"]
    assert run.arguments([named]) == ["-m", "live", "-x", named]


def _selects(run: Run, marks: set[str], known: set[str]) -> bool:
    """As pytest's -m does, whose words are Python's."""
    return bool(eval(run.marks, {"__builtins__": {}}, {name: name in marks for name in known}))
