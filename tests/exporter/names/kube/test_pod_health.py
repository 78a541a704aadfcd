"""What is said of Kubernetes: once, when it changes."""

from __future__ import annotations

import pytest

from exporter.names.kube.health import STRANGE_SECONDS, PodHealth


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> PodHealth:
    made = PodHealth("the server", clock)
    made.answered()
    return made


def test_pods_of_which_none_is_known_for_a_minute_are_worth_a_line(
    health: PodHealth, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for clock.now in (0.0, STRANGE_SECONDS - 1.0):
        health.looked_up(is_known=False, pods=0)
    assert not caplog.messages
    for clock.now in (STRANGE_SECONDS, STRANGE_SECONDS + 5.0):
        health.looked_up(is_known=False, pods=0)
    (line,) = caplog.messages
    assert "the server: it tells of 0 pods, and none of those that run here is among them" in line


def test_a_server_that_is_silent_begins_the_minute_anew(
    health: PodHealth, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    health.looked_up(is_known=False, pods=1)
    clock.now = STRANGE_SECONDS - 1.0
    health.is_current = False
    health.looked_up(is_known=False, pods=1)
    health.is_current = True
    clock.now = STRANGE_SECONDS + 5.0
    health.looked_up(is_known=False, pods=1)
    assert not caplog.messages


def test_once_one_was_known_the_node_has_its_name_and_who_is_not_known_is_new(
    health: PodHealth, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    health.looked_up(is_known=True, pods=1)
    for clock.now in (10.0, 10.0 + STRANGE_SECONDS, 10.0 + 2 * STRANGE_SECONDS):
        health.looked_up(is_known=False, pods=1)
    assert not caplog.messages
