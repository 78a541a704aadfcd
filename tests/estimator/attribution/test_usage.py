from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.counters import AWAKE_NS, FIELDS, CounterSnapshot
from estimator.attribution.backlog import combined
from estimator.attribution.usage import UsageTracker
from estimator.energy import Usage
from estimator.machine.topology import CpuTopology, assemble
from tests.estimator.usages import topology

Key = tuple[int, int]


def snapshot(
    rows: Mapping[Key, Sequence[int]],
    seconds: float = 0.0,
    dropped: Sequence[int] | None = None,
    available: Sequence[str] = FIELDS,
    awake_ns: Mapping[int, int] = {},
) -> CounterSnapshot:
    """rows: from (cgroup_id, tgid) to one number a CPU; field f of it is that number times f + 1."""
    by_field = np.arange(1, len(FIELDS) + 1, dtype=np.uint64)
    n_cpu = len(next(iter(rows.values()))) if rows else len(dropped or (0,))
    cpus = np.array(list(rows.values()), dtype=np.uint64).reshape(len(rows), n_cpu)
    return CounterSnapshot(
        cgroup_id=np.array([key[0] for key in rows], dtype=np.uint64),
        tgid=np.array([key[1] for key in rows], dtype=np.uint32),
        values=cpus[:, :, np.newaxis] * by_field,
        dropped=np.array(dropped or [0] * n_cpu, dtype=np.uint64)[:, np.newaxis] * by_field,
        available=frozenset(available) | ({AWAKE_NS} if awake_ns else frozenset()),
        monotonic_ns=round(seconds * 1e9),
        awake_ns=awake_ns,
    )


def used(usage: Usage | None) -> dict[Key, list[float]]:
    """The first field by key and socket."""
    assert usage is not None
    keys = zip(usage.cgroup_id.tolist(), usage.tgid.tolist(), strict=True)
    return dict(zip(keys, usage.used[:, :, 0].tolist(), strict=True))


def between(before: CounterSnapshot, after: CounterSnapshot, cpu_socket: Sequence[int]) -> Usage | None:
    tracker = UsageTracker(topology(cpu_socket))
    tracker.update(before, len(cpu_socket))
    return tracker.update(after, len(cpu_socket))


def test_the_first_snapshot_is_the_baseline() -> None:
    assert UsageTracker(topology([0, 0])).update(snapshot({(7, 0): [5, 5]}), 2) is None


