/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel counts. tests/ebpf/test_layout.py holds these structs against the numpy dtypes. */
#ifndef PODJOULE_COUNTERS_H
#define PODJOULE_COUNTERS_H

/* Goes up when a struct below or what it means changes: maps pinned by another version are not taken over. */
#define LAYOUT_VERSION 4

#define N_EVENTS 3 /* cycles, instructions, cache misses */
#define RT_PRIORITIES 100 /* a task's prio below this: a realtime or deadline task */
#define PATH_BYTES 2048 /* the tracepoints themselves cut paths at 1024 */

/* What user space sets before loading. event_mask: bit i, event i was opened on every CPU. hierarchy: 0 for
 * cgroup v2, else the v1 hierarchy's number; v1_cpuacct: the v1 controller followed is cpuacct, else cpu.
 * by_copy: the kernel does not know its own types, so that its pointers cannot be followed, only copied from. */
struct settings {
	__u32 n_cpu;
	__u32 event_mask;
	__u32 by_process;
	__u32 hierarchy;
	__u32 v1_cpuacct;
	__u32 by_copy;
};

#define ROOT_CGROUP 1 /* the id of every hierarchy's root */
#define KERNEL_THREADS (~0ULL)
#define KERNEL_THREAD_FLAG 0x00200000 /* PF_KTHREAD, include/linux/sched.h */

/* Who is charged: in the root cgroup kernel threads run beside whatever nobody has put elsewhere. */
#define CHARGED_TO(cgroup_id, flags) \
	((cgroup_id) == ROOT_CGROUP && ((flags) & KERNEL_THREAD_FLAG) ? KERNEL_THREADS : (cgroup_id))

/* tgid stays 0 unless processes are told apart; cgroup_id 0 is nobody: the idle task; KERNEL_THREADS is no cgroup */
struct counters_key {
	__u64 cgroup_id;
	__u32 tgid;
	__u32 pad;
};

/* shared_ns: what of cpu_ns the core's other hardware thread was busy in; shared_cycles: the cycles' part by time.
 * blind_ns: enabled time in which an event was not on the PMU and that no later slice has stood in for yet */
struct counters {
	__u64 cpu_ns;
	__u64 events[N_EVENTS];
	__u64 switches;
	__u64 shared_ns;
	__u64 shared_cycles;
	__u64 blind_ns[N_EVENTS];
};

/* the three words of bpf_perf_event_value */
struct event_reading {
	__u64 count;
	__u64 enabled_ns;
	__u64 running_ns;
};

/* Where a CPU sits, as user space tells it: the other hardware thread of its core and the entry of its socket, each
 * + 1; 0: none. */
struct cpu_place {
	__u32 sibling;
	__u32 socket;
};

/* How long some CPU of a socket was busy: total_ns, and since since_ns, unless that is 0; what there was then is
 * base_ns. busy: CPUs that are. physical: the socket's number + 1, written by user space before any CPU comes here. As
 * long as two cache lines, so that no two sockets meet in one. */
struct socket_state {
	__u64 busy;
	__u64 since_ns;
	__u64 base_ns;
	__u64 total_ns;
	__u64 physical;
	__u64 unused[11];
};

/* One per CPU. Everything since the last boundary belongs to owner and waits in the pending fields. */
struct cpu_state {
	struct counters_key owner;
	__u64 css_set;		/* of the running task; 0 when idle */
	__u64 runtime_ns;	/* the running task's own clock when it was last looked at */
	__u64 left_runtime_ns;	/* the clock of the task before it, when it left */
	__u64 pending_ns;
	__u64 pending_switches;
	__u64 moved_ns;		/* when the running task was moved to another cgroup; 0: it was not */
	__u64 moved_runtime_ns;	/* its own clock then; 0 where only the time is known */
	__u64 watched_since_ns;	/* no task's running before this is known; 0: since nobody knows when */
	__u64 activity;		/* for the sibling to read, see busy_ns() */
	__u64 sibling_busy_ns;	/* the sibling's busy_ns() up to which it is charged */
	struct cpu_place place;	/* by which this CPU goes */
	__u32 pid;
	__u32 moved_pid;
	struct event_reading events[N_EVENTS];
	struct counters dropped;	/* what the map could not hold */
	struct counters idle;		/* what goes to nobody; the events of it mean nothing */
};

enum cgroup_event_kind {
	CGROUP_MADE = 1,
	CGROUP_REMOVED = 2,
	CGROUP_RENAMED = 3,
};

/* sent without the unused tail of path */
struct cgroup_event {
	__u64 cgroup_id;
	__u32 kind;
	__u32 path_bytes;
	char path[PATH_BYTES];
};

#endif
