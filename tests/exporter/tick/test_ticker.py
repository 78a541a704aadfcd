"""The tick: on its grid, alive or not, whatever fails in it and whenever a signal comes."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest

from exporter.books.row_lifetimes import Lifetimes
from exporter.configuration.option_tree import Monitor
from exporter.tick.measurement import Tick
from exporter.tick.ticker import Ticker
from tests.exporter.nodes import Node, container, of, series, with_levels


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def every(node: Node, seconds: float) -> Ticker:
    node.ticker.config = replace(node.config, monitor=Monitor(interval_seconds=seconds))
    return node.ticker


def test_nothing_is_published_before_the_first_tick() -> None:
    assert Node().publisher.page is None


def test_a_first_tick_that_fails_publishes_nothing() -> None:
    node = Node()
    node.source.failures.append(OSError(5, "I/O"))
    node.ticker.tick()
    assert node.publisher.page is None
    assert of(node.tick(), "podjoule_component_errors_total", component="counters") == 1


def test_a_tick_that_fails_is_on_the_page_and_counters_stay() -> None:
    node = Node()
    node.source.add(container(1))
    node.tick()
    node.source.use(container(1), 1.0)
    before = node.tick()
    node.source.failures.append(OSError(5, "I/O"))
    samples = node.tick()
    assert of(samples, "podjoule_component_up", component="counters") == 0
    assert of(samples, "podjoule_ticks_total") == 3
    name = "kepler_container_cpu_seconds_total"
    assert series(samples, name) == series(before, name) != {}


def test_workloads_go_on_ending_while_ticks_fail() -> None:
    node = Node(ttl=10.0)
    node.source.add(container(1))
    node.tick()
    node.source.end(container(1))
    node.tick()
    for _ in range(3):
        node.source.failures.append(OSError(5, "I/O"))
        samples = node.tick()
    assert not series(samples, "kepler_container_cpu_seconds_total")


def test_each_kind_of_failure_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exporter.tick")
    node = Node()
    node.tick()
    for message in ("first", "first", "second"):
        node.source.failures.append(OSError(message))
        node.tick()
    node.tick()
    node.tick()
    told = [record for record in caplog.records if record.name == "exporter.tick"]
    lines = [(record.levelname, record.getMessage().rpartition(": ")[2]) for record in told]
    assert lines == [("ERROR", "first"), ("ERROR", "second"), ("INFO", "ticking again")]


def test_rendering_that_fails_does_not_end_the_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    node.tick()
    page = node.publisher.page
    with monkeypatch.context() as patch:
        patch.setattr(node.publisher._collector, "measured", lambda *_: 1 / 0)
        node.ticker.tick()
        assert node.publisher.page is page
    assert of(node.tick(), "podjoule_component_errors_total", component="render") == 1


def test_a_tick_that_nobody_asks_for_renders_nothing_and_one_that_many_ask_for_does_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node, calls = Node(), list[str]()
    collector, renderer = node.publisher._collector, node.publisher._renderer
    own, render = collector.own, renderer.render
    monkeypatch.setattr(collector, "own", lambda: (calls.append("own"), own())[1])
    monkeypatch.setattr(
        renderer, "render", lambda *args: (calls.append(f"render {args[1]}"), render(*args))[1]
    )
    for _ in range(3):
        node.ticker.tick()
    assert calls == []
    page = node.publisher.page
    assert page is not None
    text, openmetrics = page.body(), page.body(openmetrics=True)
    assert b"python_info" in text
    assert [page.body(), page.body(openmetrics=True)] == [text, openmetrics]
    assert sorted(calls) == ["own", "render False", "render True"]


@pytest.mark.parametrize(("interval", "allowed"), [(5.0, 15.0), (0.1, 10.0), (60.0, 180.0)])
def test_it_is_healthy_while_ticks_begin(interval: float, allowed: float) -> None:
    node, clock = Node(), Clock()
    config = replace(node.config, monitor=Monitor(interval_seconds=interval))
    ticker = Ticker(config, node.measurement, node.publisher, clock)
    clock.now += allowed
    assert ticker.healthy() is None
    clock.now += 1.0
    assert ticker.healthy() == (f"the last tick began {allowed + 1:.0f} s ago, more than {allowed:.0f} s")
    ticker.tick()
    assert ticker.healthy() is None


def test_a_tick_is_timed() -> None:
    node, clock = Node(), Clock()
    node.begin(clock)
    ticker = node.ticker
    advance = node.measurement.advance

    def slowly() -> Tick:
        clock.now += 0.25
        return advance()

    node.measurement.advance = slowly  # type: ignore[method-assign]
    node.ticker = ticker
    assert of(node.tick(), "podjoule_tick_duration_seconds") == 0.0
    assert of(node.tick(), "podjoule_tick_duration_seconds") == 0.25


def ticks_of(ticker: Ticker, count: int, cost: float = 0.0) -> list[float]:
    """When each of so many ticks began."""
    began: list[float] = []

    def tick() -> None:
        began.append(time.monotonic())
        time.sleep(cost)
        if len(began) == count:
            ticker.stop()

    ticker.tick = tick  # type: ignore[method-assign]
    ticker.run(before_tick=lambda: None)
    return began


def test_ticks_keep_to_the_grid_whatever_a_tick_takes() -> None:
    began = ticks_of(every(Node(), 0.1), 4, cost=0.05)
    assert began[-1] - began[0] == pytest.approx(0.3, abs=0.045)


def test_a_tick_that_is_late_is_not_made_up_for() -> None:
    began = ticks_of(every(Node(), 0.05), 3, cost=0.12)
    assert [after - before for before, after in pairwise(began)] == pytest.approx([0.12, 0.12], abs=0.04)


@pytest.mark.parametrize("interval", [5.0, 3600.0])
def test_stopping_does_not_wait_for_the_next_tick(interval: float) -> None:
    ticker = every(Node(), interval)
    thread = threading.Thread(target=ticker.run, args=(lambda: None,))
    thread.start()
    time.sleep(0.1)
    ticker.stop()
    thread.join(2.0)
    assert not thread.is_alive()


def test_waking_ticks_at_once_and_once() -> None:
    node = Node()
    ticker, calls = every(node, 3600.0), []
    thread = threading.Thread(target=ticker.run, args=(lambda: calls.append(time.monotonic()),))
    thread.start()
    time.sleep(0.1)
    for _ in range(3):
        ticker.wake()
    time.sleep(0.2)
    ticker.stop()
    thread.join(2.0)
    assert 2 <= len(calls) <= 3


def test_what_runs_before_a_tick_sets_the_interval_of_that_tick() -> None:
    node = Node()
    ticker, began = every(node, 3600.0), []

    def before_tick() -> None:
        began.append(time.monotonic())
        ticker.reconfigure(replace(node.config, monitor=Monitor(interval_seconds=0.02)), Lifetimes())
        if len(began) == 3:
            ticker.stop()

    ticker.run(before_tick)
    assert began[-1] - began[0] < 1.0


def test_levels_and_lifetimes_can_change_without_a_restart() -> None:
    node = Node(ttl=300.0)
    node.source.add(container(1))
    node.tick()
    node.source.end(container(1))
    assert series(node.tick(), "kepler_container_cpu_seconds_total")
    lifetimes = Lifetimes(0.0, clock=lambda: math.inf)
    node.ticker.reconfigure(with_levels(node.config, ("container",)), lifetimes)
    samples = node.tick()
    assert not series(samples, "kepler_container_cpu_seconds_total")
    assert not series(samples, "kepler_node_cpu_info") | series(samples, "kepler_node_cpu_usage_ratio")


@pytest.mark.parametrize("call", ["stop", "wake"])
def test_a_signal_may_come_between_any_two_lines(call: str) -> None:
    """As a handler does, `stop` interrupts `run` at each of its lines in turn, and those of what it calls."""
    for line in range(1, 200):
        ticker = every(Node(), 0.001)
        ticker.tick = lambda: None  # type: ignore[method-assign]
        runner = threading.Thread(target=_interrupted, args=(ticker, call, line), daemon=True)
        runner.start()
        if call == "wake":
            time.sleep(0.002)
            ticker.stop()
        runner.join(5.0)
        assert not runner.is_alive(), f"{call} at line {line} of the run: its lock is held by who waits"


def _interrupted(ticker: Ticker, call: str, at: int) -> None:
    left = at

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                getattr(ticker, call)()
        return trace

    sys.settrace(trace)
    ticker.run(before_tick=lambda: None)
    sys.settrace(None)
