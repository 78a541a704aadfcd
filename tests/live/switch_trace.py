"""Every switch of every CPU, by the kernel's own tracing: the truth about what ran at the same time.

Without pytest, as counting.py. Source: Documentation/trace/ftrace.rst.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_TRACING = Path("/sys/kernel/tracing")
_SWITCH = re.compile(r" (\d+)\.(\d+): sched_switch: .*prev_pid=(\d+) .* next_pid=(\d+) ")
_RUNTIME = re.compile(r": sched_stat_runtime: .*pid=(\d+) runtime=(\d+) ")
_WRITTEN = re.compile(r"entries-in-buffer/entries-written: (\d+)/(\d+)")

Spans = list[tuple[int, int]]
"""Begin and end in nanoseconds of CLOCK_MONOTONIC, in their order, none overlapping the next."""


@dataclass
class SwitchTrace:
    """Filled when the tracing ends. ran: by CPU and PID (0: idle), when it ran.

    is_whole: False on kernels that do not trace who leaves idle. Since when those ran, their own clocks say,
    which run slower than time where a hypervisor takes the CPU away.
    """

    ran: dict[int, dict[int, Spans]] = field(default_factory=dict)
    is_whole: bool = True

    def busy(self, cpu: int) -> Spans:
        """When anything ran on a CPU."""
        return sorted(span for pid, spans in self.ran.get(cpu, {}).items() if pid for span in spans)

    def of(self, cpu: int, pid: int) -> Spans:
        """When one thread ran on a CPU."""
        return self.ran.get(cpu, {}).get(pid, [])


@contextlib.contextmanager
def traced(cpus: Iterable[int]) -> Iterator[SwitchTrace]:
    """Trace for a while. Raises ValueError where the kernel's buffer was too small."""
    found = SwitchTrace()
    with _tracing() as tracing:
        instance = tracing / f"instances/podjoule-{os.getpid()}"
        instance.mkdir()
        try:
            (instance / "trace_clock").write_text("mono")
            (instance / "buffer_size_kb").write_text("16384")
            for event in ("sched_switch", "sched_stat_runtime"):
                (instance / f"events/sched/{event}/enable").write_text("1")
            yield found
            (instance / "tracing_on").write_text("0")
            for cpu in cpus:
                found.ran[cpu], is_whole = _spans(cpu, instance / f"per_cpu/cpu{cpu}/trace")
                found.is_whole &= is_whole
        finally:
            instance.rmdir()


@contextlib.contextmanager
def _tracing() -> Iterator[Path]:
    """tracefs, mounted for as long as it takes where nobody has."""
    if (_TRACING / "instances").exists():
        yield _TRACING
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tracefs", "none", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def _spans(cpu: int, trace: Path) -> tuple[dict[int, Spans], bool]:
    """By PID when it ran, and whether every switch was traced."""
    text = trace.read_text(errors="replace")
    kept, written = _WRITTEN.search(text).groups()  # type: ignore[union-attr]
    if kept != written:
        raise ValueError(f"CPU {cpu}: {kept} of {written} switches kept")
    spans: dict[int, Spans] = {}
    ran_ns: dict[int, int] = {}  # since each was last seen to go
    began_ns, running, is_whole = 0, None, True
    for line in text.splitlines():
        if told := _RUNTIME.search(line):
            ran_ns[int(told[1])] = ran_ns.get(int(told[1]), 0) + int(told[2])
        elif switch := _SWITCH.search(line):
            now_ns, prev = int(switch[1]) * 10**9 + int(switch[2].ljust(9, "0")), int(switch[3])
            if running not in (None, prev):
                is_whole = False
                came_ns = max(began_ns, now_ns - ran_ns.get(prev, 0))
                spans.setdefault(running, []).append((began_ns, came_ns))
                began_ns = came_ns
            spans.setdefault(prev, []).append((began_ns, now_ns))
            ran_ns[prev] = 0
            began_ns, running = now_ns, int(switch[4])
    if running is not None:  # the last one seen to come goes on
        spans.setdefault(running, []).append((began_ns, 2**63))
    return spans, is_whole


def clipped(spans: Spans, begin_ns: int, end_ns: int) -> Spans:
    """What of them lies between two moments."""
    return [
        (max(begin, begin_ns), min(end, end_ns)) for begin, end in spans if begin < end_ns and end > begin_ns
    ]


def total_ns(spans: Spans) -> int:
    """How long they are together."""
    return sum(end - begin for begin, end in spans)


def overlap_ns(one: Spans, other: Spans) -> int:
    """How long both were."""
    total, at = 0, 0
    for begin, end in one:
        while at < len(other) and other[at][1] <= begin:
            at += 1
        following = at
        while following < len(other) and other[following][0] < end:
            total += min(end, other[following][1]) - max(begin, other[following][0])
            following += 1
    return total


def union_ns(one: Spans, other: Spans) -> int:
    """How long either was."""
    return total_ns(one) + total_ns(other) - overlap_ns(one, other)
