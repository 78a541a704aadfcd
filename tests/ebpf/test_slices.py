"""The arithmetic of a slice loses nothing: scaling, the time an event was off the PMU, parts of a count."""

from __future__ import annotations

import ctypes as ct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ebpf.program import COUNTERS
from tests.ebpf import native

EXPORTS = """
#include "slices.h"
__u64 c_scaled(__u64 count, __u64 enabled, __u64 running) { return scaled(count, enabled, running); }
__u64 c_per_1024(__u64 value, __u64 part) { return per_1024(value, part); }
void c_add_events(struct counters *to, int i, const __u64 *slices, int n)
{
	for (; n; n--, slices += 3)
		add_event(to, i, slices[0], slices[1], slices[2]);
}
"""
MS = 1_000_000
Slice = tuple[int, int, int]  # count, enabled ns, running ns


@dataclass(frozen=True)
class Native:
    """slices.h, compiled for this machine."""

    library: ct.CDLL

    def scaled(self, count: int, enabled: int, running: int) -> int:
        return int(self.library.c_scaled(*map(ct.c_uint64, (count, enabled, running))))

    def per_1024(self, value: int, part: int) -> int:
        return int(self.library.c_per_1024(ct.c_uint64(value), ct.c_uint64(part)))

    def add(self, slices: Iterable[Slice], to: np.ndarray | None = None, event: int = 0) -> tuple[int, int]:
        """Events and blind time after slices, from a counter at 0 unless one is given."""
        counter = np.zeros(1, COUNTERS) if to is None else to
        rows = np.array(list(slices), np.uint64).reshape(-1, 3)
        self.library.c_add_events(
            counter.ctypes.data_as(ct.c_void_p), event, rows.ctypes.data_as(ct.c_void_p), len(rows)
        )
        return int(counter["events"][0, event]), int(counter["blind_ns"][0, event])


@pytest.fixture(scope="module")
def native_slices(tmp_path_factory: pytest.TempPathFactory) -> Native:
    path = native.build(EXPORTS, tmp_path_factory.mktemp("slices"), "-shared", "-fPIC")
    library = ct.CDLL(str(path))
    library.c_scaled.restype = library.c_per_1024.restype = ct.c_uint64
    library.c_add_events.restype = None
    return Native(library)


def times(longest_ns: int) -> st.SearchStrategy[tuple[int, int]]:
    """(enabled, running), 0 < running <= enabled, small ones as likely as large ones."""
    return (
        st.integers(1, longest_ns.bit_length() - 1)
        .flatmap(lambda bits: st.integers(1, 1 << bits))
        .flatmap(lambda enabled: st.tuples(st.just(enabled), st.integers(1, enabled)))
    )


@given(count=st.integers(0, (1 << 40) - 1), time=times((1 << 31) - 1))
@settings(deadline=None, max_examples=500)
def test_a_slice_below_two_seconds_is_scaled_exactly(
    native_slices: Native, count: int, time: tuple[int, int]
) -> None:
    enabled, running = time
    exact = count * enabled // running
    assume(exact < 1 << 64)  # what no counter could hold anyway
    assert native_slices.scaled(count, enabled, running) == exact


@given(count=st.integers(0, (1 << 40) - 1), time=times(1 << 43))
@example(
    count=1 << 33, time=(5_000 * MS, 1_250 * MS + 1_000_000)
)  # a lone task between readings, 1 event in 4
@example(count=4_000_000, time=(2_200 * MS, 4 * MS))
@example(count=1_000_000, time=(2_200 * MS, MS))
@settings(deadline=None, max_examples=500)
def test_a_slice_of_any_length_is_scaled_to_within_1e_5(
    native_slices: Native, count: int, time: tuple[int, int]
) -> None:
    enabled, running = time
    exact = count * enabled // running
    assume(exact < 1 << 64)
    assert abs(native_slices.scaled(count, enabled, running) - exact) <= 1e-5 * exact + 1


@given(count=st.integers(0, (1 << 64) - 1), enabled=st.integers(0, (1 << 43) - 1))
@settings(deadline=None)
def test_without_running_time_there_is_nothing_to_scale_by(
    native_slices: Native, count: int, enabled: int
) -> None:
    assert native_slices.scaled(count, enabled, 0) == count


