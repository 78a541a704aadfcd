"""A group that does not get onto the PMU is found within a second or two of readings, and no other is."""

from __future__ import annotations

import numpy as np
import pytest

from ebpf.group_watch import GroupWatch
from ebpf.program import EVENT_READING

MS = 1_000_000


def leaders(*times_ms: tuple[int, int]) -> np.ndarray:
    """enabled and running, by CPU."""
    made = np.zeros(len(times_ms), EVENT_READING)
    made["enabled_ns"] = [enabled * MS for enabled, _ in times_ms]
    made["running_ns"] = [running * MS for _, running in times_ms]
    return made


@pytest.fixture
def watch() -> GroupWatch:
    made = GroupWatch()
    made.cpus = {0, 1, 2}
    return made


@pytest.mark.parametrize("interval_ms", [250, 1_000, 5_000])
def test_one_that_is_enabled_and_does_not_run_is_found(watch: GroupWatch, interval_ms: int) -> None:
    found = []
    for i in range(1, 10):
        states = ((i * interval_ms, i * interval_ms), (i * interval_ms, 40), (i * interval_ms, i * 10))
        found.append(watch.look(leaders(*states)))
    first = next(i for i, cpus in enumerate(found) if cpus)
    assert found[first] == [1]
    assert first * interval_ms <= max(1_000, interval_ms), "later than need be"
    assert watch.starved == {1}


def test_one_that_never_ran_at_all_is_found(watch: GroupWatch) -> None:
    assert watch.look(leaders((3, 0), (3, 3), (3, 3))) == []
    assert watch.look(leaders((5_003, 0), (5_003, 5_003), (5_003, 5_003))) == [0]


def test_a_cpu_on_which_nothing_was_looked_at_is_not_starved(watch: GroupWatch) -> None:
    for _ in range(5):
        assert watch.look(leaders((9_000, 4_000), (0, 0), (1, 1))) == []


def test_events_that_were_opened_anew_have_their_second(watch: GroupWatch) -> None:
    watch.look(leaders((90_000, 90_000), (1, 1), (1, 1)))
    assert watch.look(leaders((700, 0), (1, 1), (1, 1))) == []
    assert watch.look(leaders((1_400, 0), (1, 1), (1, 1))) == []
    assert watch.look(leaders((1_800, 0), (1, 1), (1, 1))) == [0]


def test_events_that_are_read_apart_may_starve_alone(watch: GroupWatch) -> None:
    watch.cpus = {1}
    watch.look(leaders((0, 0), (0, 0), (0, 0)))
    assert watch.look(leaders((9_000, 0), (9_000, 9_000), (9_000, 0))) == []
