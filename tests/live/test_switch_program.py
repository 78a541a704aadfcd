"""The spans that are made of what a program saw of one CPU, with what it could not see."""

from __future__ import annotations

import pytest

from tests.live.switch_program import SLEEP, SWITCH, Moment, spans_of
from tests.live.switch_trace import Spans

END = 2**63


def switch(ns: int, prev: int, following: int, *, ran: int = 0) -> Moment:
    return ns, SWITCH, prev, ran, following


def sleep(ns: int) -> Moment:
    return ns, SLEEP, 0, 0, 0


SEEN: dict[str, tuple[list[Moment], dict[int, Spans]]] = {
    "nothing": ([], {}),
    "all": (
        [switch(10, 7, 0), sleep(11), switch(20, 0, 8), switch(30, 8, 7, ran=9)],
        {7: [(0, 10), (30, END)], 0: [(10, 20)], 8: [(20, 30)]},
    ),
    "a CPU that sleeps all the time": ([sleep(5), sleep(10)], {0: [(5, END)]}),
    "one that was woken before it was switched to": (
        [switch(10, 7, 0), sleep(11), switch(20, 0, 8), switch(30, 8, 7, ran=13)],
        {7: [(0, 10), (30, END)], 0: [(10, 17)], 8: [(17, 30)]},
    ),
    "one that was woken before another went": (
        [switch(10, 0, 7), switch(20, 7, 8), switch(30, 8, 0, ran=13)],
        {0: [(0, 10), (30, END)], 7: [(10, 17)], 8: [(17, 30)]},
    ),
    "one whose clock goes back to before another came": (
        [switch(10, 0, 7), switch(20, 7, 8), switch(30, 8, 0, ran=25)],
        {0: [(0, 10), (30, END)], 8: [(10, 30)]},
    ),
    "one that goes unseen, to idle": (
        [switch(10, 0, 70), sleep(14), sleep(19), switch(30, 0, 7)],
        {0: [(0, 10), (14, 30)], 70: [(10, 14)], 7: [(30, END)]},
    ),
    "one that goes unseen, to idle that did not get to sleep": (
        [switch(10, 0, 70), switch(30, 0, 7)],
        {0: [(0, 10)], 70: [(10, 30)], 7: [(30, END)]},
    ),
    "one that goes unseen, to another": (
        [switch(10, 8, 70), switch(30, 7, 0, ran=5)],
        {8: [(0, 10)], 70: [(10, 25)], 7: [(25, 30)], 0: [(30, END)]},
    ),
    "one that goes unseen, at the end": (
        [switch(10, 8, 70), sleep(14)],
        {8: [(0, 10)], 70: [(10, 14)], 0: [(14, END)]},
    ),
    "one that comes unseen, from idle": (
        [switch(10, 7, 0), sleep(11), sleep(16), switch(30, 8, 0, ran=5)],
        {7: [(0, 10)], 0: [(10, 25), (30, END)], 8: [(25, 30)]},
    ),
    "one that goes and another that comes unseen": (
        [switch(10, 7, 70), sleep(14), switch(30, 8, 7, ran=5)],
        {7: [(0, 10), (30, END)], 70: [(10, 14)], 0: [(14, 25)], 8: [(25, 30)]},
    ),
}


@pytest.mark.parametrize("seen", SEEN)
def test_spans_follow_each_other_without_gaps_or_overlaps(seen: str) -> None:
    moments, spans = SEEN[seen]
    assert spans_of(moments) == spans
