"""The books balance, never go down, and do not grow with the dead."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from ebpf.counters import FIELDS
from estimator.energy import Usage, ZoneEnergy, ZoneShare
from exporter.books.ledger import Ledger
from exporter.books.row_lifetimes import Lifetimes
from exporter.names.accounts import Account
from exporter.names.workloads import Kind, identify, pod_of

UID = "7e44ee88-1e65-4a16-8cdf-9a90c819180e"
EVERYTHING: tuple[Kind, ...] = ("container", "pod", "vm", "unit", "user", "kernel", "root", "job", "other")


def container(number: int) -> str:
    return f"/docker/{number:064x}"


def in_pod(number: int, pod: int = 0) -> str:
    return f"/kubepods/pod{pod:08x}{UID[8:]}/{number:064x}"


class Node:
    """A node whose cgroups come and go, and its ledger. is_named: or no name is ever known."""

    def __init__(self, ttl: float = 300.0, max_terminated: int = 5_000, *, is_named: bool = True) -> None:
        self.is_named = is_named
        self.paths: dict[int, str] = {}
        self.alive: set[int] = set()
        self.now = 0.0
        self.revision = 0
        lifetimes = Lifetimes(ttl, max_terminated, clock=lambda: self.now)
        self.ledger = Ledger(self.resolve, self.alive.__contains__, lifetimes, revision=lambda: self.revision)

    def resolve(self, cgroup_id: int) -> tuple[Account, ...]:
        workload = identify(self.paths.get(cgroup_id))
        pod = pod_of(workload)
        return tuple(Account(each, is_settled=self.is_named) for each in (workload, pod) if each)

    def start(self, cgroup_id: int, path: str) -> None:
        self.paths[cgroup_id] = path
        self.alive.add(cgroup_id)
        self.revision += 1

    def end(self, cgroup_id: int) -> None:
        self.alive.discard(cgroup_id)
        self.revision += 1

    def tick(
        self,
        joules: Mapping[int, float],
        zones: Mapping[str, float] = {"package": 1.0},
        idle: float = 0.0,
        unattributed: float = 0.0,
        seconds: float = 5.0,
        sockets: int = 1,
    ) -> None:
        """One tick in which each cgroup drew its joules, times the zone's factor, split over the sockets."""
        self.now += seconds
        used = np.zeros((len(joules), sockets, len(FIELDS)))
        used[:, :, 0] = 1e9 / sockets
        used[:, :, 1:4] = np.array([4.0, 3.0, 2.0]) / sockets
        usage = Usage(
            np.array(list(joules), np.uint64),
            np.zeros(len(joules), np.uint32),
            used,
            np.zeros((sockets, len(FIELDS))),
            frozenset(FIELDS),
            seconds,
            n_cpu=2,
        )
        shares = [
            share(
                zone, socket, np.array(list(joules.values())) * factor / sockets, idle, unattributed, seconds
            )
            for zone, factor in zones.items()
            for socket in range(sockets)
        ]
        self.ledger.add(usage, shares)

    def joules(self, *kinds: Kind) -> dict[str, float]:
        balances = self.ledger.balances(*(kinds or EVERYTHING))
        ids = [account.workload.id for account in balances.accounts]
        return dict(zip(ids, balances.joules[:, 0].tolist(), strict=True))


def share(
    zone: str, socket: int, joules: np.ndarray, idle: float, unattributed: float, seconds: float
) -> ZoneShare:
    total = float(joules.sum()) + idle + unattributed
    energy = ZoneEnergy(zone, socket, f"intel-rapl:{socket}", total, seconds, None, total, total)
    return ZoneShare(energy, idle, "fit", joules, {"no_usage": unattributed})


def test_a_workload_is_the_sum_of_its_ticks_cgroups_and_sockets() -> None:
    node = Node()
    node.start(1, container(1))
    node.start(2, container(1) + "/init.scope")
    node.tick({1: 10.0, 2: 5.0}, {"package": 1.0, "dram": 0.1}, sockets=2)
    node.tick({1: 10.0}, {"package": 1.0, "dram": 0.1}, sockets=2)
    balances = node.ledger.balances("container")
    assert balances.zones == ("package", "dram")
    assert balances.joules == pytest.approx(np.array([[25.0, 2.5]]))
    assert balances.watts == pytest.approx(np.array([[2.0, 0.2]]))
    assert (balances.cpu_seconds[0], balances.cycles[0]) == pytest.approx((3.0, 12.0))
    assert (balances.instructions[0], balances.cache_misses[0]) == pytest.approx((9.0, 6.0))


