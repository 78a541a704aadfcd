"""Loads whose overlap is known, and what a source counts of it; without pytest, as counting.py."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ebpf.counters import CPU_NS, SHARED_NS, CounterSnapshot, CounterSource
from tests.live import loads
from tests.live.counting import counters_of
from tests.live.sandbox import Cgroup, cgroup, stop
from tests.live.switch_trace import Spans, SwitchTrace, clipped, overlap_ns, total_ns, union_ns

Traced = Callable[[Iterable[int]], contextlib.AbstractContextManager[SwitchTrace]]
"""traced of switch_trace.py or of switch_program.py."""


@dataclass(frozen=True)
class Phases:
    """A loop on a CPU: busy for so many seconds of each period, from `offset` on."""

    cpu: int
    period: float
    busy: float
    offset: float = 0.0

    def arguments(self) -> list[str]:
        return [str(seconds) for seconds in (self.period, self.busy, self.offset)]


@dataclass(frozen=True)
class Shared:
    """Nanoseconds of one loop: what it ran and what it shared, as counted and in truth."""

    cpu_ns: int
    true_cpu_ns: int
    shared_ns: int
    true_shared_ns: int

    @property
    def off_points(self) -> float:
        """The share of its time that it shared: counted less true, in percentage points."""
        return 100 * abs(self.shared_ns / self.cpu_ns - self.true_shared_ns / self.true_cpu_ns)


@dataclass(frozen=True)
class Awake:
    """Seconds of one socket in a window."""

    seconds: float
    true_seconds: float
    window_seconds: float

    @property
    def off_percent(self) -> float:
        """Of the window."""
        return 100 * abs(self.seconds - self.true_seconds) / self.window_seconds


@dataclass(frozen=True)
class Found:
    """What one source counted: of each loop, and of each socket."""

    loops: list[Shared]
    awake: dict[int, Awake]
    available: frozenset[str]


def shared_by(
    traced: Traced,
    sources: Mapping[str, CounterSource],
    running: Sequence[Phases],
    sibling_of: Mapping[int, int],
    sockets: Mapping[int, Sequence[int]],
    seconds: float,
) -> dict[str, Found]:
    """Let loops run for a while under every source at once, each switch traced.

    sibling_of: by CPU, both ways. sockets: the two CPUs of each.
    """
    with contextlib.ExitStack() as stack:
        groups = [stack.enter_context(cgroup(f"phases-{place}")) for place in range(len(running))]
        processes = [
            group.python(loads.PHASES, *loop.arguments(), cpu=loop.cpu)
            for group, loop in zip(groups, running, strict=True)
        ]
        stack.callback(stop, *processes)
        time.sleep(0.5)  # let them begin
        with traced(sorted({*sibling_of, *(cpu for cpus in sockets.values() for cpu in cpus)})) as trace:
            # A reading takes its time on a busy machine: none of them moves meanwhile.
            with _standing_still(processes):
                before = {name: source.read() for name, source in sources.items()}
            time.sleep(seconds)
            with _standing_still(processes):
                after = {name: source.read() for name, source in sources.items()}
        pids = [process.pid for process in processes]
        return {
            name: Found(
                [
                    _loop(window, trace, group, (loop.cpu, pid), sibling_of.get(loop.cpu))
                    for group, loop, pid in zip(groups, running, pids, strict=True)
                ],
                {socket: _awake(window, trace, socket, cpus) for socket, cpus in sockets.items()},
                window[1].available,
            )
            for name, window in ((name, (before[name], after[name])) for name in sources)
        }


@contextlib.contextmanager
def _standing_still(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    while not all(_is_stopped(process.pid) for process in processes):
        time.sleep(0.001)
    yield
    for process in processes:
        process.send_signal(signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


Window = tuple[CounterSnapshot, CounterSnapshot]


def _loop(
    window: Window, trace: SwitchTrace, group: Cgroup, thread: tuple[int, int], sibling: int | None
) -> Shared:
    counted = [counters_of(snapshot, group.cgroup_id("v2")) for snapshot in window]
    grown = counted[1] - (0 if counted[0] is None else counted[0])
    ran = _within(window, trace.of(*thread))
    busy = _within(window, trace.busy(sibling)) if sibling is not None else []
    return Shared(int(grown[CPU_NS]), total_ns(ran), int(grown[SHARED_NS]), overlap_ns(ran, busy))


def _awake(window: Window, trace: SwitchTrace, socket: int, cpus: Sequence[int]) -> Awake:
    seconds = (window[1].awake_ns[socket] - window[0].awake_ns[socket]) / 1e9
    one, other = (_within(window, trace.busy(cpu)) for cpu in cpus)
    return Awake(seconds, union_ns(one, other) / 1e9, (window[1].monotonic_ns - window[0].monotonic_ns) / 1e9)


def _within(window: Window, spans: Spans) -> Spans:
    return clipped(spans, window[0].monotonic_ns, window[1].monotonic_ns)
