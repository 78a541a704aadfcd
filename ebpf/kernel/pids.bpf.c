// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which cgroup a process is in, by its PID on the machine, whatever PID namespace we are in ourselves: looked up in the
 * first namespace's table of PIDs, which our own task leads to. All is copied, nothing held: what ends meanwhile is
 * not found, or is found to be another.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "cgroup_types.h"
#include "pids.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct xarray {
	void *xa_head;
};

struct xa_node {
	unsigned char shift;
	void *slots[64];
};

struct idr {
	struct xarray idr_rt;
};

struct pid_namespace {
	struct idr idr;
};

struct upid {
	struct pid_namespace *ns;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct pid {
	struct hlist_head tasks[4];
	struct upid numbers[1];
};

struct task_struct {
	int tgid;
	struct css_set *cgroups;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
};

#pragma clang attribute pop

const volatile struct pid_settings settings SEC(".rodata.settings");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pid_cgroup);
} found SEC(".maps");

/* include/linux/xarray.h: a pointer to a node has 2 in its lowest bits, one to an entry 0; six bits of the index a level */
#define LEVELS 6
#define IS_NODE(entry) (((entry) & 3) == 2)
#define SLOT(index, shift) (((index) >> ((shift) & 31)) & 63)
#define TGID 1 /* PIDTYPE_TGID, include/linux/pid_types.h */

static __always_inline unsigned long entry_of(unsigned long entry, __u32 index)
{
	for (int level = 0; level < LEVELS && IS_NODE(entry); level++) {
		struct xa_node *node = (void *)(entry - 2);
		__u8 shift = BPF_CORE_READ(node, shift);

		if (!level && shift < 26 && index >> (shift + 6))
			return 0;
		entry = 0;
		bpf_probe_read_kernel(&entry, sizeof(entry),
				      (void *)node + bpf_core_field_offset(struct xa_node, slots) +
					      SLOT(index, shift) * sizeof(void *));
	}
	return entry & 3 ? 0 : entry;
}

/* The task that leads the process; NULL where there is none. */
static __always_inline struct task_struct *leader_of(__u32 tgid)
{
	struct task_struct *me = (void *)bpf_get_current_task();
	struct pid_namespace *first = BPF_CORE_READ(me, thread_pid, numbers[0].ns);
	unsigned long pid = entry_of((unsigned long)BPF_CORE_READ(first, idr.idr_rt.xa_head), tgid);
	struct hlist_node *link = NULL;

	if (!pid)
		return NULL;
	bpf_probe_read_kernel(&link, sizeof(link), (void *)pid + bpf_core_field_offset(struct pid, tasks) +
							   TGID * sizeof(struct hlist_head));
	if (!link)
		return NULL;
	return (void *)link - bpf_core_field_offset(struct task_struct, pid_links) - TGID * 2 * sizeof(void *);
}

static __always_inline __u64 cgroup_of(struct task_struct *task)
{
	struct css_set *css = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *state = NULL;
	int controller = settings.v1_cpuacct ? bpf_core_enum_value(enum cgroup_subsys_id, cpuacct_cgrp_id)
					     : bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);

	if (!settings.hierarchy)
		return BPF_CORE_READ(css, dfl_cgrp, kn, id);
	bpf_core_read(&state, sizeof(state), &css->subsys[controller]);
	return BPF_CORE_READ(state, cgroup, kn, id);
}

/* args[0]: a PID; 0: our own. What is found stands in the map. */
SEC("raw_tp")
int find_process(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 zero = 0, tgid = ctx->args[0] ?: bpf_get_current_pid_tgid() >> 32;
	struct pid_cgroup *row = bpf_map_lookup_elem(&found, &zero);
	struct task_struct *task = leader_of(tgid);

	if (!row)
		return 0;
	row->tgid = task ? BPF_CORE_READ(task, tgid) : 0;
	row->wanted = tgid;
	row->cgroup_id = task ? cgroup_of(task) : 0;
	row->own_cgroup_id = cgroup_of((void *)bpf_get_current_task());
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