@given(value=st.integers(0, (1 << 64) - 1), part=st.integers(0, 1024))
@example(value=(1 << 64) - 1, part=1024)
@settings(deadline=None, max_examples=300)
def test_a_part_of_any_value_is_exact(native_slices: Native, value: int, part: int) -> None:
    assert native_slices.per_1024(value, part) == value * part // 1024


@given(slices=st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 43)), max_size=30))
@settings(deadline=None)
def test_slices_that_share_no_counter_are_exact(native_slices: Native, slices: list[tuple[int, int]]) -> None:
    events, blind_ns = native_slices.add((count, ns, ns) for count, ns in slices if ns)
    assert (events, blind_ns) == (sum(count for count, ns in slices if ns), 0)


slices_of_any_kind = st.lists(
    st.integers(0, 20 * MS).flatmap(
        lambda enabled: st.tuples(
            st.integers(0, 1 << 30), st.just(enabled), st.integers(0, enabled) | st.sampled_from([0, enabled])
        )
    ),
    max_size=40,
)


@given(slices=slices_of_any_kind)
@settings(deadline=None)
def test_a_count_never_goes_down(native_slices: Native, slices: list[Slice]) -> None:
    counter = np.zeros(1, COUNTERS)
    seen = [native_slices.add([each], counter)[0] for each in slices]
    assert seen == sorted(seen)


@given(slices=slices_of_any_kind)
@settings(deadline=None, max_examples=300)
def test_every_nanosecond_is_counted_or_still_blind(native_slices: Native, slices: list[Slice]) -> None:
    """At one event a nanosecond the count is the time: what went in must come out, to the last one."""
    events, blind_ns = native_slices.add((running, enabled, running) for _, enabled, running in slices)
    assert events + blind_ns == sum(enabled for _, enabled, _ in slices)


def test_blind_time_of_seconds_is_not_lost(native_slices: Native) -> None:
    blind = [(0, 10 * MS, 0)] * 300  # a cgroup that wakes in step with the rotation: 3 s without a look
    assert native_slices.add([*blind, (MS, MS, MS)]) == (3_001 * MS, 0)


@given(slices=slices_of_any_kind, event=st.integers(0, 2))
@settings(deadline=None)
def test_an_event_touches_its_own_words_alone(native_slices: Native, slices: list[Slice], event: int) -> None:
    counter = np.zeros(1, COUNTERS)
    native_slices.add(slices, counter, event)
    others = [i for i in range(3) if i != event]
    assert not counter["events"][0, others].any()
    assert not counter["blind_ns"][0, others].any()
    assert (int(counter["cpu_ns"][0]), int(counter["switches"][0])) == (0, 0)


def test_blind_time_is_carried_to_the_next_slice_that_counts(native_slices: Native) -> None:
    assert native_slices.add([(0, 3 * MS, 0), (0, 2 * MS, 0)]) == (0, 5 * MS)
    assert native_slices.add([(0, 3 * MS, 0), (0, 2 * MS, 0), (4_000, 2 * MS, MS)]) == (28_000, 0)


def on_pmu(until_ns: np.ndarray, period_ns: float, share: float) -> np.ndarray:
    """How long an event was on the PMU until a moment, if it has `share` of each period."""
    return np.floor(until_ns / period_ns) * period_ns * share + np.minimum(
        until_ns % period_ns, period_ns * share
    )


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_the_rotation_of_events_is_seen_through_on_average(native_slices: Native, share: float) -> None:
    """Slices of a quarter of the rotation on average, most of them wholly on or wholly off the PMU.

    Four cgroups take turns at random, each with its own rate, which varies from slice to slice.
    """
    random = np.random.default_rng(20240)
    n, period_ns = 40_000, 8 * MS
    enabled = random.exponential(period_ns / 4, n).astype(np.uint64) + np.uint64(1)
    ends = np.cumsum(enabled).astype(float)
    running = np.diff(on_pmu(np.concatenate([[0.0], ends]), period_ns, share)).round().astype(np.uint64)
    running = np.minimum(running, enabled)
    owner = random.integers(0, 4, n)
    rate = np.array([0.02, 0.3, 1.0, 3.0])[owner] * random.uniform(0.5, 1.5, n)
    assert (running == 0).mean() > 0.2
    for cgroup in range(4):
        mine = owner == cgroup
        true = float((enabled * rate)[mine].sum())
        counts = (running * rate)[mine].astype(np.uint64)
        events, _ = native_slices.add(np.column_stack([counts, enabled[mine], running[mine]]).tolist())
        assert events == pytest.approx(true, rel=0.03)
