"""From true joules through wrapping counters to cgroups and back to the same joules."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.attribution.shares import attribute
from estimator.energy import ZoneShare
from estimator.meters.difference import Difference, WrappedOnce, difference
from estimator.meters.fake import FakeMeter, FakeTick
from estimator.meters.metered import MeteredEnergy
from estimator.meters.port import MeterError, ZoneReading
from tests.estimator.usages import energy_of, usage_of

RELATIVE = 1e-9
INTERVAL_SECONDS = 5
TOP_UJ = 65_532_610_987
PSYS_TOP_UJ = 262_143_328_850  # a board may draw 4 kW: with the smaller range, 16 s would be a gap
MILLION = 1_000_000

# (zone, socket); the two at the end are two dies of one package
COUNTERS: list[tuple[str, int | None]] = [
    ("package", 0),
    ("dram", 0),
    ("package", 1),
    ("psys", None),
    ("core", 1),
    ("package", 2),
    ("package", 2),
]
COEFFICIENTS = {"package": {"cpu_seconds": 4.0, "instructions": 2e-9}, "dram": {"cache_misses": 6e-8}}
READ, FAIL, VANISH = "read", "fail", "vanish"


@dataclass
class TrueCounter:
    """Knows what was really drawn, and shows what a wrapping counter would."""

    zone: str
    socket: int | None
    path: str
    drawn_uj: int
    max_energy_uj: int
    counted_from_uj: int | None = None

    def tick(self, drawn_uj: int, event: str, seconds: int) -> tuple[ZoneReading | MeterError, int | None]:
        """What the meter says, and the energy in µJ that must come of it (None: none)."""
        self.drawn_uj += drawn_uj
        if event != READ:
            if event == VANISH:
                self.counted_from_uj = None
            return MeterError(self.path, event, vanished=event == VANISH), None
        before, self.counted_from_uj = self.counted_from_uj, self.drawn_uj
        return self.shown(seconds), None if before is None else self.drawn_uj - before

    def shown(self, seconds: int) -> ZoneReading:
        energy_uj = self.drawn_uj % (self.max_energy_uj + 1)
        return ZoneReading(self.zone, self.socket, self.path, energy_uj, self.max_energy_uj, seconds * 10**9)


def parts(share: ZoneShare) -> list[float]:
    return [share.idle_joules, *share.cgroup_joules.tolist(), *share.unattributed_joules.values()]


@st.composite
def trajectories(draw: st.DrawFn) -> tuple[list[FakeTick], list[dict[str, int]]]:
    """The ticks of a meter, and what each of them must count: µJ by path."""
    counters = [
        TrueCounter(
            zone,
            socket,
            f"zone-{place}",
            draw(st.integers(0, 2 * TOP_UJ)),
            PSYS_TOP_UJ if zone == "psys" else TOP_UJ,
        )
        for place, (zone, socket) in enumerate(COUNTERS)
    ]
    ticks: list[FakeTick] = []
    truth: list[dict[str, int]] = []
    for tick in range(1, draw(st.integers(2, 8))):
        answers, counted = list[ZoneReading | MeterError](), dict[str, int]()
        for counter in counters:
            event = draw(st.sampled_from([READ, READ, READ, FAIL, VANISH]))
            drawn_uj = draw(st.integers(0, 900 * INTERVAL_SECONDS * MILLION))
            answer, energy_uj = counter.tick(drawn_uj, event, tick * INTERVAL_SECONDS)
            answers.append(answer)
            if energy_uj is not None:
                counted[counter.path] = energy_uj
        ticks.append(answers)
        truth.append(counted)
    return ticks, truth


@settings(max_examples=200)
@given(trajectories(), st.integers(0, 2**32 - 1), st.none() | st.floats(0, 500))
def test_every_joule_that_is_told_is_shared_out_once_and_none_twice(
    trajectory: tuple[list[FakeTick], list[dict[str, int]]], seed: int, idle_watts: float | None
) -> None:
    ticks, truth = trajectory
    random, source = np.random.default_rng(seed), MeteredEnergy(FakeMeter(ticks))
    found, most = Counter[str](), Counter[str]()
    for counted in truth:
        usage = usage_of(random_counts(random, random.integers(0, 6)), random_counts(random, 1)[0])
        energies = [replace(energy, idle_watts=idle_watts) for energy in source.measure(usage)]
        shares = attribute(energies, usage, COEFFICIENTS, {0: 0, 1: 1, 2: 2})
        assert [math.fsum(parts(share)) for share in shares] == pytest.approx(
            [energy.joules for energy in energies], rel=RELATIVE
        )
        assert all(part >= 0 for share in shares for part in parts(share))
        found.update({energy.path: energy.joules for energy in energies})
        most.update({path: uj / MILLION for path, uj in counted.items()})
    # What waits for the next reading, or may have been a reset, is not in it yet, or never.
    assert all(joules <= most[path] * (1 + RELATIVE) for path, joules in found.items())


def random_counts(random: np.random.Generator, n: int) -> np.ndarray:
    """Used by n cgroups on three sockets; a third of it is 0."""
    return random.integers(0, 10**10, (n, 3, 5)) * (random.random((n, 3, 5)) > 1 / 3)


def test_a_million_ticks_of_a_wrapping_counter_lose_nothing() -> None:
    """Some 20,000 wraps; what is added up is what a ledger adds up, one tick at a time in float64."""
    drawn_uj = np.random.default_rng(1).integers(0, 900 * INTERVAL_SECONDS * MILLION, MILLION)
    shown = (np.cumsum(drawn_uj) % (TOP_UJ + 1)).tolist()
    previous, ledger, wraps = None, 0.0, 0
    for tick, energy_uj in enumerate(shown):
        current = ZoneReading("package", 0, "zone", energy_uj, TOP_UJ, tick * INTERVAL_SECONDS * 10**9)
        change = difference(previous, current)
        if isinstance(change, Difference | WrappedOnce):
            ledger += change.joules
            wraps += isinstance(change, WrappedOnce)
        previous = current
    assert wraps > 20_000
    assert ledger == pytest.approx(int(drawn_uj[1:].sum()) / MILLION, rel=RELATIVE)


def test_a_million_ticks_of_shares_add_up_to_what_was_measured() -> None:
    """A thousand different ticks, each a thousand times over, in an order that no tick repeats in."""
    random = np.random.default_rng(2)
    joules = random.uniform(1e-6, 5_000, 1_000)
    rows = []
    for each in joules.tolist():
        usage = usage_of(random_counts(random, 6), random_counts(random, 1)[0])
        (share,) = attribute([energy_of(each, idle_watts=None)], usage, COEFFICIENTS, {0: 0})
        rows.append(parts(share))
    order = random.permutation(np.repeat(np.arange(1_000), 1_000))
    # cumsum adds one after the other, as a ledger does; sum() would add in pairs and err less.
    ledger = np.array([np.cumsum(column[order])[-1] for column in np.array(rows).T])
    assert math.fsum(ledger) == pytest.approx(math.fsum(joules) * 1_000, rel=RELATIVE)
