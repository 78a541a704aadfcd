// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every switch: what switch_program.py makes spans of. */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define RT_PRIORITIES 100 /* their classes do not keep what a task had run when it was picked */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sched_entity {
	__u64 sum_exec_runtime;
	__u64 prev_sum_exec_runtime;
};

struct task_struct {
	struct sched_entity se;
	int pid;
	int prio;
};

#pragma clang attribute pop

struct record {
	__u64 ns;
	__u64 ran_ns; /* by prev's clock, since it was picked; 0: not known */
	__u32 cpu;
	__u32 prev;
	__u32 next;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline int write(__u32 prev, __u64 ran_ns, __u32 next)
{
	struct record *record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);
	__u32 index = 0;
	__u64 *count;

	if (!record) {
		count = bpf_map_lookup_elem(&lost, &index);
		if (count)
			__sync_fetch_and_add(count, 1);
		return 0;
	}
	record->ns = bpf_ktime_get_ns();
	record->ran_ns = ran_ns;
	record->cpu = bpf_get_smp_processor_id();
	record->prev = prev;
	record->next = next;
	record->unused = 0;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP); /* nobody waits; an interrupt to wake him would be traced, too */
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u64 ran_ns = prev->se.sum_exec_runtime - prev->se.prev_sum_exec_runtime;

	return write(prev->pid, prev->pid && prev->prio >= RT_PRIORITIES ? ran_ns : 0, next->pid);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
