"""Every switch of every CPU, by a BPF program: the truth where the kernel's own tracing does not tell all.

Some kernels hide tasks: their tracing sees no switch out of idle on some CPUs. Of some threads a program
sees them come and not go: to it, and so to ours, they run until the next switch. And the clock of a task
that an interrupt wakes begins in the interrupt. The switch is traced after its end, which takes 10 us and
more under a hypervisor: a tenth of a load of 200 us.

It needs a compiler, which the machines of tests/vm have not: they go by switch_trace.py.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebpf import bpf_maps, libbpf
from tests.bench.compiled import bpf_object
from tests.live.switch_trace import Spans, SwitchTrace

_IDLE, _FOR_EVER = 0, 2**63
_RECORD = np.dtype(
    [("ns", "u8"), ("ran_ns", "u8"), ("cpu", "u4"), ("prev", "u4"), ("next", "u4"), ("unused", "u4")]
)

Switch = tuple[int, int, int, int]
"""When in nanoseconds, who went, what his clock says he ran, and who came."""


@contextlib.contextmanager
def traced(cpus: Iterable[int]) -> Iterator[SwitchTrace]:
    """Trace for a while, see switch_trace.traced. Raises ValueError where the buffer was too small."""
    found = SwitchTrace()
    with contextlib.closing(libbpf.Object(_image())) as program:
        program.load()
        program.attach("on_switch")
        yield found
        records = _records(program)
    for cpu in cpus:
        rows = records[records["cpu"] == cpu]
        found.ran[cpu] = spans_of(rows[["ns", "prev", "ran_ns", "next"]].tolist())


@functools.cache
def _image() -> bytes:
    return bpf_object(Path(__file__).with_name("switch_program.bpf.c"))


def _records(program: libbpf.Object) -> npt.NDArray[np.void]:
    rows: list[bytes] = []
    with contextlib.closing(bpf_maps.RingReader(program.map_fd("records"), rows.append)) as ring:
        ring.consume()
    lost = np.zeros(1, np.uint64)
    bpf_maps.lookup(program.map_fd("lost"), 0, lost)
    if lost[0]:
        raise ValueError(f"{lost[0]} switches lost, {len(rows)} kept")
    return np.frombuffer(b"".join(rows), _RECORD)


def spans_of(switches: Iterable[Switch]) -> dict[int, Spans]:
    """By PID when it ran on a CPU, by all switches that were seen there, in their order.

    Who was not seen to go went when another came. Since when another ran, seen to come or not, says his own
    clock, if he was not seen to come even earlier.
    """
    came: list[tuple[int, int]] = []  # when, who
    for ns, prev, ran_ns, following in switches:
        _correct(came, prev, ns, ran_ns)
        came.append((ns, following))
    spans: dict[int, Spans] = {}
    for (begin_ns, pid), (end_ns, _) in pairwise([*came, (_FOR_EVER, _IDLE)]):
        if begin_ns < end_ns:
            spans.setdefault(pid, []).append((begin_ns, end_ns))
    return spans


def _correct(came: list[tuple[int, int]], pid: int, ns: int, ran_ns: int) -> None:
    """Who goes now came last, as long ago as he ran; not before the one before him."""
    if not came:
        came.append((0, pid))
    elif came[-1][1] != pid:
        came.append((max(came[-1][0], ns - ran_ns), pid))
    else:
        came[-1] = max(came[-2:][0][0], min(came[-1][0], ns - ran_ns)), pid
