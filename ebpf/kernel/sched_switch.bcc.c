// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The bcc dialect, for kernels without BTF: where the kernel keeps things. What is counted, and when:
 * accounting.h.
 *
 * Kernel structs are read by offset. The loader passes the offsets where it knows them (BTF), so that headers
 * of any version will do; otherwise they come from the headers, which must then be the running kernel's.
 *
 * Passed by the loader: N_CPU, SOCKET_ENTRIES, MAP_ENTRIES, EVENT_MASK, BY_PROCESS, HIERARCHY, V1_CPUACCT, RING.
 */
#ifndef TASK_PID
#include <linux/cgroup.h>
#include <linux/kernfs.h>
#include <linux/sched.h>
#define TASK_PID offsetof(struct task_struct, pid)
#define TASK_TGID offsetof(struct task_struct, tgid)
#define TASK_RUNTIME offsetof(struct task_struct, se.sum_exec_runtime)
#define TASK_SLICE_START offsetof(struct task_struct, se.prev_sum_exec_runtime)
#define TASK_PRIO offsetof(struct task_struct, prio)
#define TASK_FLAGS offsetof(struct task_struct, flags)
#define TASK_CSS_SET offsetof(struct task_struct, cgroups)
#define CSS_SET_CGROUP offsetof(struct css_set, dfl_cgrp)
#define CSS_SET_CPU offsetof(struct css_set, subsys[cpu_cgrp_id])
#define CSS_SET_CPUACCT offsetof(struct css_set, subsys[cpuacct_cgrp_id])
#define CSS_CGROUP offsetof(struct cgroup_subsys_state, cgroup)
#define CGROUP_KN offsetof(struct cgroup, kn)
#define CGROUP_ROOT offsetof(struct cgroup, root)
#define ROOT_HIERARCHY offsetof(struct cgroup_root, hierarchy_id)
#define KN_ID offsetof(struct kernfs_node, id)
#else
struct task_struct;
#endif
#include "counters.h"

#define event_mask EVENT_MASK
#define by_process BY_PROCESS

BPF_TABLE("percpu_hash", struct counters_key, struct counters, counts, MAP_ENTRIES);
BPF_ARRAY(cpus, struct cpu_state, N_CPU);
BPF_PERF_ARRAY(cycles, N_CPU);
BPF_PERF_ARRAY(instructions, N_CPU);
BPF_PERF_ARRAY(cache_misses, N_CPU);
BPF_ARRAY(places, struct cpu_place, N_CPU);
BPF_ARRAY(sockets, struct socket_state, SOCKET_ENTRIES);
BPF_ARRAY(groups, u32, N_CPU);
BPF_PERCPU_ARRAY(scratch, struct cgroup_event, 1);
BPF_PERCPU_ARRAY(lost_events, u64, 1);
#if RING
BPF_RINGBUF_OUTPUT(cgroup_events, 256);
#endif

static inline __attribute__((always_inline)) u64 word_at(u64 base, u32 offset)
{
	u64 word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), (void *)(base + offset));
	return word;
}

static inline __attribute__((always_inline)) u32 half_at(u64 base, u32 offset)
{
	u32 half = 0;

	bpf_probe_read_kernel(&half, sizeof(half), (void *)(base + offset));
	return half;
}

static inline __attribute__((always_inline)) u64 css_set_of(struct task_struct *task)
{
	return word_at((u64)task, TASK_CSS_SET);
}

static inline __attribute__((always_inline)) u64 cgroup_id_of(struct task_struct *task)
{
	u64 cgroup, id;

	if (HIERARCHY)
		cgroup = word_at(word_at(css_set_of(task), V1_CPUACCT ? CSS_SET_CPUACCT : CSS_SET_CPU), CSS_CGROUP);
	else
		cgroup = word_at(css_set_of(task), CSS_SET_CGROUP);
	id = word_at(word_at(cgroup, CGROUP_KN), KN_ID);
	return CHARGED_TO(id, half_at((u64)task, TASK_FLAGS));
}

#define cgroup_id_by_copy cgroup_id_of

static inline __attribute__((always_inline)) u64 slice_start_by_copy(struct task_struct *task)
{
	/* The realtime classes do not keep it. */
	return half_at((u64)task, TASK_PRIO) < RT_PRIORITIES ? 0 : word_at((u64)task, TASK_SLICE_START);
}

static inline __attribute__((always_inline)) long read_value(int event, struct bpf_perf_event_value *value)
{
	if (event == 0)
		return cycles.perf_counter_value(CUR_CPU_IDENTIFIER, value, sizeof(*value));
	if (event == 1)
		return instructions.perf_counter_value(CUR_CPU_IDENTIFIER, value, sizeof(*value));
	return cache_misses.perf_counter_value(CUR_CPU_IDENTIFIER, value, sizeof(*value));
}

static inline __attribute__((always_inline)) u64 read_count(int event)
{
	if (event == 1)
		return instructions.perf_read(CUR_CPU_IDENTIFIER);
	return cache_misses.perf_read(CUR_CPU_IDENTIFIER);
}

static inline __attribute__((always_inline)) u32 *group_here(void)
{
	u32 index = bpf_get_smp_processor_id();

	return groups.lookup(&index);
}

static inline __attribute__((always_inline)) struct counters *counters_of(struct cpu_state *cpu)
{
	struct counters_key owner = cpu->owner;
	struct counters nothing = {};
	struct counters *found = counts.lookup(&owner);

	if (found)
		return found;
	counts.insert(&owner, &nothing);
	found = counts.lookup(&owner);
	return found ? found : &cpu->dropped;
}

static inline __attribute__((always_inline)) struct cpu_state *cpu_numbered(u32 number)
{
	return cpus.lookup(&number);
}

