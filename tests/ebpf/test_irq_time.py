"""Time of interrupts that is on no task's clock: where it is read; it is added once, to the kernel's."""

from __future__ import annotations

import ctypes as ct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from ebpf import irq_time
from ebpf.bpf_maps import Entries
from ebpf.btf import INTERRUPT_MEMBERS, offsets
from ebpf.cgroups import KERNEL_THREADS
from ebpf.counters import CPU_NS, FIELDS, CounterSnapshot
from ebpf.irq_time import interrupts_of, with_interrupts
from ebpf.program import KEY, LoadedProgram
from estimator.attribution.usage import UsageTracker
from estimator.machine.topology import assemble
from tests.ebpf import native

N_CPU, WORDS = 3, 9
# A kernel's memory: a task, its group's queues by CPU, and each one's run queue.
DIALECT = f"""
#define INLINE static inline
#define N_QUEUES {N_CPU}
struct run_queue {{ __u64 interrupts_ns; __u32 cpu; }};
struct queue {{ struct run_queue *run_queue; }};
static struct run_queue run_queues[{N_CPU}];
static struct queue queues[{N_CPU}], *by_cpu[{N_CPU}];
static __u64 found[{N_CPU}];
static long bpf_probe_read_kernel(void *to, __u32 bytes, const void *from)
{{
	if (from < (void *)4096)
		return -14;
	memcpy(to, from, bytes);
	return 0;
}}
static inline __u64 queues_of(__u64 task) {{ return *(__u64 *)task; }}
static inline __u64 run_queue_of(__u64 queue) {{ return (__u64)((struct queue *)queue)->run_queue; }}
static inline __u32 cpu_of(__u64 run_queue) {{ return ((struct run_queue *)run_queue)->cpu; }}
static inline __u64 interrupts_of(__u64 at) {{ return ((struct run_queue *)at)->interrupts_ns; }}
static inline __u64 *interrupts_at(__u32 *cpu) {{ return *cpu < {N_CPU} ? &found[*cpu] : 0; }}
#include "interrupts.h"

int c_look(const __u64 *interrupts_ns, const __u32 *cpus, int is_readable, __u64 *to)
{{
	__u64 task = is_readable ? (__u64)by_cpu : 0;
	int answer;

	for (int i = 0; i < N_QUEUES; i++) {{
		run_queues[i] = (struct run_queue){{ interrupts_ns[i], cpus[i] }};
		queues[i].run_queue = &run_queues[i];
		by_cpu[i] = &queues[i];
	}}
	answer = look_at_interrupts((__u64)&task);
	memcpy(to, found, sizeof(found));
	memset(found, 0, sizeof(found));
	return answer;
}}
"""

Look = Callable[..., list[int]]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    library = ct.CDLL(str(native.build(DIALECT, tmp_path_factory.mktemp("interrupts"), "-shared", "-fPIC")))

    def looked(interrupts_ns: list[int], cpus: list[int], *, is_readable: bool = True) -> list[int]:
        to = (ct.c_uint64 * N_CPU)()
        there = (ct.c_uint64 * N_CPU)(*interrupts_ns)
        assert library.c_look(there, (ct.c_uint32 * N_CPU)(*cpus), is_readable, to) == 1
        return list(to)

    return looked


def test_each_cpus_interrupts_are_read_from_wherever_the_reading_runs(look: Look) -> None:
    assert look([7, 0, 2**63], [0, 1, 2]) == [7, 0, 2**63]


def test_what_is_no_array_of_run_queues_by_cpu_is_not_believed(look: Look) -> None:
    assert look([7, 8, 9], [0, 0, 5]) == [7, 0, 0]
    assert look([7, 8, 9], [0, 1, 2], is_readable=False) == [0, 0, 0]


def entries(*keys: tuple[int, int]) -> Entries:
    n = len(keys)
    values = np.arange(n * N_CPU * WORDS, dtype=np.uint64).reshape(n, N_CPU, WORDS)
    return np.array([(cgroup, tgid, 0) for cgroup, tgid in keys], KEY), values


