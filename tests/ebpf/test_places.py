"""What two threads of a core share, and how long a socket is awake: places.h under our own scheduler."""

from __future__ import annotations

import ctypes as ct
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpf.program import COUNTERS, SOCKET_STATE
from tests.ebpf.dialect import CYCLES_PER_NS, N_CGROUPS, N_TASKS, TASK, address, built

N_CPU = 2


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ct.CDLL:
    return built(tmp_path_factory.mktemp("places"))


@dataclass
class Core:
    """Two CPUs and the tasks of each, task 0 idle; what truly was at the same time.

    sockets: of each CPU. are_siblings: whether user space says so.
    """

    library: ct.CDLL
    sockets: tuple[int, int] = (0, 0)
    are_siblings: bool = True
    now_ns: int = 1_000_000
    on_cpu: list[int] = field(default_factory=lambda: [0, 0])
    cycles: list[int] = field(default_factory=lambda: [0, 0])
    used_ns: Counter[int] = field(default_factory=Counter)
    shared_ns: Counter[int] = field(default_factory=Counter)
    awake_ns: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.library.c_reset()
        self.tasks = [[np.zeros(1, TASK) for _ in range(N_TASKS + 1)] for _ in range(N_CPU)]
        for cpu, tasks in enumerate(self.tasks):
            for number, task in enumerate(tasks):
                task["pid"] = task["tgid"] = number + 100 * cpu if number else 0
                task["cgroup_id"] = 1 + number % N_CGROUPS if number else 0
        self.place()

    def place(self) -> None:
        """Tell the programs, as user space does: the maps first, then a charge of each CPU."""
        for cpu, socket in enumerate(self.sockets):
            self.library.c_place(cpu, 2 - cpu if self.are_siblings else 0, socket + 1)
        self.read()

    def run(self, ns: int) -> None:
        self.now_ns += ns
        busy = [on != 0 for on in self.on_cpu]
        for cpu, on in enumerate(self.on_cpu):
            if not on:
                continue
            task = self.tasks[cpu][on]
            task["runtime_ns"] += ns
            self.cycles[cpu] += CYCLES_PER_NS * ns
            cgroup_id = int(task["cgroup_id"][0])
            self.used_ns[cgroup_id] += ns
            if busy[1 - cpu] and self.are_siblings:
                self.shared_ns[cgroup_id] += ns
        self.awake_ns.update({self.sockets[cpu]: ns for cpu in range(N_CPU) if busy[cpu]})

    def switch(self, cpu: int, to: int) -> None:
        if to == self.on_cpu[cpu]:
            return
        prev, following = self.tasks[cpu][self.on_cpu[cpu]], self.tasks[cpu][to]
        following["slice_start_ns"] = following["runtime_ns"]
        self._tell_time(cpu)
        self.library.c_switch_on(cpu, address(prev), address(following))
        self.on_cpu[cpu] = to

    def read(self) -> tuple[dict[int, np.void], dict[int, int]]:
        """By cgroup its counters, by socket its awake time."""
        for cpu in range(N_CPU):
            self._tell_time(cpu)
            self.library.c_read_on(cpu, address(self.tasks[cpu][self.on_cpu[cpu]]))
        counted, sockets = np.zeros(N_CGROUPS + 1, COUNTERS), np.zeros(N_CPU, SOCKET_STATE)
        self.library.c_counted(address(counted))
        self.library.c_sockets(address(sockets))
        return dict(enumerate(counted)), dict(enumerate(sockets["total_ns"].tolist()))

    def _tell_time(self, cpu: int) -> None:
        self.library.c_clock(ct.c_uint64(self.now_ns), ct.c_uint64(self.cycles[cpu]))


cpus, tasks = st.integers(0, N_CPU - 1), st.integers(0, N_TASKS)
STEPS = st.lists(
    st.tuples(st.integers(1, 5_000_000), st.one_of(st.none(), st.tuples(cpus, tasks))), max_size=60
)
Steps = list[tuple[int, tuple[int, int] | None]]


def play(core: Core, steps: Steps) -> None:
    """Some time, and then a switch on a CPU, or a reading."""
    for ns, what in steps:
        core.run(ns)
        if what is None:
            core.read()
        else:
            core.switch(*what)


@given(STEPS)
@settings(deadline=None, max_examples=300)
def test_what_runs_while_the_sibling_is_busy_is_known_to_the_nanosecond(
    library: ct.CDLL, steps: Steps
) -> None:
    core = Core(library)
    play(core, steps)
    counted, _ = core.read()
    for cgroup_id in range(1, N_CGROUPS + 1):
        row = counted[cgroup_id]
        assert row["cpu_ns"] == core.used_ns[cgroup_id]
        assert row["shared_ns"] == core.shared_ns[cgroup_id]
        # The cycles' part by time, 16 bits of it, and whole cycles: at each settling, of which a step has one
        # on each CPU at the most.
        true, settlings = CYCLES_PER_NS * core.shared_ns[cgroup_id], N_CPU * (len(steps) + 1)
        assert int(row["shared_cycles"]) == pytest.approx(true, abs=settlings + row["events"][0] / 2**15)


@given(STEPS, st.sampled_from([(0, 0), (0, 1)]))
@settings(deadline=None, max_examples=300)
def test_a_socket_is_awake_while_any_of_its_cpus_is_busy(
    library: ct.CDLL, steps: Steps, sockets: tuple[int, int]
) -> None:
    core = Core(library, sockets)
    play(core, steps)
    _, awake_ns = core.read()
    assert awake_ns == {socket: core.awake_ns[socket] for socket in range(N_CPU)}


@given(STEPS, STEPS, STEPS)
@settings(deadline=None, max_examples=100)
def test_siblings_and_sockets_that_change_are_followed(
    library: ct.CDLL, together: Steps, apart: Steps, again: Steps
) -> None:
    core = Core(library)
    for are_siblings, sockets, steps in (
        (True, (0, 0), together),
        (False, (0, 1), apart),
        (True, (1, 1), again),
    ):
        core.are_siblings, core.sockets = are_siblings, sockets
        core.place()
        play(core, steps)
    counted, awake_ns = core.read()
    for cgroup_id in range(1, N_CGROUPS + 1):
        assert counted[cgroup_id]["shared_ns"] == core.shared_ns[cgroup_id]
    assert awake_ns == {socket: core.awake_ns[socket] for socket in range(N_CPU)}


def test_a_task_alone_shares_nothing(library: ct.CDLL) -> None:
    core = Core(library)
    core.switch(0, 1)
    core.run(5_000_000)
    counted, awake_ns = core.read()
    assert counted[2]["shared_ns"] == counted[2]["shared_cycles"] == 0
    assert awake_ns == {0: 5_000_000, 1: 0}


def test_before_anybody_told_where_cpus_sit_nothing_is_shared_and_no_socket_awake(library: ct.CDLL) -> None:
    core = Core(library, are_siblings=False)
    library.c_reset()
    for cpu in range(N_CPU):
        core.switch(cpu, 1)
    core.run(5_000_000)
    for cpu in range(N_CPU):
        core.switch(cpu, 2)
    counted, awake_ns = core.read()
    assert counted[2]["shared_ns"] == 0
    assert awake_ns == {0: 0, 1: 0}
