"""Whatever befalls a machine: what it drew is booked once, what could not be told is counted, nothing is made
up."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Set
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from estimator.attribution.wall import MOST_FILLED_SECONDS
from estimator.energy import ZoneShare
from estimator.meters.difference import IMPOSSIBLE_FACTOR, STEP_JOULES
from exporter.tick.measurement import Tick, conservation_error
from tests.estimator.meters.rapl_tree import AMD_RANGE_UJ, XEON_RANGE_UJ
from tests.exporter.nodes import Samples, container, in_pod, of, series
from tests.exporter.tick.board import PATH, Board
from tests.exporter.tick.test_measurement import assert_conserved
from tests.exporter.tick.world import (
    BOARD_WATTS,
    CPU_WATTS,
    CPUS_PER_SOCKET,
    IDLE_WATTS,
    PATIENCE_SECONDS,
    WATTS_OF_BOARD,
    World,
    Zone,
)

RELATIVE = 1e-9
NODE_JOULES = "kepler_node_cpu_joules_total"
EIO = OSError(errno.EIO, os.strerror(errno.EIO))
Key = tuple[str, str]
BOARD = ("platform", PATH)

PATHS = (
    container(1),
    f"{container(1)}/init.scope",
    in_pod(2),
    in_pod(3),
    in_pod(4, pod=1),
    "/kubepods/pod00000000" + in_pod(2).split("00000000")[1].split("/")[0],
    "/system.slice/ssh.service",
    "/user.slice/user-1000.slice",
    r"/machine.slice/machine-qemu\x2d1\x2dweb.scope",
    "/jobs",
)

OUTERMOST = ("vm", "unit", "user", "kernel", "root", "job", "other", "pod")
LOSSES = ("gap", "vanished", "owing", "still")
LOADS = st.lists(st.integers(0, 100), min_size=1, max_size=12)
MANY_TICKS = 80
CALM_PERCENT = 70
UNSEEN_BELOW_UJ = 2_000e6  # more is not drawn between two readings
MADE_UP_FOR_SECONDS = PATIENCE_SECONDS / 2  # loads may be lighter for a while


class Machine(RuleBasedStateMachine):
    """A world, an exporter on it, and the books that a god would keep."""

    @initialize(
        sockets=st.integers(1, 3),
        cpus=st.sets(st.integers(0, 11), max_size=12),
        zones=st.sets(st.sampled_from(["dram", "core", "uncore", "psys"])),
        is_amd=st.booleans(),
        says_most=st.booleans(),
        is_pinned=st.booleans(),
        idle_policy=st.sampled_from(["none", "proportional", "even"]),
        start=st.sampled_from([0, 700, 30_000, 65_000]),
        board=st.sampled_from(["", "counter", "watts"]),
    )
    def begin(
        self,
        sockets: int,
        cpus: set[int],
        zones: set[str],
        is_amd: bool,
        says_most: bool,
        is_pinned: bool,
        idle_policy: str,
        start: int,
        board: str,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="world-"))
        online = {cpu for cpu in cpus if cpu < sockets * CPUS_PER_SOCKET}
        online |= {socket * CPUS_PER_SOCKET for socket in range(sockets)}
        self.world = World(
            self.folder,
            sockets,
            online,
            sorted(zones),
            range_uj=AMD_RANGE_UJ if is_amd else XEON_RANGE_UJ,
            most_watts=60.0 if says_most else None,
            start_uj=start * 1_000_000,
            is_pinned=is_pinned,
            idle_policy=idle_policy,
            board=Board(gives_watts=board == "watts") if board else None,
        )
        self.board_truth = (0.0, 0.0)  # booked joules and those answered when all was calm
        self.node = self.world.start()
        self.booked: dict[Key, float] = {}
        self.truth: dict[Key, tuple[float, float]] = {}  # booked joules and shown_uj when all was calm
        self.counts: Samples = {}
        self.alive: set[str] = set()
        self.free_ids: list[int] = []
        self.used_before_seconds: float | None = None
        self.reasons_before = 0.0
        self.tick()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.settle()
            self.world.stop(self.node)
            shutil.rmtree(self.folder)

    # time

    def live_on(self, seconds: float, loads: list[int]) -> None:
        """As the ticker lets time pass: the meter is read in between where its counters cannot wait."""
        while seconds > 0:
            step = min(seconds, self.node.measurement.longest_seconds)
            self.world.live(step, loads)
            seconds -= step
            if seconds > 0:
                self.node.measurement.poll()

    @rule(seconds=st.integers(1, 15), loads=LOADS)
    def live(self, seconds: int, loads: list[int]) -> None:
        self.live_on(seconds, loads)
        self.tick()

    @rule(seconds=st.integers(1, 30), loads=LOADS)
    def live_without_tick(self, seconds: int, loads: list[int]) -> None:
        self.live_on(seconds, loads)

    @rule(seconds=st.integers(1, 15), loads=LOADS)
    def poll(self, seconds: int, loads: list[int]) -> None:
        """The meter is read between two ticks."""
        self.live_on(seconds, loads)
        self.node.measurement.poll()

    @rule()
    def tick_at_once(self) -> None:
        """Two ticks at one moment of the clock."""
        self.tick()

    @rule(seconds=st.integers(10, 20_000))
    def suspend(self, seconds: int) -> None:
        self.world.sleep(seconds)

    @rule(seconds=st.integers(-100_000, 100_000))
    def set_the_clock(self, seconds: int) -> None:
        self.world.wall_seconds += seconds

    # cgroups

    @rule(path=st.sampled_from(PATHS), reuse=st.booleans())
    def start(self, path: str, reuse: bool) -> None:
        if path not in self.alive:
            self.alive.add(path)
            self.world.source.add(path, self.free_ids.pop() if reuse and self.free_ids else None)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.alive)))
        self.alive.remove(path)
        self.world.source.end(path)

    @rule(data=st.data(), milliseconds=st.integers(0, 100))
    def use(self, data: st.DataObject, milliseconds: int) -> None:
        path = data.draw(st.sampled_from(["/", *sorted(self.alive)]))
        self.world.use(path, milliseconds / 1e3, min(self.world.online))

    @rule(data=st.data(), seconds=st.sampled_from([2_000.0, 86_400.0]))
    def count_a_life(self, data: st.DataObject, seconds: float) -> None:
        """A counter says what no machine can have done."""
        self.world.use(
            data.draw(st.sampled_from(["/", *sorted(self.alive)])), seconds, min(self.world.online)
        )

    @rule(milliseconds=st.integers(0, 1_000))
    def drop(self, milliseconds: int) -> None:
        """The kernel's map has no room."""
        self.world.source.drop(milliseconds / 1e3, min(self.world.online))

    # counters

    def one(self, data: st.DataObject, *, there: bool = True) -> Zone:
        counters = self.world.counters
        return counters[
            data.draw(st.sampled_from([key for key in counters if counters[key].is_there is there]))
        ]

    @rule(data=st.data(), reads=st.integers(1, 5))
    def fail(self, data: st.DataObject, reads: int) -> None:
        self.one(data).failing = reads

    @rule(data=st.data(), joules=st.integers(50, 900))
    def jump_ahead(self, data: st.DataObject, joules: int) -> None:
        zone = self.one(data)
        if zone.told >= 2 and not zone.failing:
            zone.ahead_uj = joules * 1_000_000
            zone.lied_uj += zone.ahead_uj
            # What it goes back by can be told from a reset for as long as it does not lie near 0.
            zone.in_doubt |= self.world.tree.energy_uj(zone.zone_id) < 10_000e6
            zone.in_doubt |= self.world.tree.energy_uj(zone.zone_id) > zone.range_uj - 10_000e6
            # What it draws makes up for it while it is waited for; an uncore may draw too little for that.
            zone.in_doubt |= joules > zone.watts(self.world.busy(CALM_PERCENT)) * MADE_UP_FOR_SECONDS

    @rule(data=st.data(), seconds=st.integers(1, 30))
    def block(self, data: st.DataObject, seconds: int) -> None:
        self.one(data).blocking = seconds

    @rule(data=st.data())
    def stand_still(self, data: st.DataObject) -> None:
        zone = self.one(data)
        zone.is_stuck = True

    @rule(data=st.data(), catches_up=st.booleans())
    def go_on(self, data: st.DataObject, catches_up: bool) -> None:
        self.world.unstick(self.one(data), catches_up=catches_up)

    @rule(data=st.data())
    def reset(self, data: st.DataObject) -> None:
        self.world.reset(self.one(data))

    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        zone = self.one(data)
        if zone.name != "package":  # these go with their CPUs
            self.world.take_away(zone)

    @precondition(lambda self: any(not zone.is_there for zone in self.world.counters.values()))
    @rule(data=st.data(), name=st.sampled_from(["", "dram", "core", "uncore"]), energy=st.none() | st.just(0))
    def come_back(self, data: st.DataObject, name: str, energy: int | None) -> None:
        zone = self.one(data, there=False)
        above = self.world.counters[":".join(zone.zone_id.split(":")[:2])]
        if zone.name in ("package", "psys"):
            name = ""
        if zone.name == "psys" or (zone.name != "package" and above.is_there):
            self.world.bring_back(zone, name=name, energy_uj=energy)

    # the board's meter

    @precondition(lambda self: self.world.board is not None)
    @rule(answers=st.integers(1, 5), is_error=st.booleans())
    def hang(self, answers: int, is_error: bool) -> None:
        assert self.world.board is not None
        if is_error:
            self.world.board.failing = min(answers, 3)
        else:
            self.world.board.hanging = answers

    # the machine

    @rule(data=st.data())
    def plug(self, data: st.DataObject) -> None:
        """CPUs come and go, whole sockets of them too; one stays."""
        n_cpu = self.world.sockets * CPUS_PER_SOCKET
        self.world.set_online({0} | data.draw(st.sets(st.integers(0, n_cpu - 1), max_size=n_cpu)))

    @rule(is_on=st.booleans())
    def switch_smt(self, is_on: bool) -> None:
        n_cpu = self.world.sockets * CPUS_PER_SOCKET
        up = {cpu // CPUS_PER_SOCKET for cpu in self.world.online}
        self.world.set_online(
            cpu for cpu in range(n_cpu) if cpu // CPUS_PER_SOCKET in up and (is_on or cpu % 2 == 0)
        )

    @rule()
    def fail_to_count(self) -> None:
        if not self.world.source.failures:
            self.world.source.failures.append(EIO)
        self.tick()

    @rule(seconds=st.integers(1, 60))
    def restart(self, seconds: int) -> None:
        self.world.stop(self.node)
        self.world.live(seconds)
        self.calm_meters()
        for zone in self.world.counters.values():  # what was read and not told yet ends with the process
            unkept_seconds = (self.world.boottime_ns - zone.told_ns) / 1e9
            zone.in_doubt |= self.world.may_pass_its_range(zone, unkept_seconds)
        if (board := self.world.board) is not None:
            board.is_in_doubt |= board.gives_watts or not self.world.is_pinned
        self.node = self.world.start()
        if not self.world.is_pinned:
            self.board_truth = (0.0, 0.0)
            self.booked, self.truth, self.counts, self.reasons_before = {}, {}, {}, 0.0
            self.used_before_seconds = None
            for zone in self.world.counters.values():
                zone.in_doubt = True
        self.tick()

    # what must hold

    def tick(self) -> None:
        world = self.world
        before = dict(self.booked)
        ended, is_failing = world.source.tree.ended, bool(world.source.failures)
        used_seconds = world.used_seconds  # a read of the meter that blocks comes after that of the counters
        samples = world.tick(self.node)
        if not is_failing:
            self.free_ids += [each for each in ended if each not in world.source.tree.ended]
            self.check_cpu_time(samples, used_seconds)
        self.booked = {
            (labels["zone"], labels["path"]): value
            for key, value in series(samples, NODE_JOULES).items()
            if (labels := dict(key[1]))
        }
        for zone in {zone for zone, _ in self.booked}:
            assert_conserved(samples, zone)
        for made in world.ticks:
            for share in made.shares:
                self.check_share(share)
                self.check_socket(made, share)
        for key, joules in self.booked.items():
            zone = self.zone_at(key)
            if zone is not None and joules > before.get(key, 0.0):
                zone.told, zone.told_ns = zone.told + 1, world.boottime_ns
        self.check_counters(samples)
        self.check_never_more_than_drawn()

    def check_cpu_time(self, samples: Samples, used_seconds: float) -> None:
        """All that ran is somebody's or was impossible, and no tick has more of it than its CPUs had time."""
        balances = self.node.measurement.ledger.balances(*OUTERMOST)
        outside = of(samples, "kepler_container_cpu_seconds_total", pod_id="")
        impossible = of(samples, "podjoule_impossible_cpu_seconds_total")
        counted = balances.cpu_seconds.sum() + outside + impossible
        if self.used_before_seconds is None:
            self.used_before_seconds = used_seconds - counted
        used = used_seconds - self.used_before_seconds
        assert counted == pytest.approx(used, rel=RELATIVE, abs=1e-6)

    def zone_at(self, key: Key) -> Zone | None:
        name, path = key
        zone = self.world.counters.get(Path(path).name)
        return zone if zone and zone.name == name else None

    def check_share(self, share: ZoneShare) -> None:
        energy, world = share.energy, self.world
        assert conservation_error(share) <= RELATIVE
        if energy.zone == "platform":
            span_seconds = (
                energy.interval_seconds + MOST_FILLED_SECONDS
            )  # what was filled is put right at once
            assert energy.joules <= self.most_of_board * span_seconds * (1 + RELATIVE) + STEP_JOULES
            return
        n_sockets = world.sockets if energy.socket is None else 1
        most = n_sockets * (IDLE_WATTS[energy.zone] + CPU_WATTS[energy.zone] * CPUS_PER_SOCKET)
        zone = self.zone_at((energy.zone, energy.path))
        watts, made_up = most, STEP_JOULES
        if zone is None or zone.in_doubt:  # a reset may look like a wrap, one that stood still like work
            watts = IMPOSSIBLE_FACTOR * world.plausible_watts(energy.zone)
        if zone is not None:  # a counter ahead, or one that comes late, looks like work
            made_up += (zone.lied_uj + zone.late_uj) / 1e6
        assert energy.joules <= watts * energy.interval_seconds * (1 + RELATIVE) + made_up, (energy, zone)
        assert 0 <= energy.suspended_joules <= energy.joules

    def check_socket(self, tick: Tick, share: ZoneShare) -> None:
        """A socket's energy goes to nobody who ran on other sockets alone."""
        world = self.world
        if share.energy.socket is None or world.has_lost_sockets or world.unseen or world.tells_no_socket:
            return
        others = [
            cgroup_id
            for socket in range(world.sockets)
            if socket != share.energy.socket
            for cgroup_id in world.ids(socket)
        ]
        paid = share.cgroup_joules[np.isin(tick.usage.cgroup_id, others)]
        assert paid.sum() <= RELATIVE * share.energy.joules

    @property
    def most_of_board(self) -> float:
        return BOARD_WATTS + WATTS_OF_BOARD * CPUS_PER_SOCKET * self.world.sockets

    def check_counters(self, samples: Samples) -> None:
        assert not [key for key, value in samples.items() if not value >= 0]
        own = "podjoule_", "kepler_"
        counters = {k: v for k, v in samples.items() if k[0].endswith("_total") and k[0].startswith(own)}
        fallen = {key: (n, counters.get(key)) for key, n in self.counts.items() if counters.get(key, 0.0) < n}
        assert not fallen
        self.counts = counters
        assert all(n <= RELATIVE for n in series(samples, "podjoule_conservation_error_ratio").values())

    def check_never_more_than_drawn(self) -> None:
        for key, (joules, shown_uj) in self.truth.items():
            zone = self.zone_at(key)
            if zone is not None and not zone.in_doubt:
                most = joules + (zone.shown_uj - shown_uj + zone.lied_uj) / 1e6
                assert self.booked[key] <= most * (1 + RELATIVE) + 1e-9, key
        if (board := self.world.board) is not None:
            booked, answered = self.board_truth
            ahead = self.booked.get(BOARD, 0.0) - booked - (board.answered_joules - answered)
            assert ahead <= self.most_of_board * MOST_FILLED_SECONDS

    def calm_meters(self) -> None:
        world = self.world
        for zone in world.counters.values():
            zone.failing, zone.ahead_uj, zone.blocking = 0, 0, 0.0
            world.unstick(zone)
        if world.board is not None:
            world.board.hanging = world.board.failing = 0
        world.source.failures.clear()

    @rule()
    def settle(self) -> None:
        """Calm for a while: all that was drawn is booked, but for what was lost by a counted reason."""
        self.calm_meters()
        self.calm_ticks(16)
        lost = 0
        for key, zone in self.keys().items():
            joules = self.booked.get(key, 0.0)
            if not zone.in_doubt:
                before, shown_uj = self.truth[key]
                drawn = (zone.shown_uj - shown_uj) / 1e6
                assert joules - before == pytest.approx(drawn, rel=RELATIVE, abs=1e-6), (key, zone)
            elif key in self.truth:
                before, shown_uj = self.truth[key]
                unseen_joules = zone.unseen_uj / 1e6 if zone.unseen_uj < UNSEEN_BELOW_UJ else 0.0
                lost += joules - before < (zone.shown_uj - shown_uj) / 1e6 - STEP_JOULES - unseen_joules
            zone.in_doubt, zone.lied_uj, zone.late_uj, zone.unseen_uj = False, 0, 0, 0
            self.truth[key] = joules, zone.shown_uj
        lost += self.settle_board()
        assert self.reasons() > self.reasons_before or not lost
        self.reasons_before = self.reasons()
        self.calm_ticks(2)
        for key, (joules, shown_uj) in self.truth.items():
            zone_or_none = self.zone_at(key)
            if zone_or_none is not None and zone_or_none.is_there:
                drawn = (zone_or_none.shown_uj - shown_uj) / 1e6
                assert self.booked[key] - joules == pytest.approx(drawn, rel=RELATIVE, abs=1e-6), key

    def settle_board(self) -> bool:
        """Whether something was lost that its meter could not tell."""
        board, (before, answered) = self.world.board, self.board_truth
        if board is None:
            return False
        booked = self.booked.get(BOARD, 0.0)
        missing = board.answered_joules - answered - (booked - before)
        is_new, is_in_doubt, board.is_in_doubt = not answered, board.is_in_doubt, False
        self.board_truth = booked, board.answered_joules
        assert is_in_doubt or missing == pytest.approx(0.0, abs=1e-4)
        return missing > STEP_JOULES and not is_new

    def is_board_told(self, heard: Set[Key]) -> bool:
        """Whether what was booked is what it answered, or less, and no time is filled."""
        if (board := self.world.board) is None:
            return True
        before, answered = self.board_truth
        ahead = self.booked.get(BOARD, 0.0) - before - (board.answered_joules - answered)
        return BOARD in heard and ahead <= 1e-4

    def reasons(self) -> float:
        """How often something was lost, as the page has it."""
        errors = [of(self.counts, "podjoule_power_errors_total", kind=kind) for kind in LOSSES]
        return sum(errors) + of(self.counts, "podjoule_downtime_seconds_total", counted="false")

    def keys(self) -> dict[Key, Zone]:
        return {
            (zone.name, str(self.world.tree.path(zone.zone_id))): zone
            for zone in self.world.counters.values()
            if zone.is_there
        }

    def calm_ticks(self, at_least: int) -> None:
        """Ticks of 5 s, until every counter tells what it drew in each."""
        self.world.is_calm = True
        for n in range(MANY_TICKS):
            self.live_on(5, [CALM_PERCENT])
            self.tick()
            heard = {(share.energy.zone, share.energy.path) for share in self.world.ticks[-1].shares}
            if n + 1 >= at_least and heard >= self.keys().keys() and self.is_board_told(heard):
                self.world.is_calm = False
                return
        raise AssertionError(f"{self.keys().keys() - heard} is not told after {MANY_TICKS} ticks")


TestWorld = Machine.TestCase
TestWorld.settings = settings(
    max_examples=50,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def test_what_was_read_before_ticks_that_failed_is_booked_by_the_next_process() -> None:
    machine = Machine()
    machine.begin(
        sockets=1,
        cpus={0},
        zones=set(),
        is_amd=False,
        says_most=False,
        is_pinned=True,
        idle_policy="none",
        start=0,
        board="",
    )
    machine.settle()
    machine.poll(seconds=1, loads=[0])
    machine.fail_to_count()
    machine.restart(seconds=1)
    machine.teardown()
