"""Several meters at once: each zone by one of them, no joule twice, none lost where another saw it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.energy import SourceInfo, Usage, ZoneEnergy
from estimator.meters.fake import FakeMeter, FakeTick
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import MeterError, ZoneReading
from estimator.meters.several import SeveralMeters
from tests.estimator.usages import ANY_USAGE

TICK_SECONDS = 5.0
PERF, RAPL = "power/energy-pkg:0", "intel-rapl:0"


def at(
    joules: float, tick: float, path: str, zone: str = "package", socket: int | None = 0, device: str = ""
) -> ZoneReading:
    ns = round(tick * TICK_SECONDS * 1e9)
    return ZoneReading(zone, socket, path, round(joules * 1e6), 2**63 - 1, ns, device=device)


class Clock:
    """CLOCK_BOOTTIME at the end of each tick."""

    def __init__(self) -> None:
        self.tick = -1

    def __call__(self) -> int:
        self.tick += 1
        return round(self.tick * TICK_SECONDS * 1e9)


def metered(
    name: str, ticks: Iterable[FakeTick], zones: frozenset[str] = frozenset({"package"})
) -> MeteredEnergy:
    return MeteredEnergy(FakeMeter(ticks, name, zones), suspended_ns=lambda: 0)


def steady(path: str, watts: float, n: int, first: float = 0.0) -> list[FakeTick]:
    return [[at(first + watts * TICK_SECONDS * tick, tick, path)] for tick in range(n)]


def run(several: SeveralMeters, n: int) -> list[dict[str, float]]:
    """The joules by path of each tick."""
    return [{each.path: each.joules for each in several.measure(ANY_USAGE)} for _ in range(n)]


def apart(several: SeveralMeters) -> dict[tuple[str, str, str], float | None]:
    return {(each.zone, each.source, each.other): each.ratio for each in several.twins()}


def test_one_meter_alone_is_handed_on_as_it_is() -> None:
    several = SeveralMeters([metered("rapl", steady(RAPL, 40.0, 3))])
    assert run(several, 3) == [{}, {RAPL: 200.0}, {RAPL: 200.0}]
    assert (several.info, several.infos()) == (SourceInfo("rapl"), {"package": SourceInfo("rapl")})
    assert "taken_over" not in several.errors()


def test_what_two_meters_have_is_booked_once_by_the_one_that_is_preferred() -> None:
    meters = [metered("perf", steady(PERF, 40.0, 3)), metered("rapl", steady(RAPL, 41.0, 3))]
    several = SeveralMeters(meters, clock=Clock())
    assert run(several, 3) == [{}, {PERF: 200.0}, {PERF: 200.0}]
    assert several.infos() == {"package": SourceInfo("perf")}


def test_each_zone_is_of_the_first_that_has_it() -> None:
    dram: list[FakeTick] = [
        [*package, at(3.0 * tick, tick, "intel-rapl:0:0", "dram")]  # type: ignore[misc]
        for tick, package in enumerate(steady(RAPL, 40.0, 3))
    ]
    rapl = metered("rapl", dram, frozenset({"package", "dram"}))
    several = SeveralMeters([metered("perf", steady(PERF, 40.0, 3)), rapl], clock=Clock())
    assert run(several, 3)[-1] == {PERF: 200.0, "intel-rapl:0:0": 3.0}
    assert several.infos() == {"package": SourceInfo("perf"), "dram": SourceInfo("rapl")}
    assert several.zones == {"package", "dram"}


def test_devices_of_one_zone_are_served_each_by_its_own() -> None:
    """An NVIDIA card by NVML, an AMD card by its library, which hwmon shows once more."""

    def cards(cards: Mapping[str, tuple[str, float]]) -> list[FakeTick]:
        return [
            [at(watts * tick, tick, path, "gpu", None, device) for device, (path, watts) in cards.items()]
            for tick in range(3)
        ]

    gpu = frozenset({"gpu"})
    nvml = metered("nvml", cards({"0000:41:00.0": ("GPU-1", 300.0)}), gpu)
    amdsmi = metered("amdsmi", cards({"0000:03:00.0": ("amd 0", 100.0)}), gpu)
    hwmon = metered("hwmon", cards({"0000:03:00.0": ("hwmon3", 101.0), "0000:00:02.0": ("i915", 9.0)}), gpu)
    several = SeveralMeters([nvml, amdsmi, hwmon], clock=Clock())
    assert run(several, 3)[-1] == {"GPU-1": 300.0, "amd 0": 100.0, "i915": 9.0}
    assert several.infos() == {"gpu": SourceInfo("nvml+amdsmi+hwmon")}


def test_after_a_restart_what_one_counter_kept_is_told_where_the_preferred_begins_anew() -> None:
    """perf's counts end with the process, powercap's do not: 30 s without podjoule are not lost."""
    perf = metered("perf", [[at(0.0, 6, PERF)], [at(210.0, 7, PERF)]])
    rapl = metered("rapl", [[at(1300.0, 6, RAPL)], [at(1505.0, 7, RAPL)]])
    clock = Clock()
    clock.tick = 5
    several = SeveralMeters([perf, rapl], clock=clock)
    several.resume({RAPL: at(100.0, 0, RAPL)})
    assert several.measure(ANY_USAGE) == []
    (energy,) = several.measure(ANY_USAGE)
    assert (energy.path, energy.joules, energy.interval_seconds) == (PERF, 1200.0 + 210.0, 35.0)


def test_what_is_kept_for_a_restart_is_what_can_be_gone_on_from_and_whose_it_is() -> None:
    own = ZoneReading("package", 0, PERF, 0, 2**63 - 1, 0, is_own=True)
    several = SeveralMeters([metered("perf", [[own]]), metered("rapl", [[at(1.0, 0, RAPL)]])], clock=Clock())
    several.measure(ANY_USAGE)
    assert [(path, last.source) for path, last in several.last.items()] == [(RAPL, "rapl")]


def test_a_meter_that_is_gone_for_minutes_makes_way_and_nothing_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone = MeterError(PERF, "cannot be read: No such device", vanished=True)
    perf: list[FakeTick] = [*steady(PERF, 40.0, 3), *[[gone]] * 50]
    several = SeveralMeters([metered("perf", perf), metered("rapl", steady(RAPL, 40.0, 53))], clock=Clock())
    told = run(several, 53)
    assert sum(sum(each.values()) for each in told) == pytest.approx(40.0 * 52 * TICK_SECONDS)
    assert (told[10], told[52]) == ({}, {RAPL: 200.0})
    assert several.infos() == {"package": SourceInfo("rapl")}
    assert several.errors()["taken_over"] == 1
    assert "package: rapl serves it from now on: perf gives no energy any more" in caplog.text


def test_one_that_comes_back_serves_again_and_what_the_other_told_is_not_told_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its counter went on: its first difference spans the minutes that the other has told already."""
    caplog.set_level(logging.INFO)
    failed = MeterError(PERF, "cannot be read: Input/output error", vanished=False)
    back = [[at(40.0 * TICK_SECONDS * tick, tick, PERF)] for tick in (53, 54)]
    perf: list[FakeTick] = [*steady(PERF, 40.0, 3), *[[failed]] * 50, *back]
    several = SeveralMeters([metered("perf", perf), metered("rapl", steady(RAPL, 40.0, 55))], clock=Clock())
    told = run(several, 55)
    assert told[-2:] == [{PERF: pytest.approx(200.0)}, {PERF: 200.0}]
    assert sum(sum(each.values()) for each in told) == pytest.approx(40.0 * 54 * TICK_SECONDS)
    assert "package: perf serves it from now on, which is preferred to rapl" in caplog.text


