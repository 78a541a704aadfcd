// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The libbpf CO-RE dialect: where the kernel keeps things. What is counted, and when: accounting.h.
 *
 * Each hook has two programs, of which one is loaded. A kernel that knows its own types (BTF) lets a program follow
 * its pointers: tp_btf. One that does not gets raw tracepoints, to which a task is a number, and which copy; where
 * things are is told them by a file.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "counters.h"
#include "cgroup_types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct rq {
	__u64 clock;
	__u64 prev_irq_time;
	int cpu;
};

struct cfs_rq {
	struct rq *rq;
};

struct sched_entity {
	__u64 sum_exec_runtime;
	__u64 prev_sum_exec_runtime;
	struct cfs_rq *cfs_rq;
};

struct task_struct {
	struct sched_entity se;
	int pid;
	int tgid;
	int prio;
	unsigned int flags;
	struct css_set *cgroups;
	struct task_group *sched_task_group;
};

struct task_group {
	struct cfs_rq **cfs_rq;
};

#pragma clang attribute pop

const volatile struct settings settings SEC(".rodata.settings");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct counters_key);
	__type(value, struct counters);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps");

#define event_mask settings.event_mask
#define by_process settings.by_process

#define EVENT_MAP(name)				\
	struct {				\
		__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); \
		__uint(max_entries, 1);		\
		__type(key, __u32);		\
		__type(value, __u32);		\
	} name SEC(".maps")

EVENT_MAP(cycles);
EVENT_MAP(instructions);
EVENT_MAP(cache_misses);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} cgroup_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgroup_event);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_place);
} places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct socket_state);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} groups SEC(".maps");

static const struct counters nothing;

static __always_inline struct cpu_state *this_cpu(void)
{
	__u32 index = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&cpus, &index);
}

static __always_inline struct cpu_state *cpu_numbered(__u32 number)
{
	return bpf_map_lookup_elem(&cpus, &number);
}

static __always_inline struct socket_state *socket_numbered(__u32 number)
{
	return bpf_map_lookup_elem(&sockets, &number);
}

static __always_inline struct cpu_place *place_here(void)
{
	__u32 index = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&places, &index);
}

/*
 * The run queue's clock is as old as the task's own: both were brought up to date when the scheduler picked the next.
 * Any task leads to its CPU's run queue, the idle one too, where task groups are compiled in.
 */
static __always_inline __u64 clock_by_copy(struct task_struct *task)
{
	if (!bpf_core_field_exists(task->se.cfs_rq))
		return bpf_ktime_get_ns();
	return BPF_CORE_READ(task, se.cfs_rq, rq, clock);
}

static __always_inline __u64 clock_of(struct task_struct *task)
{
	if (settings.by_copy || !bpf_core_field_exists(task->se.cfs_rq))
		return clock_by_copy(task);
	return task->se.cfs_rq->rq->clock;
}

static __always_inline int v1_controller(void)
{
	return settings.v1_cpuacct ? bpf_core_enum_value(enum cgroup_subsys_id, cpuacct_cgrp_id)
			  : bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);
}

static __always_inline __u64 cgroup_id_by_copy(struct task_struct *task)
{
	struct css_set *css = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *state;
	__u64 id;

	if (!settings.hierarchy) {
		id = BPF_CORE_READ(css, dfl_cgrp, kn, id);
	} else {
		bpf_core_read(&state, sizeof(state), &css->subsys[v1_controller()]);
		id = BPF_CORE_READ(state, cgroup, kn, id);
	}
	return CHARGED_TO(id, BPF_CORE_READ(task, flags));
}

static __always_inline __u64 cgroup_id_of(struct task_struct *task)
{
	__u64 id;

	if (settings.by_copy) /* known when it is loaded: the verifier sees one of the ways alone */
		return cgroup_id_by_copy(task);
	if (settings.hierarchy)
		id = task->cgroups->subsys[v1_controller()]->cgroup->kn->id;
	else
		id = task->cgroups->dfl_cgrp->kn->id;
	return CHARGED_TO(id, task->flags);
}

static __always_inline __u64 slice_start_by_copy(struct task_struct *task)
{
	/* The realtime classes do not keep it. */
	return BPF_CORE_READ(task, prio) < RT_PRIORITIES ? 0 : BPF_CORE_READ(task, se.prev_sum_exec_runtime);
}

static __always_inline long read_value(int event, struct bpf_perf_event_value *value)
{
	switch (event) {
	case 0:
		return bpf_perf_event_read_value(&cycles, BPF_F_CURRENT_CPU, value, sizeof(*value));
	case 1:
		return bpf_perf_event_read_value(&instructions, BPF_F_CURRENT_CPU, value, sizeof(*value));
	default:
		return bpf_perf_event_read_value(&cache_misses, BPF_F_CURRENT_CPU, value, sizeof(*value));
	}
}

static __always_inline __u64 read_count(int event)
{
	return event == 1 ? bpf_perf_event_read(&instructions, BPF_F_CURRENT_CPU)
			  : bpf_perf_event_read(&cache_misses, BPF_F_CURRENT_CPU);
}

static __always_inline __u32 *group_here(void)
{
	__u32 index = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&groups, &index);
}

static __always_inline struct counters *counters_of(struct cpu_state *cpu)
{
	struct counters *found = bpf_map_lookup_elem(&counts, &cpu->owner);

	if (found)
		return found;
	bpf_map_update_elem(&counts, &cpu->owner, &nothing, BPF_NOEXIST);
	found = bpf_map_lookup_elem(&counts, &cpu->owner);
	return found ?: &cpu->dropped;
}

#define SELDOM static __noinline
#define VERIFIED_ONCE __noinline
#include "accounting.h"
#include "own_types.h"

