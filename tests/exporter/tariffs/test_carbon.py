"""Grams and money: conserved as joules are, the integral over a changing intensity, and what is exported."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from itertools import cycle, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpf.errors import UsageError
from estimator.energy import SourceInfo, Usage, ZoneEnergy
from exporter.configuration.day_schedule import DayPart
from exporter.configuration.tariff_options import Carbon, Cost
from exporter.metrics.families import SPECS
from exporter.tariffs.choice import known_tariffs, open_tariffs
from exporter.tariffs.country_table import configured_country, countries, country_of
from exporter.tariffs.feed import GridFeed
from exporter.tariffs.http import GridClient
from exporter.tariffs.intensity import Constant, KnownIntensity
from exporter.tariffs.providers import ElectricityMaps, Reading
from exporter.tariffs.tariffs import Price, Tariffs
from exporter.tick.power import NoEnergy
from tests.exporter.nodes import Node, Samples, container, in_pod, labels_of, of, series
from tests.exporter.tariffs.grid_server import Answer, serving

JOULES_PER_KWH = 3.6e6
VM = r"/machine.slice/machine-qemu\x2d1\x2dweb.scope"
PATHS = (container(1), in_pod(2), in_pod(3, pod=1), VM, "/system.slice/ssh.service", "/")
EURO = Cost(price_per_kwh=0.25, currency="EUR")


@dataclass
class Varying:
    """A curve that a test sets."""

    value: float = 0.0

    def mean(self, seconds: float) -> float:
        return self.value


def varying(pue: float = 1.0) -> tuple[Varying, Varying, Tariffs]:
    grams, price = Varying(), Varying()
    return grams, price, Tariffs(KnownIntensity(grams, "DE", "constant"), Price(price, "EUR"), pue)


def parts(samples: Samples, what: str) -> float:
    """Every part of the node's once: containers hold what is in pods, in Docker and nowhere else."""
    names = ("container", "vm", "cgroup", "node_idle", "node_unattributed")
    return sum(of(samples, f"podjoule_{name}_{what}_total") for name in names)


step = st.tuples(
    st.lists(st.floats(0.0, 2.0), min_size=len(PATHS), max_size=len(PATHS)),
    st.floats(250.0, 500.0),  # what rises by more, or stands still, is told a tick later
    st.floats(0.0, 5_000.0),
    st.floats(0.0, 2.0),
    st.floats(0.0, 1.0),
)


@settings(max_examples=30)
@given(steps=st.lists(step, min_size=1, max_size=8), pue=st.floats(1.0, 3.0), ending=st.integers(0, 5))
def test_grams_and_money_are_conserved_and_are_the_sum_over_the_ticks(
    steps: list[tuple[list[float], float, float, float, float]], pue: float, ending: int
) -> None:
    grams, price, tariffs = varying(pue)
    node = Node(zones=("package", "dram", "core"), tariffs=tariffs)
    for path in PATHS[:-1]:
        node.source.add(path)
    node.tick()
    expected_grams = expected_cost = 0.0
    for i, (used, joules, grams.value, price.value, dropped) in enumerate(steps):
        for path, seconds in zip(PATHS, used, strict=True):
            if not (i > 0 and path == PATHS[ending]):
                node.source.use(path, seconds)
        if i == 0 and ending < 5:
            node.source.end(PATHS[ending])
        node.source.drop(dropped)
        counters = {counter.zone: counter for counter in node.counters}
        before = {zone: counter.energy_uj for zone, counter in counters.items()}
        node.draw(joules)
        node.draw(joules / 3, "dram")
        node.draw(joules / 2, "core")
        kwh = sum(counters[z].energy_uj - before[z] for z in ("package", "dram")) / 1e6 / JOULES_PER_KWH
        expected_grams += kwh * grams.value * pue
        expected_cost += kwh * price.value * pue
        samples = node.tick()
        for what, expected in (("carbon_grams", expected_grams), ("cost", expected_cost)):
            whole = of(samples, f"podjoule_node_{what}_total")
            assert whole == pytest.approx(expected, rel=1e-9, abs=1e-15)
            assert parts(samples, what) == pytest.approx(whole, rel=1e-9, abs=1e-15)


def test_a_pod_has_the_grams_of_its_containers_also_when_one_ends() -> None:
    node = Node(cost=EURO, ttl=1.0)
    for path in (in_pod(1), in_pod(2)):
        node.source.add(path)
    node.tick()
    last = 0.0
    for tick in range(4):
        node.source.use(in_pod(1), 1.0)
        if tick == 1:
            node.source.end(in_pod(2))
        elif tick == 0:
            node.source.use(in_pod(2), 1.0)
        node.draw(3.6)
        now = of(node.tick(), "podjoule_pod_carbon_grams_total")
        assert now > last
        last = now