class Modelled:
    """Says that the platform draws so much."""

    info = SourceInfo("model", "mine", "abc")

    def __init__(self, watts: float) -> None:
        self._joules = watts * TICK_SECONDS

    def infos(self) -> Mapping[str, SourceInfo]:
        return {"platform": self.info}

    def measure(self, usage: Usage) -> list[ZoneEnergy]:
        joules = self._joules
        return [ZoneEnergy("platform", None, "model:mine", joules, 5.0, 20.0, joules / 2, joules * 2)]

    def errors(self) -> Mapping[str, int]:
        return {"outside_envelope": 3}


def test_a_model_serves_until_a_slow_meter_answers_and_its_time_is_not_told_again() -> None:
    """A BMC that is read once a minute: two readings make an energy, of a minute that the model told."""
    minutes = {12 * n: [at(100.0 * 60 * n, 12 * n, "bmc", "platform", None)] for n in range(1, 5)}
    ticks = [minutes.get(tick, []) for tick in range(49)]
    bmc = metered("redfish", ticks, frozenset())
    several = SeveralMeters([bmc], Modelled(90.0), clock=Clock())
    told = run(several, 49)
    assert told[1] == told[23] == {"model:mine": 450.0}
    assert told[24] == {"bmc": pytest.approx(100.0 * TICK_SECONDS)}  # the tick that the model did not tell
    assert told[25:36] == [{}] * 11
    assert told[36] == {"bmc": pytest.approx(6000.0)}
    assert several.info == SourceInfo("redfish")
    assert several.errors()["outside_envelope"] == 3
    assert apart(several) == {("platform", "redfish", "model"): pytest.approx(0.1)}


