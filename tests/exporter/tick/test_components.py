from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporter.tick.components import Component, Components


@pytest.fixture
def components() -> Components:
    """On a clock that goes on by 1, 2, 3, … seconds from one look to the next."""

    def times() -> Iterator[float]:
        now = step = 0.0
        while True:
            yield now
            step += 1.0
            now += step

    clock = times()
    return Components(clock=lambda: next(clock))


def test_a_part_is_timed(components: Components) -> None:
    for seconds in (1.0, 3.0):
        with components.timed("counters"):
            pass
        assert components.by_name["counters"] == Component(True, 0, seconds)


def test_a_failure_is_counted_timed_and_raised(components: Components) -> None:
    with pytest.raises(OSError, match="gone"), components.timed("power"):
        raise OSError("gone")
    assert components.by_name["power"] == Component(False, 1, 1.0)


def test_it_is_up_again_when_it_works_and_the_count_stays(components: Components) -> None:
    with pytest.raises(KeyboardInterrupt), components.timed("power"):
        raise KeyboardInterrupt
    with components.timed("power"):
        assert not components.by_name["power"].up
    assert components.by_name["power"] == Component(True, 1, 3.0)


def test_parts_are_known_from_the_moment_they_begin_in_that_order(components: Components) -> None:
    with components.timed("render"), components.timed("counters"):
        assert list(components.by_name) == ["render", "counters"]
