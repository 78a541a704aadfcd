"""Rendering against prometheus_client on the same families, and scrapes of the page over loopback."""

from __future__ import annotations

import hashlib
import math
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle

import numpy as np

from exporter.metrics.exposition import Family, Renderer
from exporter.metrics.negotiation import RenderedPage
from exporter.serving.http.server import Server
from exporter.serving.page.application import Application
from tests.bench.rows import Row, at_most
from tests.bench.scraper import scrape_together
from tests.exporter.reference import Collector, generate, reference

CONTAINERS = 1000
LABEL_NAMES = ("container_id", "container_name", "runtime", "state", "pod_id", "zone")
# Name, type, zones, and how large its values get: ten series a container, some of them past 1e6 and 1e10.
KEPLER = (
    ("kepler_container_cpu_joules_total", "counter", ("package", "dram"), 1e6),
    ("kepler_container_cpu_watts", "gauge", ("package", "dram"), 1e1),
    ("kepler_container_cpu_seconds_total", "counter", ("",), 1e5),
    ("kepler_container_cpu_cycles_total", "counter", ("",), 1e14),
    ("kepler_container_cpu_instructions_total", "counter", ("",), 1e14),
    ("kepler_container_cache_miss_total", "counter", ("",), 1e9),
    ("kepler_pod_cpu_joules_total", "counter", ("package", "dram"), 1e6),
)


def families(seed: int = 0) -> list[Family]:
    """10,000 series; another seed gives the same series with other values."""
    random = np.random.default_rng(seed)
    return [
        Family(
            *(name, f"{name} of the benchmark", type_, LABEL_NAMES, _labels(zones)),
            _values(random, zones, top),
            _starts(zones) if type_ == "counter" else None,
        )
        for name, type_, zones, top in KEPLER
    ]


def _labels(zones: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(*_container(index), zone) for index in range(CONTAINERS) for zone in zones]


def _values(random: np.random.Generator, zones: tuple[str, ...], top: float) -> np.ndarray:
    values = random.random(CONTAINERS * len(zones)) * top
    return np.floor(values) if top > 1e6 else values


def _starts(zones: tuple[str, ...]) -> np.ndarray:
    """A row's stay the same from tick to tick; in milliseconds."""
    rows = np.random.default_rng(17).integers(10**6, 10**9, CONTAINERS) / 1e3 + 1.7e9
    return np.repeat(rows.round(3), len(zones))


def _container(index: int) -> tuple[str, ...]:
    digest = hashlib.sha256(str(index).encode()).hexdigest()
    return digest, f"app-{index}", "containerd", "running", f"{digest[:8]}-{digest[8:12]}-{digest[12:24]}"


def bench_rendering(openmetrics: bool = False, repeats: int = 20) -> Row:
    """Rendering with every value changed since the last tick, the worst case, against generate_latest."""
    renderer = Renderer()
    ticks = [families(seed) for seed in range(2)]
    collector = Collector(ticks[1], openmetrics)
    assert renderer.render(ticks[0], openmetrics)
    assert renderer.render(ticks[1], openmetrics) == reference(ticks[1], openmetrics), (
        "not byte for byte the same text"
    )
    ours, theirs = [], []
    for repeat in range(repeats):
        ours.append(_seconds(partial(renderer.render, ticks[repeat % 2], openmetrics)))
        theirs.append(_seconds(partial(generate, collector, openmetrics)))
    mine, other = statistics.median(ours), statistics.median(theirs)
    measured = f"{mine * 1e3:.1f} ms, prometheus_client {other * 1e3:.1f} ms"
    name = "OpenMetrics" if openmetrics else "text"
    return at_most(f"rendering 10,000 series, {name}", measured, mine / other, 1 / 10, "of generate_latest")


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Ticked:
    """Ticks whose values all differ from the last one's; the first of them is done."""

    def __init__(self) -> None:
        self._render = Renderer().render
        self._ticks = cycle([families(seed) for seed in range(2)])
        self.tick()

    def tick(self) -> None:
        self.page = RenderedPage(partial(self._render, next(self._ticks)))

    def healthy(self) -> str | None:
        return None


@contextmanager
def serving(tick_seconds: float = math.inf) -> Iterator[int]:
    """A server with 10,000 series on loopback, ticking; gives its port."""
    ticked, stop = Ticked(), threading.Event()
    server = Server(["127.0.0.1:0"], Application(ticked))

    def tick() -> None:
        while not stop.wait(tick_seconds):
            ticked.tick()

    server.bind()
    server.start()
    thread = threading.Thread(target=tick)
    if tick_seconds < math.inf:
        thread.start()
    try:
        yield int(server.bound[0].rpartition(":")[2])
    finally:
        stop.set()
        if thread.ident:
            thread.join()
        server.stop()


def bench_scrape() -> list[Row]:
    """Scrapes by one scraper and by eight, compressed as Prometheus asks, and the first of a tick."""
    with serving() as port:
        rows = [
            _row("one scraper, identity", scrape_together(1, port, 200)),
            _row("8 scrapers, each twice a second, identity", scrape_together(8, port, 20, 0.5)),
            _row("one scraper, gzip", scrape_together(1, port, 50, headers={"Accept-Encoding": "gzip"})),
        ]
    with serving(tick_seconds=0.1) as port:
        return [*rows, _row("each the first of a tick", scrape_together(1, port, 50, 0.15), 12.0)]


def _row(who: str, seconds: list[float], budget_ms: float = 3.0) -> Row:
    median, worst = statistics.median(seconds) * 1e3, statistics.quantiles(seconds, n=100)[98] * 1e3
    measured = f"median {median:.2f} ms, p99 {worst:.2f} ms"
    return at_most(f"scrape of 10,000 series, {who}", measured, median, budget_ms, "ms")
