"""What the log says of a state that comes and goes."""

from __future__ import annotations

import logging

import pytest

from ebpf.state_log import StateLog

log = logging.getLogger("ebpf")


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_failure_is_told_when_it_begins_when_it_changes_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = StateLog(log, "no tick", "ticking again")
    with caplog.at_level(logging.INFO, "ebpf"):
        for each in ("", "disk full", "disk full", "no disk", "", ""):
            state.enter(each)
    assert said(caplog) == [
        ("ERROR", "no tick: disk full"),
        ("ERROR", "no tick: no disk"),
        ("INFO", "ticking again"),
    ]


def test_a_failure_of_one_kind_is_told_once_however_its_message_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = StateLog(log, "100 % of it", level=logging.WARNING)
    with caplog.at_level(logging.INFO, "ebpf"):
        for i in range(3):
            state.enter("timeout", f"no answer after {i} s")
        state.enter("")
    assert said(caplog) == [("WARNING", "100 % of it: no answer after 0 s")]
