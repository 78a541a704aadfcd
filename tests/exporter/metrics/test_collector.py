"""podjoule in a registry of prometheus_client, and the example of how to put it there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter, ProcessCollector

from exporter.metrics.collector import PodjouleCollector
from exporter.metrics.exposition import Family, Renderer
from exporter.tick.ticker import Round
from tests.exporter.nodes import NODE, Node, container, in_pod, of, parse, series
from tests.exporter.reference import generate, newer

PAGE = Path(__file__).parents[3] / "docs/metrics.md"
ROUND = Round(3, 5.0, 0.01, 0.0125, 15.0)


class Embedded:
    """A node whose ticks go into a registry, and into the fast renderer beside it."""

    def __init__(self, **node: Any) -> None:
        self.node = Node(**node)
        self.collector = PodjouleCollector(self.node.config, self.node.measurement)
        self.registry = CollectorRegistry()
        self.registry.register(self.collector)
        self.families: list[Family] = []

    def again(self, created: bool) -> PodjouleCollector:
        """Another collector in the place of the first."""
        self.registry.unregister(self.collector)
        self.collector = PodjouleCollector(self.node.config, self.node.measurement, created)
        self.registry.register(self.collector)
        return self.collector

    def tick(self) -> None:
        tick = self.node.advance()
        self.collector.publish(tick, self.node.config, lambda: ROUND)
        levels = self.node.config.exporter.prometheus.metrics_level
        self.families = self.node.publisher._collector.measured(
            tick, levels, ROUND.number, ROUND.last_duration_seconds
        )


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "OpenMetrics"])
@pytest.mark.parametrize("idle", ["none", "proportional"])
def test_the_registrys_page_is_the_fast_renderers_byte_for_byte(openmetrics: bool, idle: str) -> None:
    made, renderer = Embedded(zones=("package", "dram"), levels=NODE, idle_policy=idle), Renderer()
    if not openmetrics:
        made.collector = made.again(created=False)
    for path in (container(1), in_pod(2), '/system.slice/say "x"\n\\.service', "/größe.slice"):
        made.node.source.add(path)
    for tick in range(4):
        made.node.draw(60.5 * tick)
        made.node.source.use(container(1), 1.0, cycles=3_000_000_000)
        if tick == 2:
            made.node.source.end(in_pod(2))
        made.tick()
        page = newer(generate(made.registry, openmetrics))
        assert page == renderer.render(made.families, openmetrics)
    assert page.count(b"\n") > 60


def test_in_the_text_format_starts_are_gauges_beside_the_counters_as_prometheus_client_has_its_own() -> None:
    made = Embedded()
    made.tick()
    lines = generate(made.registry).decode().splitlines()
    assert "# TYPE podjoule_ticks_created gauge" in lines
    assert not any("_created" in line for line in Renderer().render(made.families).decode().splitlines())
    kept = [line for line in lines if not re.match(r"(# (HELP|TYPE) )?\w+_created\b", line)]
    assert newer("\n".join([*kept, ""]).encode()) == Renderer().render(made.families)


def test_a_name_that_is_no_utf_8_costs_the_registry_its_own_letters_only() -> None:
    made = Embedded()
    name = b"a\xffb".decode(errors="surrogateescape")
    made.families = [Family("x_ratio", "X", "gauge", ("comm",), [(name,)], [1.0])]
    made.collector._families = made.families
    page = generate(made.registry)
    assert b'x_ratio{comm="a?b"} 1.0' in page
    assert page == Renderer().render(made.families)


def test_before_the_first_tick_there_is_nothing() -> None:
    made = Embedded()
    assert made.collector.is_empty
    assert generate(made.registry) == b""
    made.tick()
    assert not made.collector.is_empty


def test_what_was_published_stays_until_the_next_tick() -> None:
    made = Embedded()
    made.node.source.add(container(1))
    made.tick()
    made.node.draw(10.0)
    made.tick()
    before = generate(made.registry)
    made.node.draw(10.0)
    made.node.advance()
    assert generate(made.registry) == before


def test_it_stands_beside_the_process_and_what_is_already_there() -> None:
    made = Embedded()
    ProcessCollector(registry=made.registry)
    Counter("requests", "Requests", registry=made.registry).inc()
    made.tick()
    samples = parse(generate(made.registry).decode())
    assert of(samples, "requests_total") == 1.0
    assert of(samples, "process_resident_memory_bytes") > 0
    assert series(samples, "podjoule_build_info")


def test_a_registry_has_it_once_and_lets_it_go() -> None:
    made = Embedded()
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        made.registry.register(PodjouleCollector(made.node.config, made.node.measurement))
    made.registry.unregister(made.collector)
    made.tick()
    assert generate(made.registry) == b""


def test_every_family_of_a_page_is_described() -> None:
    made = Embedded(idle_policy="even", levels=NODE)
    made.node.source.add(in_pod(1))
    made.tick()
    made.tick()
    described = {metric.name for metric in made.collector.describe()}
    assert {metric.name for metric in made.collector.collect()} <= described


def test_a_restricted_registry_asks_for_some_of_it() -> None:
    made = Embedded()
    made.tick()
    some = made.registry.restricted_registry(["podjoule_ticks_total"])
    assert [sample.name for metric in some.collect() for sample in metric.samples] == ["podjoule_ticks_total"]
    both = made.registry.restricted_registry(["podjoule_ticks_total", "podjoule_ticks_created"])
    assert [sample.name for metric in both.collect() for sample in metric.samples] == [
        "podjoule_ticks_total",
        "podjoule_ticks_created",
    ]


@pytest.fixture
def example() -> str:
    (found,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return found


@pytest.fixture
def ended() -> Iterator[Callable[[dict[str, Any]], None]]:
    kept: list[dict[str, Any]] = []
    yield kept.append
    for names in kept:
        names["ticker"].stop()
        names["ticking"].join()
        names["server"].shutdown()
        names["server"].server_close()
        names["serving"].join()
        names["REGISTRY"].unregister(names["collector"])


def test_the_example_of_the_page_serves_podjoule_beside_the_programs_own(
    example: str, ended: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node()
    monkeypatch.setattr("exporter.tick.assembly.assemble", lambda _: node.measurement)
    names: dict[str, Any] = {}
    exec(example.replace("9100", "0"), names)
    ended(names)
    _eventually(lambda: not names["collector"].is_empty)
    with urlopen(f"http://127.0.0.1:{names['server'].server_port}/metrics") as answer:
        samples = parse(answer.read().decode())
    assert series(samples, "podjoule_build_info")
    assert of(samples, "process_resident_memory_bytes") > 0
    assert of(samples, "my_requests_total") == 1.0


def _eventually(true: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.01)
