"""A node whose package perf and powercap both read, whose DRAM a chip knows in watts alone, and where a BMC
is there and refuses."""

from __future__ import annotations

from estimator.meters.fake import FakeMeter, FakeTick
from estimator.meters.integrated import IntegratedCounter
from estimator.meters.metered import MeteredEnergy
from estimator.meters.several import SeveralMeters
from exporter.tick.power import Power
from tests.estimator.usages import reading
from tests.exporter.nodes import Node, in_pod

PERF_WATTS, RAPL_WATTS = 40.0, 50.0
UNSERVING = {"ipmi": "/dev/ipmi0 is denied"}
TICKS = 40


def two_meters() -> Node:
    """The node, before its first tick."""
    node = Node()
    several = SeveralMeters(
        [
            MeteredEnergy(FakeMeter(_counted(PERF_WATTS, "power/events/energy-pkg:0"), "perf")),
            MeteredEnergy(FakeMeter(_counted(RAPL_WATTS, "intel-rapl:0"), "rapl")),
            MeteredEnergy(FakeMeter(_integrated(), "hwmon", frozenset({"dram"}))),
        ],
        clock=lambda: node.source.monotonic_ns,
    )
    node.measurement.power = Power(several, {}, several.close, meter=several, unserving=UNSERVING)
    node.source.add(in_pod(1))
    return node


def ran(node: Node, ticks: int) -> None:
    """So many ticks of 5 s in which something ran."""
    for _ in range(ticks):
        node.source.use(in_pod(1), 1.0)
        node.tick()


def _counted(watts: float, path: str) -> list[FakeTick]:
    return [[reading(round(watts * 5e6 * n), 5.0 * n, path=path)] for n in range(TICKS)]


def _integrated() -> list[FakeTick]:
    """4 and 8 W in turns: 6 on average, or anything from 4 to 8."""
    counter, ticks = IntegratedCounter("dram", 0, "hwmon2/power1", 5.0), []
    for n in range(TICKS):
        counter.take(4.0 + 4.0 * (n % 2), round(n * 5e9))
        found = counter.reading()
        assert found is not None
        ticks.append([found])
    return ticks  # type: ignore[return-value]