def test_what_no_tick_can_hold_is_given_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A cgroup that a walk had lost comes back with its whole life: 18,010 CPU seconds in a tick of 5 s."""
    second = 10**9
    tracker = UsageTracker(topology([0, 0]))
    tracker.update(snapshot({(7, 0): [0, 0]}, 10), 2)
    usage = tracker.update(snapshot({(7, 0): [second, 3 * second], (8, 0): [18_010 * second, 0]}, 15), 2)
    assert used(usage) == {(7, 0): [4e9], (8, 0): [0.0]}
    assert tracker.impossible_seconds == 18_010
    assert "18010.0 CPU seconds in 5.0 s on 2 CPUs" in caplog.text
    later = tracker.update(snapshot({(7, 0): [second, 3 * second], (8, 0): [18_011 * second, 0]}, 20), 2)
    assert used(later) == {(7, 0): [0.0], (8, 0): [1e9]}


def test_cpus_that_went_in_a_tick_may_have_run_in_it() -> None:
    second = 10**9
    tracker = UsageTracker(topology([0] * 8))
    tracker.update(snapshot({(7, 0): [0] * 8}, 10), 8)
    assert used(tracker.update(snapshot({(7, 0): [5 * second] * 8}, 15), 1)) == {(7, 0): [40e9]}


def test_usage_is_the_difference_summed_by_socket() -> None:
    usage = between(
        snapshot({(7, 0): [1, 10, 100, 1000]}, 10), snapshot({(7, 0): [3, 14, 108, 1016]}, 15), [0, 1, 0, 1]
    )
    assert usage is not None
    assert usage.used.tolist() == [[[10, 20, 30, 40, 50, 60, 70], [20, 40, 60, 80, 100, 120, 140]]]
    assert (usage.interval_seconds, usage.n_cpu) == (5.0, 4)


def test_rows_are_matched_by_key_and_not_by_place() -> None:
    before = snapshot({(9, 0): [100], (7, 0): [10], (8, 0): [50]})
    after = snapshot({(7, 0): [11], (8, 0): [52], (9, 0): [103]})
    assert used(between(before, after, [0])) == {(7, 0): [1], (8, 0): [2], (9, 0): [3]}


def test_processes_of_one_cgroup_are_told_apart() -> None:
    before = snapshot({(7, 41): [10], (7, 42): [20], (8, 41): [30]})
    after = snapshot({(8, 41): [33], (7, 42): [22], (7, 41): [11], (7, 43): [4]})
    assert used(between(before, after, [0])) == {(8, 41): [3], (7, 42): [2], (7, 41): [1], (7, 43): [4]}


def test_a_new_cgroup_counts_from_zero_and_one_that_went_is_gone() -> None:
    usage = between(snapshot({(7, 0): [10]}), snapshot({(8, 0): [4]}), [0])
    assert used(usage) == {(8, 0): [4]}


def test_a_cgroup_made_again_counts_from_zero_in_every_counter() -> None:
    """Also in those that by chance are past the old value, as on the second CPU here."""
    usage = between(snapshot({(7, 0): [1000, 1]}), snapshot({(7, 0): [4, 3]}), [0, 1])
    assert used(usage) == {(7, 0): [4, 3]}


def test_a_cgroup_that_slept_used_exactly_nothing() -> None:
    usage = between(snapshot({(7, 0): [2**60, 3]}), snapshot({(7, 0): [2**60, 3]}), [0, 1])
    assert usage is not None
    assert not usage.used.any()


def test_counters_past_two_to_the_53_lose_no_unit() -> None:
    before, after = {(7, 0): [2**60, 2**60]}, {(7, 0): [2**60 + 1, 2**60 + 2]}
    assert used(between(snapshot(before), snapshot(after), [0, 0])) == {(7, 0): [3]}


def test_without_cpus_usage_is_spread_evenly_over_the_sockets() -> None:
    usage = between(
        snapshot({(7, 0): [10]}, dropped=[0]), snapshot({(7, 0): [14]}, dropped=[8]), [0, 0, 1, 1]
    )
    assert used(usage) == {(7, 0): [2, 2]}
    assert usage is not None
    assert usage.dropped[:, 0].tolist() == [4, 4]


def test_a_cpu_beyond_the_known_ones_is_on_socket_zero() -> None:
    usage = between(snapshot({(7, 0): [0, 0, 0]}), snapshot({(7, 0): [1, 2, 4]}), [0, 1])
    assert used(usage) == {(7, 0): [5, 2]}


def test_fewer_cpus_than_known_leave_a_socket_at_zero() -> None:
    usage = between(snapshot({(7, 0): [0, 0]}), snapshot({(7, 0): [1, 2]}), [0, 0, 1, 1])
    assert used(usage) == {(7, 0): [3, 0]}


def test_what_the_map_dropped_is_differenced_by_socket() -> None:
    usage = between(snapshot({}, dropped=[1, 2]), snapshot({}, dropped=[4, 7]), [0, 1])
    assert usage is not None
    assert usage.dropped[:, 0].tolist() == [3, 5]
    assert usage.used.shape == (0, 2, len(FIELDS))


def test_no_cgroup_at_all_is_a_usage_of_nothing() -> None:
    usage = between(snapshot({(7, 0): [5]}), snapshot({}), [0])
    assert usage is not None
    assert usage.cpu_seconds == 0


def test_a_field_that_is_not_measured_is_zero_and_restarts_nothing() -> None:
    before, after = snapshot({(7, 0): [10]}), snapshot({(7, 0): [14]}, available=["cpu_ns", "switches"])
    after.values[:, :, 1] = 0
    usage = between(before, after, [0])
    assert usage is not None
    assert usage.used.tolist() == [[[4, 0, 0, 0, 20, 0, 0]]]


COUNTS = st.lists(st.integers(0, 10**9), min_size=4, max_size=4)
TICKS = st.lists(
    st.dictionaries(st.tuples(st.integers(1, 6), st.integers(0, 2)), COUNTS, max_size=8),
    min_size=1,
    max_size=6,
)


@given(ticks=TICKS, seed=st.integers(0, 2**32 - 1))
def test_whatever_was_used_is_found_once_whatever_the_order_of_the_rows(
    ticks: list[dict[Key, list[int]]], seed: int
) -> None:
    """Cgroups come, pause and are shuffled; the sums over all ticks are what each of them used."""
    shuffle = np.random.default_rng(seed).permutation
    tracker, totals = UsageTracker(topology([0, 1, 1, 0])), dict[Key, np.ndarray]()
    tracker.update(snapshot({}, dropped=[0] * 4), 4)
    for tick in ticks:
        for key, counts in tick.items():
            totals[key] = totals.get(key, np.zeros(4, dtype=np.int64)) + counts
        keys = [list(totals)[place] for place in shuffle(len(totals))]
        rows = {key: totals[key].tolist() for key in keys}
        found = used(tracker.update(snapshot(rows, dropped=[0] * 4), 4))
        for key in keys:
            a, b, c, d = tick.get(key, [0] * 4)
            assert found[key] == [a + d, b + c]


def test_a_machine_without_known_topology_has_one_socket() -> None:
    assert used(between(snapshot({(7, 0): [1, 2]}), snapshot({(7, 0): [2, 4]}), [])) == {(7, 0): [3]}


@pytest.mark.parametrize(("online", "ratio"), [(2, 0.5), (4, 0.25), (0, 0.0)])
def test_the_cpu_ratio_is_of_the_cpus_that_are_online(online: int, ratio: float) -> None:
    tracker = UsageTracker(topology([0, 0]))
    tracker.update(snapshot({(7, 0): [0, 0]}), online)
    usage = tracker.update(snapshot({(7, 0): [3 * 10**9, 2 * 10**9]}, 5), online)
    assert usage is not None
    assert usage.cpu_ratio == ratio


def test_many_that_fit_alone_and_not_together_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """100 cgroups come back with 5 CPU seconds each, into a tick of 5 s on two CPUs."""
    second = 10**9
    tracker = UsageTracker(topology([0, 0]))
    tracker.update(snapshot({(7, 0): [0, 0]}, 10), 2)
    lost = {(100 + number, 0): [5 * second, 0] for number in range(100)}
    usage = tracker.update(snapshot({(7, 0): [second, 3 * second], **lost}, 15), 2)
    assert usage is not None
    assert usage.cpu_seconds <= 2 * (5 * 1.1 + 1)
    assert used(usage)[7, 0] == [4e9]
    assert usage.cpu_seconds + tracker.impossible_seconds == 504
    assert caplog.text.count("cannot be and are given to nobody") == 1


def resumed(before: CounterSnapshot, sockets: CpuTopology, now: CounterSnapshot, later: CpuTopology) -> Usage:
    """What a process finds after one that knew the machine by another topology."""
    first, second = UsageTracker(sockets), UsageTracker(later)
    first.update(before, len(sockets.online))
    assert first.last is not None
    second.resume(first.last)
    usage = second.update(now, len(later.online))
    assert usage is not None
    return usage


@pytest.mark.parametrize(
    ("online_before", "online_now"),
    [((0, 1, 2, 3), (0, 2)), ((0, 2), (0, 1, 2, 3)), ((0, 1, 2, 3), (0, 1)), ((0, 1), (0, 1, 2, 3))],
)
def test_a_restart_while_cpus_are_offline_books_no_life_anew(
    online_before: tuple[int, ...], online_now: tuple[int, ...]
) -> None:
    """The sockets of CPUs that are offline are not known: a counter seems to go from one to the other."""
    second = 10**9
    socket = {0: 0, 1: 0, 2: 1, 3: 1}

    def seen(online: tuple[int, ...]) -> CpuTopology:
        return assemble(online, range(4), {cpu: socket[cpu] for cpu in online})

    before = snapshot({(7, 0): [900 * second] * 4}, 10)
    now = snapshot({(7, 0): [901 * second, 900 * second, 902 * second, 900 * second]}, 15)
    usage = resumed(before, seen(online_before), now, seen(online_now))
    assert usage.cpu_seconds == pytest.approx(3.0)


def awake(usage: Usage | None) -> list[float] | None:
    assert usage is not None
    return None if usage.awake_seconds is None else usage.awake_seconds.tolist()


SECOND = 10**9


def test_awake_time_is_what_each_socket_was_awake_since_the_last_snapshot() -> None:
    sockets = assemble([0, 1], [0, 1], {0: 7, 1: 3})
    tracker = UsageTracker(sockets)
    tracker.update(snapshot({}, 10, [0, 0], awake_ns={7: 4 * SECOND, 3: 0}), 2)
    assert awake(tracker.update(snapshot({}, 15, [0, 0], awake_ns={7: 6 * SECOND, 3: SECOND}), 2)) == [1, 2]
    assert awake(tracker.update(snapshot({}, 20, [0, 0], awake_ns={7: 6 * SECOND, 3: 2 * SECOND}), 2)) == [
        1,
        0,
    ]


def test_a_socket_that_came_is_awake_from_then_on() -> None:
    tracker = UsageTracker(assemble([0, 1], [0, 1], {0: 0, 1: 1}))
    tracker.update(snapshot({}, 10, [0, 0], awake_ns={0: 4 * SECOND}), 2)
    assert awake(tracker.update(snapshot({}, 15, [0, 0], awake_ns={0: 5 * SECOND, 1: 3 * SECOND}), 2)) == [
        1,
        3,
    ]


@pytest.mark.parametrize(("counted", "seconds"), [(9 * SECOND, 5.0), (-2 * SECOND, 0.0)])
def test_no_socket_is_awake_for_longer_than_the_interval_or_less_than_not_at_all(
    counted: int, seconds: float
) -> None:
    tracker = UsageTracker(topology([0, 0]))
    tracker.update(snapshot({}, 10, [0, 0], awake_ns={0: 20 * SECOND}), 2)
    assert awake(tracker.update(snapshot({}, 15, [0, 0], awake_ns={0: 20 * SECOND + counted}), 2)) == [
        seconds
    ]


def test_where_nobody_counts_awake_time_it_is_estimated_from_what_each_cpu_was_busy() -> None:
    """Half the time one CPU of a socket and a fifth the other: 1 - 0.5 * 0.8."""
    before = snapshot({(7, 0): [0, 0, 0], (8, 0): [9 * SECOND] * 3}, 10)
    after = snapshot({(7, 0): [SECOND, SECOND, 0], (9, 0): [3 * SECOND // 2, 0, 0]}, 15)
    assert awake(between(before, after, [0, 0, 1])) == pytest.approx([5 * 0.6, 0.0])


def test_more_cpu_time_than_there_was_is_an_awake_socket() -> None:
    assert awake(
        between(snapshot({(7, 0): [0, 0]}, 10), snapshot({(7, 0): [9 * SECOND, 0]}, 15), [0, 0])
    ) == [5]


def test_without_cpus_told_apart_nobody_knows_how_long_a_socket_was_awake() -> None:
    assert awake(between(snapshot({(7, 0): [0]}, 10), snapshot({(7, 0): [SECOND]}, 15), [0, 0])) is None


def test_what_was_counted_by_a_process_before_goes_on() -> None:
    sockets = topology([0, 0])
    before = snapshot({}, 10, [0, 0], awake_ns={0: 4 * SECOND})
    now = snapshot({}, 15, [0, 0], awake_ns={0: 7 * SECOND})
    assert awake(resumed(before, sockets, now, sockets)) == [3]


def test_several_intervals_are_awake_for_the_sum_and_one_that_is_not_known_hides_it() -> None:
    tracker = UsageTracker(topology([0, 0]))
    usages = [
        tracker.update(snapshot({}, seconds, [0, 0], awake_ns={0: ns}), 2)
        for seconds, ns in ((5, 1), (10, SECOND + 1), (15, 3 * SECOND + 1))
    ]
    known = [usage for usage in usages if usage is not None]
    assert awake(combined(known)) == [3]
    assert awake(combined([*known, replace(known[0], awake_seconds=None)])) is None
