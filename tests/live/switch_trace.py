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
_WRITTEN = re.compile(r"entries-in-buffer/entries-written: (\d+)/(\d+)")

Spans = list[tuple[int, int]]
"""Begin and end in nanoseconds of CLOCK_MONOTONIC, in their order, none overlapping the next."""


@dataclass
class SwitchTrace:
    """Filled when the tracing ends. ran: by CPU and PID (0: idle), when it ran."""

    ran: dict[int, dict[int, Spans]] = field(default_factory=dict)

    def busy(self, cpu: int) -> Spans:
        """When anything ran on a CPU."""
        return sorted(span for pid, spans in self.ran.get(cpu, {}).items() if pid for span in spans)

    def of(self, cpu: int, pid: int) -> Spans:
        """When one thread ran on a CPU."""
        return self.ran.get(cpu, {}).get(pid, [])


@contextlib.contextmanager
def traced(cpus: Iterable[int]) -> Iterator[SwitchTrace]:
    """Trace for a while. Raises ValueError where the kernel did not keep, or not see, all switches."""
    found = SwitchTrace()
    with _tracing() as tracing:
        instance = tracing / f"instances/podjoule-{os.getpid()}"
        instance.mkdir()
        try:
            (instance / "trace_clock").write_text("mono")
            (instance / "buffer_size_kb").write_text("16384")
            (instance / "events/sched/sched_switch/enable").write_text("1")
            yield found
            (instance / "tracing_on").write_text("0")
            found.ran.update({cpu: _spans(cpu, instance / f"per_cpu/cpu{cpu}/trace") for cpu in cpus})
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


def _spans(cpu: int, trace: Path) -> dict[int, Spans]:
    text = trace.read_text(errors="replace")
    kept, written = _WRITTEN.search(text).groups()  # type: ignore[union-attr]
    if kept != written:
        raise ValueError(f"CPU {cpu}: {kept} of {written} switches kept")
    spans: dict[int, Spans] = {}
    began_ns, running = 0, None
    for seconds, fraction, prev, following in _SWITCH.findall(text):
        now_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
        if running not in (None, int(prev)):
            raise ValueError(f"CPU {cpu}: the switch from {running} to {prev} was not traced")
        spans.setdefault(int(prev), []).append((began_ns, now_ns))
        began_ns, running = now_ns, int(following)
    if running is not None:  # the last one seen to come goes on
        spans.setdefault(running, []).append((began_ns, 2**63))
    return spans


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
