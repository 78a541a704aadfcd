"""A meter that hangs costs no tick its time."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from estimator.meters.background import BackgroundMeter
from estimator.meters.fake import FakeMeter
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import ZoneReading
from estimator.meters.several import SeveralMeters
from exporter.tick.power import Power
from tests.estimator.usages import reading
from tests.exporter.nodes import Node, in_pod, of

TICKS = 15


class Hanging(FakeMeter):
    """A library call that does not come back."""

    def __init__(self) -> None:
        super().__init__([], "nvml", {"gpu"})
        self.released, self.asked = threading.Event(), threading.Event()

    def read(self) -> list[ZoneReading]:
        self.asked.set()
        self.released.wait()
        return []


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    meter = Hanging()
    yield meter
    meter.released.set()


def node_with(*others: BackgroundMeter) -> Node:
    counter = FakeMeter([[reading(40_000_000 * n, 5.0 * n)] for n in range(TICKS + 1)])
    several = SeveralMeters([MeteredEnergy(counter), *map(MeteredEnergy, others)])
    return Node(power=Power(several, {}, several.close, meter=several))


def tick_seconds(node: Node) -> list[float]:
    taken = []
    node.source.add(in_pod(1))
    for _ in range(TICKS):
        node.source.use(in_pod(1), 1.0)
        node.source.advance(5.0)
        began = time.perf_counter()
        node.ticker.tick()
        taken.append(time.perf_counter() - began)
    return taken


@pytest.mark.alone
def test_a_meter_that_hangs_costs_a_tick_less_than_10_ms_and_the_others_go_on(
    hanging: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    without = tick_seconds(node_with())
    node = node_with(BackgroundMeter("nvml", lambda: hanging, 0.1, deadline_seconds=0.0))
    beside = tick_seconds(node)
    assert hanging.asked.is_set()
    assert max(beside) < max(without) + 0.010
    assert statistics.median(beside) < statistics.median(without) + 0.005
    samples = node.samples()
    assert of(samples, "kepler_node_cpu_joules_total", zone="package") == 40.0 * (TICKS - 1)
    assert of(samples, "podjoule_power_errors_total", kind="read") >= TICKS - 1
    assert caplog.text.count("nvml: does not answer: waiting for it, ticks go on") == 1
    node.measurement.close()  # and it does not wait for it