def test_a_container_that_appears_and_dies_within_a_tick_is_booked() -> None:
    node = Node()
    node.start(1, container(1))
    node.end(1)
    node.tick({1: 3.0})
    assert list(node.joules().values()) == [3.0]


def test_an_ended_workload_keeps_its_row_for_its_ttl_and_draws_nothing() -> None:
    node = Node(ttl=10.0)
    node.start(1, container(1))
    node.tick({1: 3.0})
    node.end(1)
    node.tick({1: 1.0})
    for _ in range(2):
        balances = node.ledger.balances("container")
        assert (balances.joules.tolist(), balances.watts.tolist()) == ([[4.0]], [[0.0]])
        assert not balances.running.any()
        node.tick({})
    assert node.joules() == {}


def test_a_workload_that_comes_back_in_time_goes_on_in_its_row() -> None:
    node = Node(ttl=10.0)
    node.start(1, "/system.slice/ssh.service")
    node.tick({1: 3.0})
    node.end(1)
    node.tick({})
    node.start(2, "/system.slice/ssh.service")
    for _ in range(5):
        node.tick({2: 1.0})
    assert node.joules() == {"/system.slice/ssh.service": 8.0}
    assert node.ledger.balances("unit").running.all()


def test_a_pod_does_not_drop_when_one_of_its_containers_goes() -> None:
    node = Node(ttl=5.0)
    node.start(1, in_pod(1))
    node.start(2, in_pod(2))
    node.tick({1: 10.0, 2: 1.0})
    node.end(1)
    for _ in range(3):
        node.tick({2: 1.0})
    assert len(node.joules("container")) == 1
    assert list(node.joules("pod").values()) == [14.0]


def test_a_pod_lives_as_long_as_any_of_its_containers_and_its_ttl() -> None:
    node = Node(ttl=5.0)
    node.start(1, in_pod(1))
    node.tick({1: 1.0})
    node.end(1)
    node.tick({})
    assert len(node.joules("pod")) == 1
    node.tick({})
    assert node.joules("pod") == {}


def test_a_container_that_has_not_run_is_exactly_zero() -> None:
    node = Node()
    node.start(1, in_pod(1))
    node.start(2, "/system.slice/ssh.service")
    node.tick({})
    node.ledger.ensure(node.alive)
    node.tick({}, {"package": 1.0})
    balances = node.ledger.balances(*EVERYTHING)
    assert [account.workload.kind for account in balances.accounts] == ["container", "pod"]
    assert (balances.joules == 0.0).all()
    assert (balances.watts == 0.0).all()


def test_a_container_whose_busy_child_ended_is_not_taken_for_ended() -> None:
    node = Node(ttl=5.0)
    node.start(1, container(1))
    node.start(2, container(1) + "/child")
    node.ledger.ensure(node.alive)
    node.tick({2: 7.0})
    node.end(2)
    for _ in range(5):
        node.tick({})
    assert list(node.joules().values()) == [7.0]


def test_labels_are_fixed_when_the_row_is_opened() -> None:
    names = iter(["first", "second"])
    workload = identify(container(1))
    alive = {1}
    ledger = Ledger(lambda _: (Account(workload, next(names)),), alive.__contains__)
    ledger.ensure([1])
    alive.clear()
    ledger.add(_nothing(), [])
    alive.add(2)
    ledger.ensure([2])
    assert ledger.balances("container").accounts == (Account(workload, "first"),)


def _nothing() -> Usage:
    none = np.zeros(0)
    return Usage(
        none.astype(np.uint64),
        none.astype(np.uint32),
        np.zeros((0, 1, 5)),
        np.zeros((1, 5)),
        frozenset(),
        5.0,
        1,
    )