def test_counters_never_go_down_whatever_the_intensity_does() -> None:
    grams, _, tariffs = varying()
    node = Node(tariffs=tariffs)
    node.source.add(container(1))
    node.tick()
    last: Samples = {}
    for grams.value in (500.0, 20.0, 0.0, 4_000.0, 0.0):
        node.source.use(container(1), 1.0)
        node.draw(100.0)
        now = {key: value for key, value in node.tick().items() if key[0].endswith("_total")}
        assert all(now[key] >= value for key, value in last.items())
        last = now


@pytest.mark.parametrize("offset", [0.0, 2.0, 4.9])
def test_with_an_intensity_that_changes_every_minute_the_grams_are_the_integral(offset: float) -> None:
    """Ticks of 5 s that begin anywhere in the minute; the power changes with the intensity, or against it."""
    values = [50.0 + (minute * 7_919) % 900 for minute in range(120)]
    schedule = tuple(DayPart(minute, minute + 1, value) for minute, value in enumerate(values))
    node = Node(carbon=Carbon(schedule=schedule, intensity=0.0, pue=1.2))
    node.source.add(container(1))
    node.tick(offset + 5.0)
    integral = 0.0
    for _ in range(1_400):
        begin = node.seconds()
        watts = 100.0 + 100.0 * (begin // 60 % 2)
        node.source.use(container(1), 4.0)
        node.draw(watts * 5.0)
        split = (begin // 60 + 1) * 60
        for since, until in ((begin, min(split, begin + 5.0)), (split, begin + 5.0)):
            if until > since:
                integral += watts * (until - since) * values[int(since // 60)] * 1.2 / JOULES_PER_KWH
        node.advance()
    samples = node.tick(0.0)
    assert of(samples, "podjoule_node_carbon_grams_total") == pytest.approx(integral, rel=1e-3)
    assert of(samples, "podjoule_node_carbon_grams_total") == pytest.approx(integral, rel=1e-6)


class Rising:
    """A provider that says another value each time."""

    name, zone = "electricitymaps", "DE"

    def __init__(self) -> None:
        self.values = [50.0 + (minute * 7_919) % 900 for minute in range(121)]
        self.asked = 0

    def fetch(self) -> Reading:
        self.asked += 1
        return Reading(self.values[self.asked - 1], None)


def test_the_same_with_a_provider_that_is_asked_each_minute() -> None:
    """It answers 1.7 s into each minute, in the middle of a tick."""
    provider = Rising()
    clock = [1.7]
    grid = GridFeed(provider, KnownIntensity(Constant(0.0), "", "table"), 60.0, lambda: clock[0], lambda: 0.0)
    grid.ask()
    node = Node(tariffs=Tariffs(grid))
    node.source.add(container(1))
    node.tick()
    clock[0] = 5.0
    integral, at = 0.0, 5.0
    for _ in range(1_400):
        before, asked = at, provider.asked
        at += 5.0
        if (asked_at := 60.0 * asked + 1.7) <= at:
            clock[0] = asked_at
            grid.ask()
            integral += 50.0 * (asked_at - before) * provider.values[asked - 1] / JOULES_PER_KWH
            integral += 50.0 * (at - asked_at) * provider.values[asked] / JOULES_PER_KWH
        else:
            integral += 50.0 * 5.0 * provider.values[asked - 1] / JOULES_PER_KWH
        clock[0] = at
        node.source.use(container(1), 1.0)
        node.draw(250.0)
        node.advance()
    assert of(node.tick(0.0), "podjoule_node_carbon_grams_total") == pytest.approx(integral, rel=1e-6)


class Watched(ElectricityMaps):
    """Keeps when each value came."""

    def __init__(self, url: str) -> None:
        super().__init__("DE", url, None, GridClient())
        self.came: list[tuple[float, float]] = []

    def fetch(self) -> Reading:
        reading = super().fetch()
        self.came.append((time.monotonic(), reading.grams_per_kwh))
        return reading


@pytest.mark.alone
@pytest.mark.e2e
def test_in_real_time_over_a_socket_the_grams_are_the_integral() -> None:
    """A server that says another value each second, asked each second; ticks of 0.2 s at 100 W for 8 s."""
    values = cycle((100.0, 400.0, 700.0))
    with serving() as server:
        server.answer = lambda _: Answer({"zone": "DE", "carbonIntensity": next(values), "datetime": None})
        provider, energy = Watched(server.url), RealTime()
        grid = GridFeed(provider, KnownIntensity(Constant(0.0), "", "table"), 1.0).start()
        while grid.now().provider != "electricitymaps":
            time.sleep(0.01)
        node = Node(energy=energy, tariffs=Tariffs(grid))
        node.source.add(container(1))
        node.advance()
        first = energy.last
        while time.monotonic() < first + 8.0:
            time.sleep(0.2)
            node.source.use(container(1), 0.1)
            node.advance()
        last = energy.last
        grid.close()
    integral = sum(
        100.0 * value * max(0.0, min(until, last) - max(since, first)) / JOULES_PER_KWH
        for (since, value), (until, _) in pairwise([*provider.came, (last, 0.0)])
    )
    whole = float(node.measurement.ledger.node.charges.total[0])
    assert len(provider.came) >= 7
    assert whole == pytest.approx(integral, rel=1e-3)
    assert float(node.measurement.ledger.balances("container").grams.sum()) == pytest.approx(whole)


class RealTime(NoEnergy):
    """100 W by the clock on the wall."""

    info = SourceInfo("rapl")

    def __init__(self) -> None:
        super().__init__()
        self.last = 0.0

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        now = time.monotonic()
        before, self.last = self.last, now
        joules = 100.0 * (now - before)
        return [ZoneEnergy("psys", None, "psys", joules, now - before, 0.0, joules, joules)] if before else []


@pytest.mark.alone
def test_a_dead_provider_delays_no_tick() -> None:
    with serving() as server:
        blocked = threading.Event()

        def answer(_: object) -> Answer:
            blocked.set()
            server.released.wait(10)
            return Answer({})

        server.answer = answer
        carbon = Carbon(provider="electricitymaps", zone="DE", url=server.url)
        tariffs = open_tariffs(carbon, Cost())
        node = Node(tariffs=tariffs)
        assert blocked.wait(5.0)
        node.draw(100.0)
        began = time.monotonic()
        samples = node.tick()
        assert time.monotonic() - began < 1.0
        began = time.monotonic()
        node.measurement.close()
        assert time.monotonic() - began < 1.0
    assert labels_of(series(samples, "podjoule_grid_carbon_intensity_grams_per_kwh"), "zone") == {"DE"}
    assert labels_of(series(samples, "podjoule_grid_carbon_intensity_grams_per_kwh"), "provider") == {"table"}
    assert of(samples, "podjoule_grid_carbon_intensity_age_seconds") >= 0.0
    assert of(samples, "podjoule_grid_errors_total", provider="electricitymaps") == 0.0


class Zones(NoEnergy):
    """Energies as a test has them."""

    info = SourceInfo("rapl")
    joules: dict[str, float]

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        return [
            ZoneEnergy(zone, None, zone, joules, 5.0, None, joules, joules)
            for zone, joules in self.joules.items()
        ]


def test_nothing_is_counted_twice_where_a_wider_zone_appears_or_fails() -> None:
    energy = Zones()
    energy.joules = {}
    node = Node(energy=energy, carbon=Carbon(intensity=3.6e6))  # a gram a joule
    node.tick()
    whole = []
    for energy.joules in (
        {"package": 10.0, "core": 4.0},
        {"package": 10.0, "psys": 40.0},  # reaches back over what was counted
        {"package": 10.0, "psys": 15.0},
        {"package": 10.0},
        {"package": 10.0, "psys": 30.0},  # spans both
    ):
        samples = node.tick()
        whole.append(of(samples, "podjoule_node_carbon_grams_total"))
    assert whole == pytest.approx([10.0, 20.0, 35.0, 35.0, 65.0])
    assert labels_of(series(samples, "podjoule_energy_zone_info"), "zone") == {"psys"}


def test_by_default_the_worlds_average_counts_and_nothing_costs() -> None:
    node = Node()
    node.tick()
    node.draw(3_600.0)
    samples = node.tick(60.0)
    assert of(samples, "podjoule_node_carbon_grams_total") == pytest.approx(0.47305)
    name = "podjoule_grid_carbon_intensity_grams_per_kwh"
    assert of(samples, name, zone="WORLD", provider="table") == 473.05
    assert of(samples, "podjoule_grid_pue_ratio") == 1.0
    assert not [name for name, _ in samples if "cost" in name or "price" in name or "_age_" in name]


def test_cost_is_there_where_a_price_is_and_carbon_can_be_left_out() -> None:
    node = Node(carbon=Carbon(provider="none", pue=1.5), cost=EURO)
    node.source.add(in_pod(1))
    node.tick()
    node.source.use(in_pod(1), 10.0)
    node.draw(7_200.0)
    samples = node.tick(60.0)
    assert of(samples, "podjoule_node_cost_total", currency="EUR") == pytest.approx(0.002 * 0.25 * 1.5)
    assert of(samples, "podjoule_pod_cost_total", currency="EUR", pod_id=in_pod(1).split("/")[2][3:]) > 0.0
    assert of(samples, "podjoule_grid_price_per_kwh", currency="EUR") == 0.25
    assert not [name for name, _ in samples if "grams" in name]
    assert series(samples, "podjoule_energy_zone_info")


def test_with_neither_the_zones_are_told_all_the_same() -> None:
    node = Node(carbon=Carbon(provider="none"))
    node.tick()
    node.draw(1.0)
    samples = node.tick()
    assert labels_of(series(samples, "podjoule_energy_zone_info"), "zone") == {"package"}
    assert not [name for name, _ in samples if "grid" in name or "grams" in name or "cost" in name]


def test_levels_hold_for_carbon_and_cost_too() -> None:
    node = Node(levels=("pod",), cost=EURO)
    node.source.add(in_pod(1))
    node.tick()
    names = {name for name, _ in node.tick()}
    assert {"podjoule_pod_carbon_grams_total", "podjoule_pod_cost_total"} <= names
    assert not {"podjoule_container_carbon_grams_total", "podjoule_node_cost_total"} & names


def intensity(carbon: Carbon) -> tuple[float, str, str]:
    found = known_tariffs(carbon, Cost(), lambda: 0.0).intensity
    assert found is not None
    now = found.now()
    return now.grams_per_kwh, now.zone, now.provider


def test_what_is_told_goes_before_the_table() -> None:
    part = DayPart(0, 60, 10.0)
    assert intensity(Carbon(zone="DE")) == (344.14, "DE", "table")
    assert intensity(Carbon(zone="de")) == (344.14, "DE", "table")
    assert intensity(Carbon(zone="DEU")) == (344.14, "DE", "table")
    assert intensity(Carbon(zone="DE", intensity=20.0)) == (20.0, "DE", "constant")
    assert intensity(Carbon(provider="none", intensity=20.0)) == (20.0, "", "constant")
    assert intensity(Carbon(intensity=20.0, schedule=(part,))) == (10.0, "", "schedule")


def test_a_services_zone_that_lies_in_a_country_falls_back_on_it() -> None:
    service = Carbon(provider="electricitymaps")
    assert intensity(replace(service, zone="US-CAL-CISO")) == (383.55, "US", "table")
    assert intensity(replace(service, zone="CAISO_NORTH")) == (473.05, "WORLD", "table")
    assert intensity(replace(service, zone="DE", intensity=9.0)) == (9.0, "DE", "constant")


@pytest.mark.parametrize(
    ("carbon", "cost", "message"),
    [
        (Carbon(zone="DX"), Cost(), "carbon.zone: found 'DX'"),
        (Carbon(zone="GERMANY"), Cost(), "no country of the table"),
        (Carbon(provider="watttime"), Cost(), "carbon.zone is missing"),
        (Carbon(schedule=(DayPart(0, 360, 1.0),)), Cost(), "carbon.schedule: 06:00-24:00 is left open"),
        (Carbon(), Cost(price_per_kwh=0.3), "cost.currency"),
        (Carbon(), Cost(schedule=(DayPart(0, 360, 1.0),), currency="EUR"), "give cost.pricePerKwh"),
    ],
)
def test_options_that_do_not_fit_each_other_are_refused(carbon: Carbon, cost: Cost, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_tariffs(carbon, cost)


def test_the_table_names_its_source_and_is_sane() -> None:
    rows = set(countries().values())
    assert len(rows) == 211
    assert all(0.0 <= row.grams_per_kwh < 1_500.0 and 2022 <= row.year <= 2024 and row.name for row in rows)
    assert all(
        row.code.isupper() and (len(row.code), len(row.alpha3)) == (2, 3) for row in rows if row.alpha3
    )
    world = configured_country(None)
    assert (world.code, world.year, world.grams_per_kwh) == ("WORLD", 2024, 473.05)
    assert country_of("XX") is None


@pytest.mark.parametrize(
    ("subject", "energy"),
    [
        ("container", "kepler_container_cpu_joules_total"),
        ("pod", "kepler_pod_cpu_joules_total"),
        ("vm", "kepler_vm_cpu_joules_total"),
        ("cgroup", "podjoule_cgroup_cpu_joules_total"),
        ("node_unattributed", "podjoule_node_unattributed_joules_total"),
    ],
)
def test_labels_are_those_of_the_energy_without_the_zone(subject: str, energy: str) -> None:
    labels = {spec.name: spec.labels for spec in SPECS}
    without_zone = tuple(label for label in labels[energy] if label != "zone")
    assert labels[f"podjoule_{subject}_carbon_grams_total"] == without_zone
    assert labels[f"podjoule_{subject}_cost_total"] == (*without_zone, "currency")


def test_asking_ends_with_the_measurement() -> None:
    provider = Rising()
    grid = GridFeed(provider, KnownIntensity(Constant(0.0), "", "table"), 0.01).start()
    node = Node(tariffs=Tariffs(grid))
    while provider.asked < 3:
        time.sleep(0.01)
    node.measurement.close()
    grid._thread.join(timeout=5.0)
    assert not grid._thread.is_alive()
