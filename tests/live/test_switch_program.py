"""The spans that are made of what a program saw of one CPU, with what it could not see."""

from __future__ import annotations

import pytest

from tests.live.switch_program import Switch, spans_of
from tests.live.switch_trace import Spans

END = 2**63


def switch(ns: int, prev: int, following: int, *, ran: int = 0) -> Switch:
    return ns, prev, ran, following


SEEN: dict[str, tuple[list[Switch], dict[int, Spans]]] = {
    "nothing": ([], {}),
    "all": (
        [switch(10, 7, 0), switch(20, 0, 8), switch(30, 8, 7, ran=9)],
        {7: [(0, 10), (30, END)], 0: [(10, 20)], 8: [(20, 30)]},
    ),
    "one that was woken before it was switched to": (
        [switch(10, 7, 0), switch(20, 0, 8), switch(30, 8, 7, ran=13)],
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
        [switch(10, 0, 70), switch(30, 0, 7)],
        {0: [(0, 10)], 70: [(10, 30)], 7: [(30, END)]},
    ),
    "one that goes unseen, to another": (
        [switch(10, 8, 70), switch(30, 7, 0, ran=5)],
        {8: [(0, 10)], 70: [(10, 25)], 7: [(25, 30)], 0: [(30, END)]},
    ),
    "one that comes unseen, from idle": (
        [switch(10, 7, 0), switch(30, 8, 0, ran=5)],
        {7: [(0, 10)], 0: [(10, 25), (30, END)], 8: [(25, 30)]},
    ),
}


@pytest.mark.parametrize("seen", SEEN)
def test_spans_follow_each_other_without_gaps_or_overlaps(seen: str) -> None:
    switches, spans = SEEN[seen]
    assert spans_of(switches) == spans
