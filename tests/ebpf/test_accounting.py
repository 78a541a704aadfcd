"""Every nanosecond a task runs is charged to the cgroup it ran in: accounting.h under our own scheduler."""

from __future__ import annotations

import ctypes as ct
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpf.program import COUNTERS, CPU_STATE
from tests.ebpf.dialect import CYCLES_PER_NS, N_CGROUPS, N_TASKS, TASK, address, built


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ct.CDLL:
    return built(tmp_path_factory.mktemp("accounting"))


@dataclass
class Machine:
    """One CPU with a few tasks, task 0 idle; what each cgroup truly used, and what nobody can know."""

    library: ct.CDLL
    now_ns: int = 1_000_000
    cycles: int = 0
    on_cpu: int = 0
    used_ns: Counter[int] = field(default_factory=Counter)
    unknowable_ns: int = 0
    slice_ns: int = 0

    def __post_init__(self) -> None:
        self.cpu = np.zeros(1, CPU_STATE)
        self.tasks = [np.zeros(1, TASK) for _ in range(N_TASKS + 1)]
        for pid, task in enumerate(self.tasks):
            task["pid"] = task["tgid"] = pid
            task["cgroup_id"] = 1 + pid % N_CGROUPS if pid else 0
            task["runtime_ns"] = 7_777 * pid
        self.library.c_reset()
        self._tell_time()
        self.read()

    def run(self, ns: int) -> None:
        """Whoever is on the CPU stays there for a while."""
        self.now_ns += ns
        task = self.tasks[self.on_cpu]
        if self.on_cpu:
            self.cycles += CYCLES_PER_NS * ns
            task["runtime_ns"] += ns
            self.used_ns[int(task["cgroup_id"][0])] += ns
            self.slice_ns += ns
        self._tell_time()

    def switch(self, to: int, is_traced: bool = True, times: int = 1) -> None:
        """times: how many programs hear of it."""
        if to == self.on_cpu:
            return
        prev, following = self.tasks[self.on_cpu], self.tasks[to]
        following["slice_start_ns"] = following["runtime_ns"]
        for _ in range(times if is_traced else 0):
            self.library.c_switch(address(self.cpu), address(prev), address(following))
        if not is_traced:
            self.unknowable_ns += self.slice_ns
        self.on_cpu, self.slice_ns = to, 0

    def move(self, pid: int, cgroup_id: int) -> None:
        self.tasks[pid]["cgroup_id"] = cgroup_id
        self.library.c_moved(address(self.cpu), address(self.tasks[pid]))

    def read(self) -> dict[int, np.void]:
        self.library.c_read(address(self.cpu), address(self.tasks[self.on_cpu]))
        counted = np.zeros(N_CGROUPS + 1, COUNTERS)
        self.library.c_counted(address(counted))
        self.slice_ns = 0
        return dict(enumerate(counted))

    def _tell_time(self) -> None:
        self.library.c_clock(ct.c_uint64(self.now_ns), ct.c_uint64(self.cycles))


tasks = st.integers(0, N_TASKS)
runs = st.tuples(st.just("run"), st.integers(1, 5_000_000))
switches = st.tuples(st.just("switch"), tasks)
moves = st.tuples(st.just("move"), st.tuples(st.integers(1, N_TASKS), st.integers(1, N_CGROUPS)))
readings = st.tuples(st.just("read"), st.none())
unseen = st.tuples(st.just("unseen"), tasks)


def play(machine: Machine, steps: list[tuple[str, object]], programs: int = 1) -> None:
    for name, what in steps:
        match name, what:
            case "run", int(ns):
                machine.run(ns)
            case "switch", int(to):
                machine.switch(to, times=programs)
            case "unseen", int(to):
                machine.switch(to, is_traced=False)
            case "move", (int(pid), int(cgroup_id)):
                machine.move(pid, cgroup_id)
            case _:
                machine.read()


@given(steps=st.lists(runs | switches | readings, max_size=60), programs=st.integers(1, 2))
@settings(deadline=None, max_examples=300)
def test_time_and_cycles_are_exact_whether_one_program_hears_of_a_switch_or_two(
    library: ct.CDLL, steps: list[tuple[str, object]], programs: int
) -> None:
    machine = Machine(library)
    play(machine, steps, programs)
    counted = machine.read()
    for cgroup_id in range(1, N_CGROUPS + 1):
        assert counted[cgroup_id]["cpu_ns"] == machine.used_ns[cgroup_id]
        assert counted[cgroup_id]["events"][0] == CYCLES_PER_NS * machine.used_ns[cgroup_id]


@given(steps=st.lists(runs | switches | moves | readings, max_size=60))
@settings(deadline=None, max_examples=300)
def test_a_task_that_is_moved_while_it_runs_is_charged_to_both_cgroups(
    library: ct.CDLL, steps: list[tuple[str, object]]
) -> None:
    machine = Machine(library)
    play(machine, steps)
    counted = machine.read()
    assert sum(int(row["cpu_ns"]) for row in counted.values()) == machine.used_ns.total()
    assert sum(int(row["events"][0]) for row in counted.values()) == machine.cycles