KEYS = st.lists(
    st.tuples(st.sampled_from([1, 7, KERNEL_THREADS]), st.sampled_from([0, 2, 9])), unique=True, max_size=9
)
TIMES = nps.arrays(np.uint64, N_CPU, elements=st.integers(0, 2**60))


@given(keys=KEYS, ns=TIMES)
def test_interrupts_are_the_kernels_on_the_cpu_that_answered_them_and_nothing_else_changes(
    keys: list[tuple[int, int]], ns: np.ndarray
) -> None:
    before = entries(*keys)
    found, values = with_interrupts(before, ns)
    named = [(int(key["cgroup_id"]), int(key["tgid"])) for key in found]
    assert len(set(named)) == len(named)
    assert set(named) - set(keys) <= {(KERNEL_THREADS, 0)}
    grown = dict(zip(named, values, strict=True))
    for key, was in zip(keys, before[1], strict=True):
        mine = ns if key == (KERNEL_THREADS, 0) else np.zeros_like(ns)
        assert (grown[key][:, CPU_NS] - was[:, CPU_NS] == mine).all()
        assert (grown[key][:, CPU_NS + 1 :] == was[:, CPU_NS + 1 :]).all(), "no cycle is moved"
    assert (values[:, :, CPU_NS].sum(axis=0) - before[1][:, :, CPU_NS].sum(axis=0) == ns).all()
    assert (before[1] == entries(*keys)[1]).all(), "what the reader keeps is left as it is"


def test_where_the_kernel_keeps_nothing_apart_nothing_is_added() -> None:
    before = entries((1, 0), (7, 0))
    assert with_interrupts(before, np.zeros(N_CPU, np.uint64)) is before


@pytest.mark.parametrize("is_kept_apart", [False, True])
def test_the_program_itself_says_whether_there_is_anything_to_read(
    monkeypatch: pytest.MonkeyPatch, is_kept_apart: bool
) -> None:
    asked: list[int] = []

    def run(program: int) -> int:
        asked.append(program)
        return is_kept_apart

    monkeypatch.setattr(irq_time, "run_here", run)
    monkeypatch.setattr(irq_time.bpf_maps, "map_reader", lambda *_: None)
    program = LoadedProgram({"interrupts": 5}, {}, -1, N_CPU, frozenset(), lambda: None, read_interrupts=4)
    assert (interrupts_of(program) is not None) is is_kept_apart
    assert asked == [4]


def snapshot(ns: list[int], seconds: float) -> CounterSnapshot:
    keys, values = with_interrupts(entries((1, 0)), np.array(ns, np.uint64))
    return CounterSnapshot(
        keys["cgroup_id"].copy(),
        keys["tgid"].copy(),
        values[:, :, : len(FIELDS)],
        np.zeros((N_CPU, len(FIELDS)), np.uint64),
        frozenset({"cpu_ns"}),
        round(seconds * 1e9),
    )


def test_what_interrupts_took_before_the_first_reading_is_not_used_again_after_it() -> None:
    hour = 3_600_000_000_000
    tracker = UsageTracker(assemble(range(N_CPU), range(N_CPU), dict.fromkeys(range(N_CPU), 0)))
    tracker.update(snapshot([hour, 5 * hour, 0], 0.0), N_CPU)
    used = tracker.update(snapshot([hour + 10**9, 5 * hour, 2 * 10**9], 5.0), N_CPU)
    assert used is not None
    by_cgroup = dict(zip(used.cgroup_id.tolist(), used.used[:, 0, CPU_NS].tolist(), strict=True))
    assert by_cgroup == {1: 0.0, KERNEL_THREADS: 3e9}


def test_where_a_kernel_keeps_them_is_known_wholly_or_not_at_all(require_root_bpf: None) -> None:
    assert len(INTERRUPT_MEMBERS.keys() & offsets().keys()) in (0, len(INTERRUPT_MEMBERS))
