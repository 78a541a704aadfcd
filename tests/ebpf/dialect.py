"""accounting.h under a scheduler of our own: the third dialect, of a machine that is arrays."""

from __future__ import annotations

import ctypes as ct
from pathlib import Path

import numpy as np

from tests.ebpf import native

N_CGROUPS, N_TASKS = 4, 5
DIALECT = f"""
#include "counters.h"
#define event_mask 7
#define by_process 0
#define SELDOM static
struct task_struct {{ __u64 runtime_ns, slice_start_ns, cgroup_id; __u32 pid, tgid, flags; }};
struct bpf_perf_event_value {{ __u64 counter, enabled, running; }};
static __u64 now_ns, opened_ns, counts[N_EVENTS], off_ns[N_EVENTS];
static __u32 one_group, refused;
static inline __u64 bpf_ktime_get_ns(void) {{ return now_ns; }}
static struct counters counted[{N_CGROUPS + 1}];
static inline __u64 cgroup_id_of(struct task_struct *task)
{{
	return CHARGED_TO(task->cgroup_id, task->flags);
}}
#define cgroup_id_by_copy cgroup_id_of
static inline __u64 slice_start_by_copy(struct task_struct *task) {{ return task->slice_start_ns; }}
static inline struct counters *counters_of(struct cpu_state *cpu)
{{
	return &counted[cpu->owner.cgroup_id == KERNEL_THREADS ? 0 : cpu->owner.cgroup_id];
}}
static inline long read_value(int event, struct bpf_perf_event_value *value)
{{
	__u64 enabled_ns = now_ns - opened_ns;

	*value = (struct bpf_perf_event_value){{}};
	if (refused & 1 << event)
		return -2;
	*value = (struct bpf_perf_event_value){{ counts[event], enabled_ns, enabled_ns - off_ns[event] }};
	return 0;
}}
static inline __u64 read_count(int event) {{ return refused & 1 << event ? (__u64)-2 : counts[event]; }}
static inline __u32 *group_here(void) {{ return &one_group; }}
static inline __u64 clock_of(struct task_struct *task) {{ return now_ns; }}
#define clock_by_copy clock_of
static struct cpu_state cpus[2];
static struct socket_state sockets[2];
static struct cpu_place told[2];
static int here;
static inline struct cpu_state *cpu_numbered(__u32 number) {{ return &cpus[number]; }}
static inline struct socket_state *socket_numbered(__u32 number) {{ return &sockets[number]; }}
static inline struct cpu_place *place_here(void) {{ return &told[here]; }}
#include "accounting.h"

void c_reset(void)
{{
	memset(counted, 0, sizeof(counted));
	memset(cpus, 0, sizeof(cpus));
	memset(sockets, 0, sizeof(sockets));
	memset(told, 0, sizeof(told));
	memset(counts, 0, sizeof(counts));
	memset(off_ns, 0, sizeof(off_ns));
	opened_ns = here = one_group = refused = 0;
}}
void c_open(void)
{{
	memset(counts, 0, sizeof(counts));
	memset(off_ns, 0, sizeof(off_ns));
	opened_ns = now_ns;
}}
void c_clock(__u64 ns, __u64 count) {{ now_ns = ns; counts[0] = count; }}
void c_group(int is, int without) {{ one_group = is; refused = without; }}
void c_events(__u64 ns, const __u64 *count, const __u64 *off)
{{
	now_ns = ns;
	memcpy(counts, count, sizeof(counts));
	memcpy(off_ns, off, sizeof(off_ns));
}}
void c_counted(struct counters *to) {{ memcpy(to, counted, sizeof(counted)); }}
void c_switch(struct cpu_state *cpu, struct task_struct *prev, struct task_struct *next)
{{
	account_switch(cpu, prev, prev->pid, prev->tgid, prev->runtime_ns, next, next->pid, next->tgid,
		next->runtime_ns, 0x1000 + next->cgroup_id);
}}
void c_read(struct cpu_state *cpu, struct task_struct *task)
{{
	account_running(cpu, task, task->pid, task->tgid, task->runtime_ns);
}}
void c_moved(struct cpu_state *cpu, struct task_struct *task)
{{
	note_move(cpu, task->pid, task->runtime_ns, 0, now_ns);
}}
void c_place(int cpu, __u32 sibling, __u32 socket) {{ told[cpu] = (struct cpu_place){{ sibling, socket }}; }}
void c_switch_on(int cpu, struct task_struct *prev, struct task_struct *next)
{{
	here = cpu;
	c_switch(&cpus[cpu], prev, next);
}}
void c_read_on(int cpu, struct task_struct *task)
{{
	here = cpu;
	c_read(&cpus[cpu], task);
}}
void c_sockets(struct socket_state *to) {{ memcpy(to, sockets, sizeof(sockets)); }}
"""
TASK = np.dtype(
    [
        ("runtime_ns", "<u8"),
        ("slice_start_ns", "<u8"),
        ("cgroup_id", "<u8"),
        ("pid", "<u4"),
        ("tgid", "<u4"),
        ("flags", "<u4"),
        ("pad", "<u4"),
    ]
)
CYCLES_PER_NS = 3


def built(into: Path) -> ct.CDLL:
    """The dialect compiled, its functions to be called."""
    return ct.CDLL(str(native.build(DIALECT, into, "-shared", "-fPIC")))


def address(array: np.ndarray) -> ct.c_void_p:
    return array.ctypes.data_as(ct.c_void_p)