@given(runs_ns=st.lists(st.integers(1, 5_000_000), min_size=2, max_size=2))
def test_the_old_cgroup_has_what_came_before_a_move(library: ct.CDLL, runs_ns: list[int]) -> None:
    machine = Machine(library)
    machine.switch(1)
    machine.run(runs_ns[0])
    machine.move(1, 4)
    machine.run(runs_ns[1])
    machine.switch(0)
    counted = machine.read()
    assert [counted[2]["cpu_ns"], counted[4]["cpu_ns"]] == runs_ns


@given(steps=st.lists(runs | switches | unseen | readings, max_size=60))
@settings(deadline=None, max_examples=500)
def test_a_switch_that_the_kernel_does_not_tell_of_costs_the_slice_before_it_and_no_more(
    library: ct.CDLL, steps: list[tuple[str, object]]
) -> None:
    machine = Machine(library)
    play(machine, steps)
    counted = machine.read()
    missing = {i: machine.used_ns[i] - int(counted[i]["cpu_ns"]) for i in range(1, N_CGROUPS + 1)}
    assert all(ns >= 0 for ns in missing.values()), missing
    assert sum(missing.values()) <= machine.unknowable_ns


def test_the_slice_after_an_unseen_switch_is_charged_to_the_one_who_ran(library: ct.CDLL) -> None:
    machine = Machine(library)
    machine.switch(1)
    machine.run(1_000)
    machine.switch(2, is_traced=False)
    machine.run(4_000_000)
    machine.switch(3)
    counted = machine.read()[3]
    assert counted["cpu_ns"] == 4_000_000
    assert counted["events"][0] == pytest.approx(CYCLES_PER_NS * 4_000_000, rel=0.002)


def test_what_was_counted_since_the_cpu_idled_is_of_the_one_who_is_met(library: ct.CDLL) -> None:
    machine = Machine(library)
    machine.run(50_000_000)
    machine.switch(2, is_traced=False)
    machine.run(1_000_000)
    machine.switch(0)
    assert machine.read()[3]["events"][0] == CYCLES_PER_NS * 1_000_000


def test_a_pid_that_is_used_again_unseen_takes_no_time_back(library: ct.CDLL) -> None:
    machine = Machine(library)
    machine.switch(1)
    machine.run(3_000_000)
    machine.read()
    machine.switch(0, is_traced=False)
    machine.tasks[1]["runtime_ns"] = 0  # another task by now
    machine.switch(1, is_traced=False)
    machine.run(1_000)
    machine.switch(0)
    assert machine.read()[2]["cpu_ns"] == 3_000_000


@given(st.lists(st.tuples(st.integers(0, N_TASKS), st.integers(1, 5_000_000), st.booleans()), max_size=40))
@settings(deadline=None)
def test_kernel_threads_are_told_from_whoever_is_in_the_root_with_them(
    library: ct.CDLL, slices: list[tuple[int, int, bool]]
) -> None:
    """Both have one css_set: which of them runs is seen all the same, at a switch and at a reading."""
    machine = Machine(library)
    kernel_thread = {2, 4}
    for pid, task in enumerate(machine.tasks[1:], 1):
        task["cgroup_id"] = 1 if pid < N_TASKS else 3
        task["flags"] = 0x00200000 if pid in kernel_thread or pid == N_TASKS else 0
    ran_ns: Counter[int] = Counter()
    for pid, ns, is_read in slices:
        machine.switch(pid)
        machine.run(ns)
        ran_ns[pid] += ns
        if is_read:
            machine.read()
    counted = machine.read()
    assert counted[0]["cpu_ns"] == sum(ran_ns[pid] for pid in kernel_thread)
    assert counted[1]["cpu_ns"] == ran_ns[1] + ran_ns[3]
    assert counted[3]["cpu_ns"] == ran_ns[N_TASKS], "a kernel thread in a cgroup of its own is that cgroup's"


def test_nothing_from_before_this_cpu_was_watched_is_charged(library: ct.CDLL) -> None:
    machine = Machine(library)
    machine.cpu = np.zeros(1, CPU_STATE)  # the programs have just been attached
    machine.switch(1, is_traced=False)
    machine.run(3_000_000)
    machine.switch(2)
    machine.run(2_000_000)
    machine.switch(0)
    counted = machine.read()
    assert counted[2]["cpu_ns"] == counted[2]["events"][0] == 0
    assert counted[3]["cpu_ns"] == 2_000_000
    assert counted[3]["events"][0] == CYCLES_PER_NS * 2_000_000


@pytest.mark.parametrize("first_ns", [1_000, 50_000_000])
def test_a_counter_that_was_opened_anew_begins_at_nothing(library: ct.CDLL, first_ns: int) -> None:
    """Also where it has counted more than the one before it by the time that it is first looked at."""
    machine = Machine(library)
    machine.switch(1)
    machine.run(first_ns)
    machine.switch(0)
    before = int(machine.read()[2]["events"][0])
    machine.cycles = 0  # its CPU went offline, came back, and the event was opened again
    machine.library.c_open()
    machine.switch(1)
    machine.read()
    machine.run(20_000_000)
    machine.switch(0)
    assert int(machine.read()[2]["events"][0]) - before == CYCLES_PER_NS * 20_000_000
