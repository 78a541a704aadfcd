// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * CPU time and hardware events per cgroup, counted where the cgroup on a CPU changes and nowhere else.
 *
 * CPU time is the task's own clock (se.sum_exec_runtime), the one that cpu.stat and cpuacct add up: exact,
 * without stolen time, and cheaper than reading a clock at every switch.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "slices.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
};

struct sched_entity {
	__u64 sum_exec_runtime;
};

struct task_struct {
	struct sched_entity se;
	int pid;
	int tgid;
	struct css_set *cgroups;
};

#pragma clang attribute pop

enum cgroup_subsys_id {
	cpu_cgrp_id = 1,
	cpuacct_cgrp_id = 2,
};

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

static const struct counters nothing;

static __always_inline struct cpu_state *this_cpu(void)
{
	__u32 index = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&cpus, &index);
}

static __always_inline int v1_controller(void)
{
	return settings.v1_cpuacct ? bpf_core_enum_value(enum cgroup_subsys_id, cpuacct_cgrp_id)
			  : bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);
}

static __always_inline __u64 cgroup_id_of(struct task_struct *task)
{
	if (settings.hierarchy)
		return task->cgroups->subsys[v1_controller()]->cgroup->kn->id;
	return task->cgroups->dfl_cgrp->kn->id;
}

/* the same for a task that the verifier does not know, as the current one is before kernel 5.11 */
static __always_inline __u64 cgroup_id_of_current(struct task_struct *task)
{
	struct css_set *css = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *state;

	if (!settings.hierarchy)
		return BPF_CORE_READ(css, dfl_cgrp, kn, id);
	bpf_core_read(&state, sizeof(state), &css->subsys[v1_controller()]);
	return BPF_CORE_READ(state, cgroup, kn, id);
}

