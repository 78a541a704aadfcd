"""`python -m tests.bench.api`: what the page costs with 1,000 pods: the view, the documents, the history.

CPU time of the thread, since the machine may do other things; the best and the median of some runs.
"""

from __future__ import annotations

import statistics
import sys
import time
import tracemalloc

import numpy as np

from exporter.names.accounts import Account
from exporter.names.workloads import Workload
from exporter.serving.api.history import N_SLOTS, SLOT_SECONDS, History, Spent
from exporter.serving.api.routes import Api
from exporter.serving.page.ui_files import UiFiles
from exporter.serving.publisher import TickPage
from tests.exporter.nodes import Node, in_pod

PODS, RUNS = 1_000, 15
QUESTIONS = (
    ("status", ""),
    ("workloads", "level=top"),
    ("workloads", ""),
    ("history", "top=6"),
    ("history", "top=100"),
)


class _Crowd:
    """A thousand pods of one container each, all of them busy in each tick, over an hour."""

    def __init__(self) -> None:
        self._now = 1_000.0
        self.node = Node(zones=("package", "dram"))
        self.node.begin(lambda: self._now)
        for n in range(PODS):
            self.node.source.add(in_pod(n, n))

    def tick(self, seconds: float = 5.0) -> TickPage:
        for n in range(PODS):
            self.node.source.use(in_pod(n, n), 0.001 + n / 1e6, cycles=10**6, instructions=10**6)
        self.node.draw(60.0 * seconds)
        self.node.draw(6.0 * seconds, "dram")
        self.node.source.advance(seconds)
        self._now += seconds
        self.node.ticker.tick()
        assert self.node.publisher.page is not None
        return self.node.publisher.page


def main() -> None:
    """Print a line a figure."""
    crowd, api = _Crowd(), Api(UiFiles())
    for _ in range(N_SLOTS):
        crowd.tick(SLOT_SECONDS)
    _say("the tick's view", [_view_seconds(crowd) for _ in range(RUNS)])
    for path, query in QUESTIONS:
        seconds, size = [], 0
        for _ in range(RUNS):
            view = crowd.tick().view
            began = time.thread_time()
            size = len(api.respond(path, {"QUERY_STRING": query}, view, None).body)
            seconds.append(time.thread_time() - began)
        _say(f"{path}?{query}", seconds, f", {size:,} bytes")
    sys.stdout.write(f"history of {PODS} pods: {_history_bytes() / 1e6:.1f} MB with names, at its peak\n")


def _view_seconds(crowd: _Crowd) -> float:
    crowd.tick()
    return crowd.node.measurement.components.by_name["view"].duration_seconds


def _say(what: str, seconds: list[float], more: str = "") -> None:
    best, median = 1e3 * min(seconds), 1e3 * statistics.median(seconds)
    sys.stdout.write(f"{what}: {best:.2f} ms at best, {median:.2f} ms median{more}\n")


def _history_bytes() -> int:
    """The most that is allocated at a time, over an hour."""
    tracemalloc.start()
    try:
        history, accounts = History(), tuple(map(_pod, range(PODS)))
        for n in range(1, N_SLOTS + 1):
            history.add(n * SLOT_SECONDS, SLOT_SECONDS, Spent(accounts, np.ones(PODS)))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _pod(number: int) -> Account:
    return Account(Workload("pod", f"{number:036d}", f"/kubepods/pod{number:036d}"), f"web-{number}", "shop")


if __name__ == "__main__":
    main()
