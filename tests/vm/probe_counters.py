"""The counter path on a machine of ./kit: CPU time against cpu.stat, events against perf."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from ebpf.btf import OWN_TYPES
from ebpf.counters import CPU_NS, CYCLES, INSTRUCTIONS, SWITCHES, CounterSnapshot, CounterSource
from ebpf.perf_events import HARDWARE, Event, open_event
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live import loads
from tests.live.counting import (
    LEAVES,
    STARTERS,
    Bracketed,
    Measured,
    bracketed,
    compare,
    counters_of,
    leaves,
    short_life,
)
from tests.live.lesser_kernels import open_named, without_batch_lookups, without_ring_buffers
from tests.live.perf import STAND_INS, our_counts, perf_counts, perf_of
from tests.live.sandbox import BUSY, Cgroup, cgroup, hierarchies, stop
from tests.vm.findings import SHORT_PROCESSES

# As long as there is enough to compare: two machines share what CPUs there are.
WINDOW_SECONDS, LONGEST_SECONDS = 12, 60
KNOWN = Path("/known")
CPU1 = Path("/sys/devices/system/cpu/cpu1/online")


def _open(loader: str, events: Mapping[str, Event] = HARDWARE) -> CounterSource:
    return open_source(loader, ProgramOptions(hierarchies()["v2"], events=events))


def _forks() -> int:
    return int(Path("/proc/stat").read_text().split("processes ")[1].split()[0])


def _wait_for_processes(forks: int) -> float:
    """Seconds until the machine has started as many processes; at least the window, at most the longest."""
    began = time.monotonic()
    time.sleep(WINDOW_SECONDS)
    while _forks() < forks and time.monotonic() - began < LONGEST_SECONDS:
        time.sleep(0.5)
    return time.monotonic() - began


def counting(loaders: Sequence[str]) -> dict[str, object]:
    """The loads of tests/live/test_counting.py in one window, by every loader at once."""
    with contextlib.ExitStack() as stack:
        groups = {name: stack.enter_context(cgroup(name)) for name in STARTERS}
        sources, attach = {}, {}
        for loader in loaders:
            began = time.monotonic()
            sources[loader] = _open(loader)
            attach[loader] = time.monotonic() - began
            stack.callback(sources[loader].close)
        for name, start in STARTERS.items():
            stack.callback(stop, *start(groups[name]))
        time.sleep(3)  # an emulated machine takes its time to start them
        _freeze(groups.values(), frozen=True)  # loaders are read one after the other: nothing may move
        forks = _forks()
        before = {loader: bracketed(source, leaves(groups), "v2") for loader, source in sources.items()}
        _freeze(groups.values(), frozen=False)
        seconds = _wait_for_processes(forks + SHORT_PROCESSES[os.uname().machine])
        _freeze(groups.values(), frozen=True)
        after = {loader: bracketed(source, leaves(groups), "v2") for loader, source in sources.items()}
        n_processes = _forks() - forks
        results = {loader: compare(sources[loader], before[loader], after[loader]) for loader in loaders}
        return {
            "attach_seconds": attach,
            "available": {loader: sorted(after[loader].snapshot.available) for loader in loaders},
            "short_processes": n_processes,
            "short_processes_per_second": n_processes / seconds,
            "loads": {loader: _by_load(result) for loader, result in results.items()},
        }


def _freeze(groups: Collection[Cgroup], *, frozen: bool) -> None:
    """Stop whole cgroups, or let them go on. Raises TimeoutError."""
    for group in groups:
        (group.folder("v2") / "cgroup.freeze").write_text(f"{int(frozen)}")
    deadline = time.monotonic() + 30
    while frozen and not all("frozen 1" in (g.folder("v2") / "cgroup.events").read_text() for g in groups):
        if time.monotonic() > deadline:
            raise TimeoutError("a cgroup does not freeze")
        time.sleep(0.05)


def _by_load(result: Measured) -> dict[str, dict[str, int]]:
    rows = {}
    for load, below in LEAVES.items():
        for leaf in below:
            path = next(p for p in result.most_ns if f"-{load}" in p and p.endswith(leaf))
            rows[f"{load} {leaf}".strip()] = {
                "counted_ns": result.counted_ns[path],
                "least_ns": result.least_ns[path],
                "most_ns": result.most_ns[path],
                "switches": result.switches.get(path, 0),
            }
    return rows


def short_lived() -> dict[str, object]:
    """A cgroup that is gone before the next reading."""
    with contextlib.closing(_open("core")) as source:
        return _short_lived(source)


def lesser() -> dict[str, object]:
    """The same as on kernels that lack something: their own types, ring buffers, batch lookups."""
    shutil.copy(OWN_TYPES, "/types.btf")
    by_file = ProgramOptions(hierarchies()["v2"], btf=Path("/types.btf"))
    with contextlib.closing(open_named("core by copy", by_file)) as source:
        found = {"by_copy": _short_lived(source)}
    with without_ring_buffers():
        source = _open("core")
    with contextlib.closing(source):
        found["without_ring"] = _short_lived(source)
    with without_batch_lookups():
        source = _open("core")
    with contextlib.closing(source):
        found["key_by_key"] = _short_lived(source)
    return {**found, "loader": source.name}


def _short_lived(source: CounterSource) -> dict[str, object]:
    life = short_life(source, "v2")
    return {
        "counted_ns": life.counted_ns,
        "true_ns": life.true_ns,
        "named": source.directory.path(life.cgroup_id) == life.path,
    }


def _events_here() -> dict[str, Event]:
    """The hardware events that can be had, else software ones in their place."""
    usable = {}
    for name, event in HARDWARE.items():
        with contextlib.suppress(OSError):
            os.close(open_event(event, 0))
            usable[name] = event
    return usable or dict(STAND_INS)


def events() -> dict[str, object]:
    """Ours and perf's counts of two cgroups that share a CPU."""
    wanted = _events_here()
    with (
        contextlib.closing(_open("core", wanted)) as source,
        cgroup("faults") as faults,
        cgroup("spin") as spin,
        perf_of(faults, wanted) as at_faults,
        perf_of(spin, wanted) as at_spin,
    ):
        processes = [
            faults.python(loads.PAGE_FAULTS, cpu=1),
            spin.python(BUSY, cpu=1),
            spin.python(BUSY, cpu=0),
        ]
        time.sleep(3)
        pairs = {"faults": (faults, at_faults), "spin": (spin, at_spin)}
        _signal(processes, signal.SIGSTOP)  # ours and perf's are not read at the same time: nothing may move
        before = {name: _pair(source, *pair) for name, pair in pairs.items()}
        _signal(processes, signal.SIGCONT)
        time.sleep(5)
        _signal(processes, signal.SIGSTOP)
        after = {name: _pair(source, *pair) for name, pair in pairs.items()}
        stop(*processes)
    grown = {
        name: {
            field: {"counted": after[name][0][field] - before[name][0][field], "perf": grown}
            for field, grown in _difference(before[name][1], after[name][1]).items()
        }
        for name in pairs
    }
    return {"stand_ins": wanted.keys() == STAND_INS.keys() and "cache_misses" in wanted, "counts": grown}