def test_accounts_are_one_object_until_a_row_of_theirs_comes_or_goes() -> None:
    node = Node(ttl=5.0)
    node.start(1, container(1))
    node.tick({1: 1.0})
    accounts = node.ledger.balances("container").accounts
    node.start(2, "/system.slice/ssh.service")
    node.tick({1: 1.0, 2: 1.0})
    assert node.ledger.balances("container").accounts is accounts
    node.start(3, container(3))
    node.tick({1: 1.0, 2: 1.0, 3: 1.0})
    assert node.ledger.balances("container").accounts is not accounts


def test_what_is_handed_out_does_not_change_and_cannot_be_changed() -> None:
    node = Node()
    node.start(1, container(1))
    node.tick({1: 1.0})
    balances = node.ledger.balances("container")
    node.tick({1: 1.0})
    assert balances.joules.tolist() == [[1.0]]
    with pytest.raises(ValueError, match="read-only"):
        balances.cpu_seconds[0] = 0.0


def test_a_zone_without_a_reading_keeps_its_joules_and_has_no_watts() -> None:
    node = Node()
    node.start(1, container(1))
    node.tick({1: 2.0}, {"package": 1.0, "dram": 1.0})
    node.tick({1: 2.0}, {"package": 1.0})
    balances = node.ledger.balances("container")
    assert balances.joules.tolist() == [[4.0, 2.0]]
    assert balances.watts[0, 0] == 0.4
    assert math.isnan(balances.watts[0, 1])
    assert [math.isnan(zone.watts) for zone in node.ledger.node.zones()] == [False, True]


def test_an_id_without_a_path_is_unknown_until_it_has_one() -> None:
    node = Node()
    node.tick({9: 2.0})
    node.start(9, container(9))
    node.tick({9: 3.0})
    assert node.joules() == {"unknown": 2.0, f"{9:064x}": 3.0}


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_an_impossible_amount_is_refused_and_nothing_is_booked(bad: float) -> None:
    node = Node()
    node.start(1, container(1))
    node.start(2, container(2))
    node.tick({1: 1.0, 2: 1.0})
    with pytest.raises(ValueError, match="finite"):
        node.tick({1: 1.0, 2: bad})
    assert list(node.joules().values()) == [1.0, 1.0]
    assert node.ledger.node.zones()[0].joules == 2.0


def test_idle_energy_has_its_own_books() -> None:
    node = Node()
    node.start(1, in_pod(1))
    node.start(2, in_pod(2))
    node.ledger.add_idle(np.array([1, 2], np.uint64), {"package": np.array([3.0, 4.0])})
    node.tick({1: 1.0})
    balances = node.ledger.balances("container", "pod")
    assert balances.joules[:, 0].tolist() == [1.0, 1.0, 0.0]
    assert balances.idle_joules[:, 0].tolist() == [3.0, 7.0, 4.0]


def test_the_node_is_kept_by_zone_and_path() -> None:
    node = Node()
    node.start(1, container(1))
    node.tick({1: 8.0}, idle=10.0, unattributed=1.0, sockets=2)
    node.tick({1: 8.0}, idle=10.0, unattributed=1.0, sockets=2)
    first, second = node.ledger.node.zones()
    assert (first.zone, first.path, second.path) == ("package", "intel-rapl:0", "intel-rapl:1")
    assert (first.joules, first.idle_joules, first.active_joules) == (30.0, 20.0, 10.0)
    assert (first.watts, first.idle_watts, first.active_watts) == (3.0, 2.0, 1.0)
    assert node.ledger.node.unattributed() == {("package", "no_usage"): 4.0}