def test_the_power_of_two_meters_of_one_zone_is_compared_over_minutes() -> None:
    two_sockets: list[FakeTick] = [
        [at(20.0 * 5 * t, t, "rapl 0"), at(24.0 * 5 * t, t, "rapl 1", socket=1)] for t in range(30)
    ]
    several = SeveralMeters(
        [metered("perf", steady(PERF, 40.0, 30)), metered("rapl", two_sockets)], clock=Clock()
    )
    run(several, 5)
    assert apart(several) == {("package", "perf", "rapl"): None}
    run(several, 25)
    assert apart(several) == {("package", "perf", "rapl"): pytest.approx(0.1)}


def test_a_meter_that_raises_costs_the_others_nothing_and_a_model_that_does_no_joule() -> None:
    raising = metered("perf", [*steady(PERF, 40.0, 2), RuntimeError("a defect"), *steady(PERF, 40.0, 4)[3:]])
    other: list[FakeTick] = [[at(3.0 * tick, tick, "dram", "dram")] for tick in range(4)]
    several = SeveralMeters([raising, metered("hwmon", other, frozenset({"dram"}))], clock=Clock())
    assert run(several, 4) == [{}, {PERF: 200.0, "dram": 3.0}, {"dram": 3.0}, {PERF: 400.0, "dram": 3.0}]

    class Broken(Modelled):
        def measure(self, usage: Usage) -> list[ZoneEnergy]:
            if usage.interval_seconds == 4.0:
                raise RuntimeError("a defect")
            return super().measure(usage)

    several = SeveralMeters([metered("nvml", steady("GPU-1", 40.0, 3))], Broken(1.0), clock=Clock())
    several.measure(ANY_USAGE)
    with pytest.raises(RuntimeError):
        several.measure(replace(ANY_USAGE, interval_seconds=4.0))
    several.measure(ANY_USAGE)
    found = {each.path: each.joules for each in several.measure(ANY_USAGE)}
    assert found == {"GPU-1": 200.0, "model:mine": 5.0}


N = 240
OUTAGES = st.lists(
    st.tuples(st.sampled_from("ab"), st.booleans(), st.integers(1, 60), st.integers(3, 20)), max_size=6
)


def seen(watts: Sequence[float], path: str, outages: Mapping[int, bool]) -> list[FakeTick]:
    """outages: by tick, whether the counter is gone rather than failing; it counts on all the time."""
    drawn = [0.0, *accumulate(each * TICK_SECONDS for each in watts)]
    return [
        [MeterError(path, "away", vanished=outages[tick])]
        if tick in outages
        else [at(drawn[tick], tick, path)]
        for tick in range(len(watts))
    ]


@given(OUTAGES, st.integers(0, 2**32 - 1))
def test_while_one_of_two_sees_it_every_joule_is_told_once(
    outages: list[tuple[str, bool, int, int]], seed: int
) -> None:
    watts = np.random.default_rng(seed).uniform(35.0, 60.0, N).tolist()  # at twice as much a reading waits
    away: dict[str, dict[int, bool]] = {"a": {}, "b": {}}
    tick = 3
    for who, is_gone, lasting, pause in outages:
        away[who] |= dict.fromkeys(range(tick, min(tick + lasting, N - 45)), is_gone)
        tick += lasting + pause
    meters = [metered(name, seen(watts, name, outage)) for name, outage in away.items()]
    told = run(SeveralMeters(meters, clock=Clock()), N)
    truth = sum(watts[: N - 1]) * TICK_SECONDS
    assert sum(sum(each.values()) for each in told) == pytest.approx(truth)