/* A member of a struct of the kernel; by_copy: known when this is compiled. */
#define MEMBER(by_copy, from, member) ((by_copy) ? BPF_CORE_READ(from, member) : (from)->member)

#define HOOK(name, tracepoint, call, arguments...)				\
	SEC("tp_btf/" #tracepoint)					\
	int BPF_PROG(name, arguments)					\
	{								\
		enum { by_copy = false };				\
									\
		return call;						\
	}								\
	SEC("raw_tp/" #tracepoint)					\
	int BPF_PROG(name##_raw, arguments)				\
	{								\
		enum { by_copy = true };				\
									\
		return call;						\
	}

static __always_inline int switched(struct task_struct *prev, struct task_struct *next, const bool by_copy)
{
	struct cpu_state *cpu = this_cpu();

	if (cpu)
		account_switch(cpu, prev, MEMBER(by_copy, prev, pid), MEMBER(by_copy, prev, tgid),
			       MEMBER(by_copy, prev, se.sum_exec_runtime), next, MEMBER(by_copy, next, pid),
			       MEMBER(by_copy, next, tgid), MEMBER(by_copy, next, se.sum_exec_runtime),
			       (__u64)MEMBER(by_copy, next, cgroups));
	return 0;
}

HOOK(on_switch, sched_switch, switched(prev, next, by_copy), bool preempt, struct task_struct *prev,
     struct task_struct *next)

SEC("raw_tp")
int charge_running(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct cpu_state *cpu = this_cpu();

	if (cpu)
		account_running(cpu, task, BPF_CORE_READ(task, pid), BPF_CORE_READ(task, tgid),
				BPF_CORE_READ(task, se.sum_exec_runtime));
	return 0;
}

/* args[0]: a CPU that is offline. */
SEC("raw_tp")
int put_to_rest(struct bpf_raw_tracepoint_args *ctx)
{
	struct cpu_state *cpu = cpu_numbered(ctx->args[0]);

	if (cpu)
		note_activity(cpu, 0, clock_by_copy((void *)bpf_get_current_task()));
	return 0;
}

SEC("raw_tp")
int check_types(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return types_differ(BPF_CORE_READ(task, pid), BPF_CORE_READ(task, tgid),
			    BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id), BPF_CORE_READ(task, se.sum_exec_runtime),
			    slice_start_by_copy(task));
}

static __always_inline int attached(struct cgroup *cgroup, struct task_struct *task, bool threadgroup,
				    const bool by_copy)
{
	__u64 now_ns = bpf_ktime_get_ns(), runtime_ns = MEMBER(by_copy, task, se.sum_exec_runtime);
	__u32 pid = MEMBER(by_copy, task, pid), i;

	if (BPF_CORE_READ(cgroup, root, hierarchy_id) != settings.hierarchy)
		return 0;
	for (i = 0; i < settings.n_cpu; i++) {
		__u32 index = i;
		struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &index);

		if (!cpu)
			break;
		note_move(cpu, pid, runtime_ns, threadgroup, now_ns);
	}
	return 0;
}

HOOK(on_attach, cgroup_attach_task, attached(cgroup, task, threadgroup, by_copy), struct cgroup *cgroup,
     const char *path, struct task_struct *task, bool threadgroup)

static __always_inline int tell(struct cgroup *cgroup, __u32 kind, const char *path)
{
	__u32 zero = 0, bytes = 0;
	struct cgroup_event *event = bpf_map_lookup_elem(&scratch, &zero);
	__u64 *lost = bpf_map_lookup_elem(&lost_events, &zero);

	if (!event || !lost || BPF_CORE_READ(cgroup, root, hierarchy_id) != settings.hierarchy)
		return 0;
	event->cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	event->kind = kind;
	if (kind != CGROUP_REMOVED)
		bytes = bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
	event->path_bytes = bytes;
	if (bpf_ringbuf_output(&cgroup_events, event,
			       __builtin_offsetof(struct cgroup_event, path) + (bytes & (PATH_BYTES - 1)), 0))
		(*lost)++;
	return 0;
}

HOOK(on_mkdir, cgroup_mkdir, tell(cgroup, CGROUP_MADE, path), struct cgroup *cgroup, const char *path)
HOOK(on_rmdir, cgroup_rmdir, tell(cgroup, CGROUP_REMOVED, path), struct cgroup *cgroup, const char *path)
HOOK(on_rename, cgroup_rename, tell(cgroup, CGROUP_RENAMED, path), struct cgroup *cgroup, const char *path)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} interrupts SEC(".maps");

INLINE __u64 queues_of(__u64 task)
{
	return (__u64)BPF_CORE_READ((struct task_struct *)task, sched_task_group, cfs_rq);
}

INLINE __u64 run_queue_of(__u64 queue)
{
	return (__u64)BPF_CORE_READ((struct cfs_rq *)queue, rq);
}

INLINE __u32 cpu_of(__u64 run_queue)
{
	return BPF_CORE_READ((struct rq *)run_queue, cpu);
}

INLINE __u64 interrupts_of(__u64 run_queue)
{
	return BPF_CORE_READ((struct rq *)run_queue, prev_irq_time);
}

INLINE __u64 *interrupts_at(__u32 *cpu)
{
	return bpf_map_lookup_elem(&interrupts, cpu);
}

#define N_QUEUES settings.n_cpu
#include "interrupts.h"

SEC("raw_tp")
int read_interrupts(void *ctx)
{
	if (!bpf_core_field_exists(struct rq, prev_irq_time) || !bpf_core_field_exists(struct rq, cpu) ||
	    !bpf_core_field_exists(struct cfs_rq, rq) || !bpf_core_field_exists(struct task_group, cfs_rq))
		return 0;
	return look_at_interrupts(bpf_get_current_task());
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