def test_100_000_short_lives_leave_no_trace() -> None:
    node = Node(ttl=300.0, max_terminated=1_000)
    for start in range(0, 100_000, 500):
        ids = range(start, start + 500)
        for cgroup_id in ids:
            node.start(cgroup_id, in_pod(cgroup_id, pod=cgroup_id // 10))
            node.end(cgroup_id)
        node.tick(dict.fromkeys(ids, 1.0))
        node.paths.clear()
        assert len(node.joules()) <= 1_000
    assert node.ledger.evicted > 0
    assert node.ledger._table.capacity <= 4_096
    node.now += 300.0
    node.tick({})
    assert node.joules() == {}
    assert node.ledger._table.capacity <= 128, "the books stay as large as they once were"
    assert node.ledger.node.zones()[0].joules == 100_000.0


def test_nor_do_those_that_wait_for_names_which_nobody_has() -> None:
    node = Node(ttl=5.0, max_terminated=1_000, is_named=False)
    node.start(1, container(1))
    for start in range(10, 50_010, 500):
        ids = range(start, start + 500)
        for cgroup_id in ids:
            node.start(cgroup_id, container(cgroup_id))
            node.end(cgroup_id)
        node.tick(dict.fromkeys((1, *ids), 1.0), seconds=1.0)
        node.paths.clear()
    assert node.ledger._table.capacity <= 4_096, "rows of the ended that wait have no bound"
    node.now += 30.0
    for _ in range(2):
        node.tick({1: 1.0}, seconds=5.0)
    assert list(node.joules()) == [f"{1:064x}"], "one that lives waits as long as it is to wait"


class Lives(RuleBasedStateMachine):
    """Random lives: ids and names are used again, zones come and go, and the books balance all the while."""

    cgroups = Bundle("cgroups")

    def __init__(self) -> None:
        super().__init__()
        self.node = Node(ttl=math.inf)
        self.before: dict[tuple[str, str], list[float]] = {}

    @rule(
        target=cgroups,
        cgroup_id=st.integers(1, 12),
        path=st.sampled_from(
            [
                container(1),
                container(2) + "/init.scope",
                in_pod(3),
                in_pod(4),
                in_pod(5, 1),
                "/a.service",
                "/",
            ]
        ),
    )
    def start(self, cgroup_id: int, path: str) -> int:
        if cgroup_id not in self.node.alive:
            self.node.start(cgroup_id, path)
        return cgroup_id

    @rule(cgroup_id=consumes(cgroups), joules=st.floats(0, 1e6))
    def end(self, cgroup_id: int, joules: float) -> None:
        self.node.end(cgroup_id)
        self.node.tick({cgroup_id: joules})

    @rule()
    def ensure(self) -> None:
        self.node.ledger.ensure(self.node.alive)

    @rule(
        joules=st.dictionaries(st.integers(1, 14), st.floats(0, 1e6)),
        zones=st.dictionaries(st.sampled_from(["package", "dram", "core"]), st.floats(0, 2)),
        idle=st.floats(0, 1e6),
        unattributed=st.floats(0, 1e6),
        sockets=st.integers(1, 2),
    )
    def tick(
        self,
        joules: dict[int, float],
        zones: dict[str, float],
        idle: float,
        unattributed: float,
        sockets: int,
    ) -> None:
        self.node.tick(joules, zones, idle, unattributed, sockets=sockets)

    @invariant()
    def nothing_goes_down(self) -> None:
        balances = self.node.ledger.balances(*EVERYTHING)
        now = {
            account.key: [seconds, *joules]
            for account, joules, seconds in zip(
                balances.accounts, balances.joules.tolist(), balances.cpu_seconds.tolist(), strict=True
            )
        }
        for key, values in self.before.items():
            assert all(new >= old for new, old in zip(now[key], values, strict=False))
        self.before = now

    @invariant()
    def the_books_balance(self) -> None:
        ledger = self.node.ledger
        own = ledger.balances(*(kind for kind in EVERYTHING if kind != "pod"))
        for zone, joules in zip(own.zones, own.joules.T, strict=True):
            parts = [z for z in ledger.node.zones() if z.zone == zone]
            nobodys = sum(j for (z, _), j in ledger.node.unattributed().items() if z == zone)
            booked = joules.sum() + nobodys + sum(part.idle_joules for part in parts)
            assert booked == pytest.approx(sum(part.joules for part in parts), rel=1e-9, abs=1e-9)

    @invariant()
    def a_pod_is_its_containers(self) -> None:
        containers, pods = self.node.ledger.balances("container"), self.node.ledger.balances("pod")
        for pod, joules in zip(pods.accounts, pods.joules, strict=True):
            inside = [account.workload.pod_uid == pod.workload.id for account in containers.accounts]
            assert joules == pytest.approx(containers.joules[inside].sum(axis=0), rel=1e-9)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