static __always_inline void read_event(void *map, int i, struct event_reading *now)
{
	struct bpf_perf_event_value value;

	if (!(settings.event_mask & (1 << i)))
		return;
	if (bpf_perf_event_read_value(map, BPF_F_CURRENT_CPU, &value, sizeof(value)))
		return;
	now->count = value.counter;
	now->enabled_ns = value.enabled;
	now->running_ns = value.running;
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

/* What event i counted since the last boundary; keep/1024 of it stays for the next. */
static __always_inline void settle_event(void *map, int i, struct cpu_state *cpu, struct counters *to, __u64 keep)
{
	struct event_reading *start = &cpu->events[i], now = *start;

	read_event(map, i, &now);
	now.count -= per_1024(now.count - start->count, keep);
	now.enabled_ns -= per_1024(now.enabled_ns - start->enabled_ns, keep);
	now.running_ns -= per_1024(now.running_ns - start->running_ns, keep);
	if (to)
		add_event(to, i, now.count - start->count, now.enabled_ns - start->enabled_ns,
			  now.running_ns - start->running_ns);
	*start = now;
}

/* Charge the owner with all that is pending but keep_ns, and with its share of the events. */
static __always_inline void settle(struct cpu_state *cpu, __u64 keep_ns)
{
	struct counters *to = cpu->owner.cgroup_id ? counters_of(cpu) : 0;
	__u64 keep = keep_ns && cpu->pending_ns ? keep_ns * 1024 / cpu->pending_ns : 0;

	if (settings.event_mask & 1)
		settle_event(&cycles, 0, cpu, to, keep);
	if (settings.event_mask & 2)
		settle_event(&instructions, 1, cpu, to, keep);
	if (settings.event_mask & 4)
		settle_event(&cache_misses, 2, cpu, to, keep);
	if (to) {
		to->cpu_ns += cpu->pending_ns - keep_ns;
		to->switches += cpu->pending_switches;
	}
	cpu->pending_ns = keep_ns;
	cpu->pending_switches = 0;
}

static __always_inline void take_over(struct cpu_state *cpu, __u64 css_set, __u64 cgroup_id, __u32 tgid)
{
	cpu->css_set = css_set;
	cpu->owner.cgroup_id = cgroup_id;
	cpu->owner.tgid = settings.by_process ? tgid : 0;
}

/*
 * Bring the running task's clock into pending_ns. A task that is not the one this CPU was seen to start
 * (the first switch after attaching) has no known start and is charged from now on.
 */
static __always_inline __u64 advance(struct cpu_state *cpu, __u32 pid, __u64 runtime_ns)
{
	__u64 ran_ns = pid && pid == cpu->pid ? runtime_ns - cpu->runtime_ns : 0;

	cpu->runtime_ns = runtime_ns;
	cpu->pending_ns += ran_ns;
	return ran_ns;
}

/* The running task was moved between cgroups while on the CPU: the old owner gets what came before. */
static __always_inline void split_at_move(struct cpu_state *cpu, __u32 pid, __u64 ran_ns, __u64 css_set,
					  __u64 cgroup_id)
{
	__u64 since_ns = bpf_ktime_get_ns() - cpu->moved_ns;

	cpu->moved_ns = 0;
	if (!pid || pid != cpu->moved_pid || pid != cpu->pid)
		return;
	settle(cpu, since_ns < ran_ns ? since_ns : ran_ns);
	take_over(cpu, css_set, cgroup_id, cpu->tgid);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct cpu_state *cpu = this_cpu();
	__u64 css_set, cgroup_id, ran_ns;
	__u32 pid = next->pid;

	if (!cpu)
		return 0;
	ran_ns = advance(cpu, prev->pid, prev->se.sum_exec_runtime);
	cpu->pending_switches++;
	if (cpu->moved_ns)
		split_at_move(cpu, prev->pid, ran_ns, (__u64)prev->cgroups, cgroup_id_of(prev));
	cpu->pid = pid;
	cpu->tgid = next->tgid;
	cpu->runtime_ns = next->se.sum_exec_runtime;

	css_set = pid ? (__u64)next->cgroups : 0;
	if (css_set == cpu->css_set && (!settings.by_process || cpu->tgid == cpu->owner.tgid))
		return 0;
	cgroup_id = pid ? cgroup_id_of(next) : 0;
	if (cgroup_id == cpu->owner.cgroup_id && (!settings.by_process || cpu->tgid == cpu->owner.tgid)) {
		cpu->css_set = css_set;
		return 0;
	}
	settle(cpu, 0);
	take_over(cpu, css_set, cgroup_id, next->tgid);
	return 0;
}

/* Run on each CPU before a reading: whoever is on the CPU is charged up to this moment. */
SEC("raw_tp")
int charge_running(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct cpu_state *cpu = this_cpu();
	__u32 pid = BPF_CORE_READ(task, pid);
	__u64 css_set = pid ? (__u64)BPF_CORE_READ(task, cgroups) : 0;
	__u64 cgroup_id = pid ? cgroup_id_of_current(task) : 0;
	__u64 ran_ns;

	if (!cpu)
		return 0;
	ran_ns = advance(cpu, pid, BPF_CORE_READ(task, se.sum_exec_runtime));
	if (cpu->moved_ns)
		split_at_move(cpu, pid, ran_ns, css_set, cgroup_id);
	settle(cpu, 0);
	cpu->pid = pid;
	cpu->tgid = BPF_CORE_READ(task, tgid);
	take_over(cpu, css_set, cgroup_id, cpu->tgid);
	return 0;
}

/* Leave word for every CPU that is running the moved task, or a thread of the moved process. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_attach, struct cgroup *cgroup, const char *path, struct task_struct *task, bool threadgroup)
{
	__u64 now_ns = bpf_ktime_get_ns();
	__u32 pid = task->pid, tgid = task->tgid, i;

	for (i = 0; i < settings.n_cpu; i++) {
		__u32 index = i;
		struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &index);

		if (!cpu)
			break;
		if (cpu->pid == pid || (threadgroup && cpu->tgid == tgid)) {
			cpu->moved_pid = cpu->pid;
			cpu->moved_ns = now_ns;
		}
	}
	return 0;
}

static __always_inline int tell(struct cgroup *cgroup, __u32 kind, const char *path)
{
	__u32 zero = 0, bytes = 0;
	struct cgroup_event *event = bpf_map_lookup_elem(&scratch, &zero);
	__u64 *lost = bpf_map_lookup_elem(&lost_events, &zero);

	if (!event || !lost || cgroup->root->hierarchy_id != settings.hierarchy)
		return 0;
	event->cgroup_id = cgroup->kn->id;
	event->kind = kind;
	if (kind != CGROUP_REMOVED)
		bytes = bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
	event->path_bytes = bytes;
	if (bpf_ringbuf_output(&cgroup_events, event,
			       __builtin_offsetof(struct cgroup_event, path) + (bytes & (PATH_BYTES - 1)), 0))
		(*lost)++;
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_mkdir, struct cgroup *cgroup, const char *path)
{
	return tell(cgroup, CGROUP_MADE, path);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_rmdir, struct cgroup *cgroup, const char *path)
{
	return tell(cgroup, CGROUP_REMOVED, path);
}

SEC("tp_btf/cgroup_rename")
int BPF_PROG(on_rename, struct cgroup *cgroup, const char *path)
{
	return tell(cgroup, CGROUP_RENAMED, path);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