static inline __attribute__((always_inline)) struct socket_state *socket_numbered(u32 number)
{
	return sockets.lookup(&number);
}

static inline __attribute__((always_inline)) struct cpu_place *place_here(void)
{
	u32 index = bpf_get_smp_processor_id();

	return places.lookup(&index);
}

/* The run queue's clock is as old as the task's own, and any task leads to it; no header has it. */
static inline __attribute__((always_inline)) u64 clock_of(struct task_struct *task)
{
#ifdef RQ_CLOCK
	return word_at(word_at(word_at((u64)task, TASK_CFS_RQ), CFS_RQ_RQ), RQ_CLOCK);
#else
	return bpf_ktime_get_ns();
#endif
}

#define clock_by_copy clock_of

#define SELDOM INLINE /* bcc puts every function in line */
#include "accounting.h"
#include "own_types.h"

int on_switch(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *prev = (struct task_struct *)ctx->args[1], *next = (struct task_struct *)ctx->args[2];
	u32 index = bpf_get_smp_processor_id();
	struct cpu_state *cpu = cpus.lookup(&index);

	if (cpu)
		account_switch(cpu, prev, half_at((u64)prev, TASK_PID), half_at((u64)prev, TASK_TGID),
			       word_at((u64)prev, TASK_RUNTIME), next, half_at((u64)next, TASK_PID),
			       half_at((u64)next, TASK_TGID), word_at((u64)next, TASK_RUNTIME),
			       css_set_of(next));
	return 0;
}

int charge_running(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u32 index = bpf_get_smp_processor_id();
	struct cpu_state *cpu = cpus.lookup(&index);

	if (cpu)
		account_running(cpu, task, half_at((u64)task, TASK_PID), half_at((u64)task, TASK_TGID),
				word_at((u64)task, TASK_RUNTIME));
	return 0;
}

/* args[0]: a CPU that is offline. */
int put_to_rest(struct bpf_raw_tracepoint_args *ctx)
{
	struct cpu_state *cpu = cpu_numbered(ctx->args[0]);

	if (cpu)
		note_activity(cpu, 0, clock_by_copy((struct task_struct *)bpf_get_current_task()));
	return 0;
}

int check_types(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = bpf_get_current_task();

	return types_differ(half_at(task, TASK_PID), half_at(task, TASK_TGID),
			    word_at(word_at(word_at(word_at(task, TASK_CSS_SET), CSS_SET_CGROUP), CGROUP_KN), KN_ID),
			    word_at(task, TASK_RUNTIME), slice_start_by_copy((struct task_struct *)task));
}

int on_attach(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ctx->args[2], now_ns = bpf_ktime_get_ns(), runtime_ns = word_at(task, TASK_RUNTIME);
	u32 pid = half_at(task, TASK_PID), i;

	if (half_at(word_at(ctx->args[0], CGROUP_ROOT), ROOT_HIERARCHY) != HIERARCHY)
		return 0;
	for (i = 0; i < N_CPU; i++) {
		u32 index = i;
		struct cpu_state *cpu = cpus.lookup(&index);

		if (!cpu)
			break;
		note_move(cpu, pid, runtime_ns, ctx->args[3] & 1, now_ns);
	}
	return 0;
}

BPF_ARRAY(interrupts, u64, N_CPU);

#ifdef RUN_QUEUE_INTERRUPTS /* known from BTF alone: headers do not have the struct */
INLINE u64 queues_of(u64 task)
{
	return word_at(word_at(task, TASK_GROUP), GROUP_QUEUES);
}

INLINE u64 run_queue_of(u64 queue)
{
	return word_at(queue, QUEUE_RUN_QUEUE);
}

INLINE u32 cpu_of(u64 run_queue)
{
	return half_at(run_queue, RUN_QUEUE_CPU);
}

INLINE u64 interrupts_of(u64 run_queue)
{
	return word_at(run_queue, RUN_QUEUE_INTERRUPTS);
}

INLINE u64 *interrupts_at(u32 *cpu)
{
	return interrupts.lookup(cpu);
}

#define N_QUEUES N_CPU
#include "interrupts.h"

int read_interrupts(struct bpf_raw_tracepoint_args *ctx)
{
	return look_at_interrupts(bpf_get_current_task());
}
#else
int read_interrupts(struct bpf_raw_tracepoint_args *ctx)
{
	return 0;
}
#endif

#if RING
static inline __attribute__((always_inline)) int tell(u64 cgroup, u32 kind, void *path)
{
	u32 zero = 0, bytes = 0;
	struct cgroup_event *event = scratch.lookup(&zero);
	u64 *lost = lost_events.lookup(&zero);

	if (!event || !lost || half_at(word_at(cgroup, CGROUP_ROOT), ROOT_HIERARCHY) != HIERARCHY)
		return 0;
	event->cgroup_id = word_at(word_at(cgroup, CGROUP_KN), KN_ID);
	event->kind = kind;
	if (kind != CGROUP_REMOVED)
		bytes = bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
	event->path_bytes = bytes;
	if (cgroup_events.ringbuf_output(event, offsetof(struct cgroup_event, path) + (bytes & (PATH_BYTES - 1)), 0))
		(*lost)++;
	return 0;
}

int on_mkdir(struct bpf_raw_tracepoint_args *ctx)
{
	return tell(ctx->args[0], CGROUP_MADE, (void *)ctx->args[1]);
}

int on_rmdir(struct bpf_raw_tracepoint_args *ctx)
{
	return tell(ctx->args[0], CGROUP_REMOVED, 0);
}

int on_rename(struct bpf_raw_tracepoint_args *ctx)
{
	return tell(ctx->args[0], CGROUP_RENAMED, (void *)ctx->args[1]);
}
#endif