def _signal(processes: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in processes:
        process.send_signal(number)
    time.sleep(1)


def _pair(
    source: CounterSource, group: Cgroup, descriptors: Mapping[str, list[int]]
) -> tuple[dict[str, int], dict[str, int]]:
    return our_counts(source, group), perf_counts(dict(descriptors))


def _difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {field: after[field] - before[field] for field in before}


def _idle_ticks(cpu: int) -> int:
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{cpu} "))
    return int(line.split()[4]) + int(line.split()[5])


def known() -> dict[str, object]:
    """A program of a known number of instructions, counted by us and by `perf stat`, against a second cgroup.

    CPU 1 never idles meanwhile: what its counter counts is what the cgroups did. It is read before and after
    each reading of ours, however long the machine keeps us from running in between.
    """
    wanted = {name: HARDWARE[name] for name in ("cycles", "instructions")}
    with (
        contextlib.ExitStack() as stack,
        contextlib.closing(_open("core", wanted)) as source,
        cgroup("known") as group,
        cgroup("rival") as rival,
    ):
        cpu_wide = {name: open_event(event, 1) for name, event in wanted.items()}
        for fd in cpu_wide.values():
            stack.callback(os.close, fd)
        stack.callback(stop, rival.python(BUSY, cpu=1), rival.python(_SHIFTY, cpu=1))
        time.sleep(2)
        stack.enter_context(_first_in_line())
        idle, (earliest, before, early) = _idle_ticks(1), _read_close(source, cpu_wide)
        perf = _perf_stat(group)
        late, after, latest = _read_close(source, cpu_wide)
        counts = counters_of(after, group.cgroup_id("v2"))
        assert counts is not None
        switches = counters_of(after, rival.cgroup_id("v2"))
        on_cpu1 = after.values[:, 1].sum(axis=0) - before.values[:, 1].sum(axis=0)
        return {
            "perf": perf,
            "counted": {"cycles": int(counts[CYCLES]), "instructions": int(counts[INSTRUCTIONS])},
            "cpu1_least": {name: late[name] - early[name] for name in wanted},
            "cpu1_most": {name: latest[name] - earliest[name] for name in wanted},
            "cpu1_cgroups": {"cycles": int(on_cpu1[CYCLES]), "instructions": int(on_cpu1[INSTRUCTIONS])},
            "cpu1_idle_ticks": _idle_ticks(1) - idle,
            "rival_switches": 0 if switches is None else int(switches[SWITCHES]),
        }


def starving() -> dict[str, object]:
    """Somebody pins all counters of CPU 1 but the one for cycles: the group of both events gets no time."""
    wanted = {name: HARDWARE[name] for name in ("cycles", "instructions")}
    with contextlib.closing(_open("core", wanted)) as source, cgroup("starved") as group:
        events = source._program.events  # type: ignore[attr-defined]
        process = group.python(BUSY, cpu=1)
        time.sleep(2)
        before, groups = _cycles_a_second(source, group), sorted(events.groups)
        pinned = [part for _ in range(8) for part in ("-e", "instructions:D")]
        rival = subprocess.Popen(
            ["perf", "stat", "-C", "1", *pinned], stderr=subprocess.DEVNULL, start_new_session=True
        )
        for _ in range(4):
            time.sleep(2)
            source.read()
        apart = sorted(events.groups)
        after = _cycles_a_second(source, group)
        stop(rival, process)
        return {
            "groups": groups,
            "groups_after": apart,
            "cycles_a_second": before,
            "cycles_a_second_after": after,
        }


def _cycles_a_second(source: CounterSource, group: Cgroup) -> float:
    """Of its CPU time."""
    found = [counters_of(source.read(), group.cgroup_id("v2"))]
    time.sleep(3)
    found.append(counters_of(source.read(), group.cgroup_id("v2")))
    first, last = (counts for counts in found if counts is not None)
    return 1e9 * float(last[CYCLES] - first[CYCLES]) / float(last[CPU_NS] - first[CPU_NS])


def _read_close(
    source: CounterSource, cpu_wide: Mapping[str, int]
) -> tuple[dict[str, int], CounterSnapshot, dict[str, int]]:
    """Ours between two of the CPU's, the closest of some tries."""
    tries = [(_read(cpu_wide), source.read(), _read(cpu_wide)) for _ in range(10)]
    return min(tries, key=lambda found: found[2]["cycles"] - found[0]["cycles"])


@contextlib.contextmanager
def _first_in_line() -> Iterator[None]:
    """No load keeps us waiting between two readings; what we start is not so favoured."""
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


_SHIFTY = """
import time
while True:
    time.sleep(0.002)
"""


def _read(descriptors: Mapping[str, int]) -> dict[str, int]:
    return {name: struct.unpack("QQQ", os.read(fd, 24))[0] for name, fd in descriptors.items()}


def _perf_stat(group: Cgroup) -> dict[str, int]:
    """What `perf stat` counts for the program; the shell that enters the cgroup for it is in both counts."""
    enter = f"echo $$ > {group.folder('v2')}/cgroup.procs && exec {KNOWN}"
    command = ["perf", "stat", "-x,", "-e", "cycles,instructions", "/bin/busybox", "sh", "-c", enter]
    done = subprocess.run(
        ["/bin/busybox", "taskset", "2", *command], capture_output=True, text=True, check=True
    )
    rows = [line.split(",") for line in done.stderr.splitlines() if line.count(",") > 3]
    return {row[2].partition(":")[0]: int(row[0]) for row in rows}


def hotplug() -> dict[str, object]:
    """CPU 1 goes and comes back while a load counts; what is counted of it afterwards."""
    wanted = _events_here()
    with (
        contextlib.closing(_open("core", wanted)) as source,
        cgroup("roaming") as group,
        cgroup("returned") as returned,
    ):
        process = group.python(BUSY, cpu=1)
        time.sleep(2)
        source.read()
        CPU1.write_text("0")
        time.sleep(1)
        offline = bracketed(source, [group], "v2")
        CPU1.write_text("1")
        time.sleep(1)
        source.read()
        with perf_of(returned, wanted) as perf:
            late = returned.python(BUSY, cpu=1)
            time.sleep(4)
            source.read()
            stop(late, process)
            end = bracketed(source, [group, returned], "v2")
            truth = perf_counts(perf)
        return {
            "while_offline": _row(offline, group),
            "roaming": _row(end, group),
            "returned": _row(end, returned),
            "cycles_after_return": _cycles(end, returned, truth),
            "cycles_of_a_late_cpu": _late(wanted),
        }


def _late(wanted: Mapping[str, Event]) -> dict[str, int]:
    """CPU 1 is offline when the source is opened, and comes afterwards."""
    CPU1.write_text("0")
    with contextlib.closing(_open("core", wanted)) as source, cgroup("late") as group:
        source.read()
        CPU1.write_text("1")
        time.sleep(1)
        source.read()
        with perf_of(group, wanted) as perf:
            process = group.python(BUSY, cpu=1)
            time.sleep(4)
            stop(process)
            end = bracketed(source, [group], "v2")
            return _cycles(end, group, perf_counts(perf))


def _cycles(reading: Bracketed, group: Cgroup, truth: Mapping[str, int]) -> dict[str, int]:
    ours = counters_of(reading.snapshot, group.cgroup_id("v2"))
    return {"counted": 0 if ours is None else int(ours[CYCLES]), "perf": truth["cycles"]}


def _row(reading: Bracketed, group: Cgroup) -> dict[str, int]:
    snapshot, earlier, later = reading.snapshot, reading.earlier_ns, reading.later_ns
    counted = counters_of(snapshot, group.cgroup_id("v2"))
    return {
        "counted_ns": 0 if counted is None else int(counted[CPU_NS]),
        "least_ns": earlier[group.path],
        "most_ns": later[group.path],
    }
