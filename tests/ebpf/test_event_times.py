"""Each event is scaled by the times it was on the PMU: its own, or those of the group that it is in."""

from __future__ import annotations

import ctypes as ct
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpf.program import COUNTERS, CPU_STATE
from tests.ebpf.dialect import N_CGROUPS, TASK, address, built

PER_NS = (3, 5, 7)  # what each event counts in a nanosecond on the PMU
MS = 1_000_000
Step = tuple[int, tuple[int, int, int]]  # how long, and of that how much each event was off the PMU


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ct.CDLL:
    return built(tmp_path_factory.mktemp("event_times"))


@dataclass
class Pmu:
    """Two cgroups take turns on a CPU whose events come and go from the PMU."""

    library: ct.CDLL
    is_group: bool
    now_ns: int = MS
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])
    off_ns: list[int] = field(default_factory=lambda: [0, 0, 0])

    def __post_init__(self) -> None:
        self.cpu = np.zeros(1, CPU_STATE)
        self.tasks = [np.zeros(1, TASK) for _ in range(3)]
        for pid, task in enumerate(self.tasks):
            task["pid"] = task["tgid"] = task["cgroup_id"] = pid
        self.library.c_reset()
        self.refuse(0)
        self._tell()
        self.library.c_open()
        self.library.c_read(address(self.cpu), address(self.tasks[0]))
        self.on_cpu = 0

    def refuse(self, events: int) -> None:
        """events: bits of those that cannot be read now."""
        self.library.c_group(int(self.is_group), events)

    def open_anew(self) -> None:
        self.counts, self.off_ns = [0, 0, 0], [0, 0, 0]
        self.library.c_open()

    def run(self, ns: int, off: tuple[int, int, int], to: int) -> None:
        """Whoever runs goes on for a while, then another comes."""
        self.now_ns += ns
        for i, off_ns in enumerate(off):
            self.off_ns[i] += off_ns
            self.counts[i] += PER_NS[i] * (ns - off_ns)
        self.tasks[self.on_cpu]["runtime_ns"] += ns
        self._tell()
        prev, following = self.tasks[self.on_cpu], self.tasks[to]
        self.library.c_switch(address(self.cpu), address(prev), address(following))
        self.on_cpu = to

    def play(self, steps: list[Step]) -> np.ndarray:
        """By cgroup; they take turns."""
        self.run(0, (0, 0, 0), 1)
        for number, (ns, off) in enumerate(steps):
            self.run(ns, off, 2 - number % 2)
        return self.counted()

    def counted(self) -> np.ndarray:
        found = np.zeros(N_CGROUPS + 1, COUNTERS)
        self.library.c_counted(address(found))
        return found

    def _tell(self) -> None:
        counts, off = np.array(self.counts, np.uint64), np.array(self.off_ns, np.uint64)
        self.library.c_events(ct.c_uint64(self.now_ns), address(counts), address(off))


def off_pmu(ns: int) -> st.SearchStrategy[int]:
    return st.integers(0, ns) | st.sampled_from([0, ns])


spans = st.integers(1, 20 * MS)
together = st.lists(
    spans.flatmap(lambda ns: off_pmu(ns).map(lambda off: (ns, (off, off, off)))), min_size=1, max_size=20
)
each_its_own = st.lists(
    spans.flatmap(lambda ns: st.tuples(st.just(ns), st.tuples(*[off_pmu(ns)] * 3))), min_size=1, max_size=20
)


def assert_counted_or_blind(counted: np.ndarray, steps: list[Step]) -> None:
    """At a steady rate every nanosecond of both cgroups is counted or still blind."""
    for cgroup_id in (1, 2):
        ran_ns = sum(ns for ns, _ in steps[cgroup_id - 1 :: 2])
        for i, rate in enumerate(PER_NS):
            seen_ns = int(counted[cgroup_id]["events"][i]) / rate + int(counted[cgroup_id]["blind_ns"][i])
            assert seen_ns == pytest.approx(ran_ns, abs=len(steps))


@given(steps=together)
@settings(deadline=None)
def test_a_group_counts_what_its_events_would_count_each_by_its_own_times(
    library: ct.CDLL, steps: list[Step]
) -> None:
    group, apart = (Pmu(library, is_group).play(steps) for is_group in (True, False))
    assert (group == apart).all()


@given(steps=each_its_own)
@settings(deadline=None)
def test_apart_each_event_goes_by_its_own_times(library: ct.CDLL, steps: list[Step]) -> None:
    """Whatever the others do."""
    assert_counted_or_blind(Pmu(library, is_group=False).play(steps), steps)


@given(steps=together)
@settings(deadline=None)
def test_in_a_group_every_nanosecond_is_counted_or_blind_too(library: ct.CDLL, steps: list[Step]) -> None:
    assert_counted_or_blind(Pmu(library, is_group=True).play(steps), steps)


@pytest.mark.parametrize("refused", [0b010, 0b100, 0b110, 0b001, 0b111])
@pytest.mark.parametrize("is_group", [True, False])
def test_what_cannot_be_read_at_a_switch_is_counted_at_the_next(
    library: ct.CDLL, is_group: bool, refused: int
) -> None:
    """An error of bpf_perf_event_read() is a count that no event has; without the first nobody has times."""
    pmu = Pmu(library, is_group)
    pmu.run(0, (0, 0, 0), 1)
    pmu.run(2 * MS, (0, 0, 0), 2)
    pmu.refuse(refused)
    pmu.run(3 * MS, (0, 0, 0), 1)
    pmu.refuse(0)
    pmu.run(4 * MS, (0, 0, 0), 0)
    counted = pmu.counted()
    for i, rate in enumerate(PER_NS):
        is_late = refused & (1 << i) or (is_group and refused & 1)
        assert counted[1]["events"][i] == rate * (9 if is_late else 6) * MS, i
        assert counted[2]["events"][i] == rate * (0 if is_late else 3) * MS, i


def test_a_group_that_is_read_apart_from_now_on_counts_nothing_twice(library: ct.CDLL) -> None:
    pmu = Pmu(library, is_group=True)
    pmu.play([(2 * MS, (MS, MS, MS)), (3 * MS, (0, 0, 0))])
    pmu.is_group = False
    pmu.refuse(0)
    pmu.run(5 * MS, (0, 0, 0), 0)
    assert pmu.counted()["events"].sum(axis=0).tolist() == [rate * 10 * MS for rate in PER_NS]


@pytest.mark.parametrize("is_group", [True, False])
def test_events_that_were_opened_anew_begin_at_nothing(library: ct.CDLL, is_group: bool) -> None:
    pmu = Pmu(library, is_group)
    pmu.play([(20 * MS, (0, 0, 0)), (30 * MS, (0, 0, 0))])
    pmu.open_anew()
    pmu.run(4 * MS, (2 * MS, 2 * MS, 2 * MS), 0)
    assert pmu.counted()["events"].sum(axis=0).tolist() == [rate * 54 * MS for rate in PER_NS]
