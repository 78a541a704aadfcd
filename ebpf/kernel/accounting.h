/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPU time and hardware events per cgroup, counted where the cgroup on a CPU changes and nowhere else.
 *
 * CPU time is the task's own clock (se.sum_exec_runtime), the one that cpu.stat and cpuacct add up: exact,
 * without stolen time, and cheaper than reading a clock at every switch.
 *
 * The dialect that includes this has defined event_mask and by_process, and
 *	__u64 cgroup_id_of(task)			of a task that is not idle: CHARGED_TO
 *	__u64 cgroup_id_by_copy(task)				the same where it is rare: see below
 *	__u64 slice_start_by_copy(task)			its clock when the scheduler picked it; 0: not known
 *	struct counters *counters_of(cpu)			the owner's, or cpu->dropped
 *	long read_value(event, bpf_perf_event_value *)		on this CPU; 0 when it worked
 *	__u64 read_count(event)				its count alone, cheaper; negative when it did not
 *	__u32 *group_here()		not 0: this CPU's events are one perf group
 *	__u64 clock_of(task)			the scheduler's, of the CPU that is the task's, or one of all CPUs
 *	__u64 clock_by_copy(task)
 *	struct cpu_place *place_here()		as user space has it now
 *	SELDOM	a function of its own where the dialect has such, so that what is rare costs the rest no registers
 *	VERIFIED_ONCE	likewise, where the verifier looks at such functions by themselves
 * and what places.h wants.
 */
#ifndef PODJOULE_ACCOUNTING_H
#define PODJOULE_ACCOUNTING_H

#define INLINE static inline __attribute__((always_inline))

#include "places.h"
#include "slices.h"

/*
 * Each step along a pointer that the verifier checks by type costs it a search through all of the kernel's
 * types, over a millisecond of loading time. The two ways that are rarely gone copy instead.
 */
#define UNKNOWN_CSS_SET 1 /* equal to no task's */

/*
 * An event's count and times. Events of one group are on the PMU together or not at all: the first of them is read
 * with its times, which value keeps for the others; it begins with none. Whether they are is looked up each time: what
 * the verifier knows from before, it goes by in a way of its own through all that follows.
 */
INLINE int read_event(int event, volatile __u32 *group, struct bpf_perf_event_value *value)
{
	if (!(event_mask & ((1 << event) - 1)) || !*group)
		return !read_value(event, value);
	value->counter = read_count(event);
	return value->enabled && (__s64)value->counter >= 0;
}

/* What one event counted since the last boundary; the share of the last keep_ns of it stays for the next. */
INLINE void settle_event(int event, __u32 *group, struct bpf_perf_event_value *value, struct cpu_state *cpu,
			 struct counters *to, __u64 keep_ns)
{
	__u64 span_ns, keep = 0;
	struct event_reading *start = &cpu->events[event], now;

	if (!(event_mask & (1 << event)) || !read_event(event, group, value))
		return;
	if (value->enabled < start->enabled_ns) /* opened anew: its CPU went and came back */
		*start = (struct event_reading){};
	span_ns = value->enabled - start->enabled_ns;
	if (keep_ns)
		keep = keep_ns < span_ns ? keep_ns * 1024 / span_ns : 1024;
	now.count = value->counter - per_1024(value->counter - start->count, keep);
	now.enabled_ns = value->enabled - per_1024(value->enabled - start->enabled_ns, keep);
	now.running_ns = value->running - per_1024(value->running - start->running_ns, keep);
	add_event(to, event, now.count - start->count, now.enabled_ns - start->enabled_ns,
		  now.running_ns - start->running_ns);
	*start = now;
}

INLINE void settle_events(struct cpu_state *cpu, struct counters *to, __u64 keep_ns)
{
	struct bpf_perf_event_value value = {};
	__u32 *group = event_mask ? group_here() : 0;

	if (!group)
		return;
	settle_event(0, group, &value, cpu, to, keep_ns);
	settle_event(1, group, &value, cpu, to, keep_ns);
	settle_event(2, group, &value, cpu, to, keep_ns);
}

/* Of what is pending but keep_ns, how much the sibling was busy in. */
INLINE __u64 settle_shared(struct cpu_state *cpu, __u64 keep_ns, __u64 now_ns)
{
	__u64 shared_ns = shared_since(cpu, now_ns, cpu->pending_ns), kept_ns;

	if (!keep_ns || !shared_ns)
		return shared_ns;
	kept_ns = per_1024(shared_ns, keep_ns < cpu->pending_ns ? (keep_ns << 10) / cpu->pending_ns : 1024);
	cpu->sibling_busy_ns -= kept_ns;
	return shared_ns - kept_ns;
}

/* Charge the owner with all that is pending but keep_ns, and with its share of the events. */
INLINE void settle(struct cpu_state *cpu, __u64 keep_ns, __u64 now_ns)
{
	struct counters *to = cpu->owner.cgroup_id ? counters_of(cpu) : &cpu->idle;
	__u64 cycles = to->events[0], shared_ns = settle_shared(cpu, keep_ns, now_ns);

	settle_events(cpu, to, keep_ns);
	to->cpu_ns += cpu->pending_ns - keep_ns;
	to->switches += cpu->pending_switches;
	if (shared_ns) {
		to->shared_ns += shared_ns;
		to->shared_cycles += part_of(to->events[0] - cycles, shared_ns, cpu->pending_ns - keep_ns);
	}
	cpu->pending_ns = keep_ns;
	cpu->pending_switches = 0;
}

/*
 * The same for all who want it. Where the verifier looks at functions by themselves it looks at this one once, instead
 * of on each way that leads to it: a fifth of the loading time, for some 10 ns at a switch between cgroups.
 */
#ifdef VERIFIED_ONCE
VERIFIED_ONCE int settle_here(__u64 keep_ns, __u64 now_ns)
{
	struct cpu_state *cpu = this_cpu(); /* it takes no pointers */

	if (cpu)
		settle(cpu, keep_ns, now_ns);
	return 0;
}
#define settle_once(cpu, keep_ns, now_ns) settle_here(keep_ns, now_ns)
#else
#define settle_once settle
#endif

INLINE void take_over(struct cpu_state *cpu, __u64 css_set, __u64 cgroup_id, __u32 tgid)
{
	cpu->css_set = css_set;
	cpu->owner.cgroup_id = cgroup_id;
	cpu->owner.tgid = by_process ? tgid : 0;
}

/* Bring the running task's clock into pending_ns: forwards, even where its PID was another's when last seen. */
INLINE __u64 advance(struct cpu_state *cpu, __u64 runtime_ns)
{
	__u64 ran_ns = cpu->pid && runtime_ns > cpu->runtime_ns ? runtime_ns - cpu->runtime_ns : 0;

	cpu->runtime_ns = runtime_ns;
	cpu->pending_ns += ran_ns;
	return ran_ns;
}

/*
 * A task runs that this CPU was not seen to start: nobody watched until now, or the kernel did not tell (some
 * threads' going is not traced everywhere). What it ran since it was picked is charged to it all the same, as
 * far back as this CPU was watched, with the events' share of that time; while the CPU idled nothing was counted.
 */
SELDOM void meet(struct cpu_state *cpu, struct task_struct *task, __u32 pid, __u32 tgid, __u64 runtime_ns)
{
	__u64 watched_ns = cpu->watched_since_ns ? bpf_ktime_get_ns() - cpu->watched_since_ns : 0;
	__u64 start_ns = pid && watched_ns ? slice_start_by_copy(task) : 0;
	__u64 ran_ns = start_ns && start_ns < runtime_ns ? runtime_ns - start_ns : 0, now_ns = clock_by_copy(task);

	if (ran_ns > watched_ns)
		ran_ns = watched_ns;
	cpu->pending_ns += ran_ns;
	if (cpu->owner.cgroup_id || !watched_ns)
		settle_once(cpu, ran_ns, now_ns);
	note_activity(cpu, pid != 0, now_ns);
	take_over(cpu, pid ? UNKNOWN_CSS_SET : 0, pid ? cgroup_id_by_copy(task) : 0, tgid);
	cpu->pid = pid;
	cpu->runtime_ns = runtime_ns;
	cpu->moved_ns = 0;
}

/*
 * Leave word for a CPU that may be running the moved task. Of a process that moves as a whole the tracepoint
 * names the main thread alone: any CPU may run another of its threads, so all are told, with the time of day to
 * go by. Where nothing moved, the split that follows parts the owner from itself.
 */
INLINE void note_move(struct cpu_state *cpu, __u32 pid, __u64 runtime_ns, int whole_process, __u64 now_ns)
{
	if (cpu->pid == pid || whole_process) {
		cpu->moved_pid = cpu->pid;
		cpu->moved_runtime_ns = cpu->pid == pid ? runtime_ns : 0;
		cpu->moved_ns = now_ns;
	}
}

/*
 * The task that ran until now was moved between cgroups on the way: the old owner gets what came before.
 * ran_ns: how long it ran, up to cpu->runtime_ns on its clock.
 */
SELDOM void split_at_move(struct cpu_state *cpu, __u32 pid, __u64 ran_ns, struct task_struct *task)
{
	__u64 since_ns = cpu->moved_runtime_ns ? cpu->runtime_ns - cpu->moved_runtime_ns
					       : bpf_ktime_get_ns() - cpu->moved_ns;

	cpu->moved_ns = 0;
	if (!pid || pid != cpu->moved_pid || pid != cpu->pid)
		return;
	settle_once(cpu, since_ns < ran_ns ? since_ns : ran_ns, clock_by_copy(task));
	take_over(cpu, UNKNOWN_CSS_SET, cgroup_id_by_copy(task), cpu->owner.tgid);
}

/* Another task group, or process, is on the CPU from now on. */
SELDOM void change_owner(struct cpu_state *cpu, struct task_struct *next, __u32 pid, __u32 tgid, __u64 css_set)
{
	__u64 cgroup_id = pid ? cgroup_id_of(next) : 0;

	if (cgroup_id != cpu->owner.cgroup_id || (by_process && tgid != cpu->owner.tgid)) {
		__u64 now_ns = clock_of(next);

		settle_once(cpu, 0, now_ns);
		take_over(cpu, css_set, cgroup_id, tgid);
		note_activity(cpu, pid != 0, now_ns);
	}
	/* In the root one css_set does not tell whose: it is looked up each time. */
	cpu->css_set = cgroup_id == ROOT_CGROUP || cgroup_id == KERNEL_THREADS ? UNKNOWN_CSS_SET : css_set;
}

INLINE void account_switch(struct cpu_state *cpu, struct task_struct *prev, __u32 prev_pid, __u32 prev_tgid,
			   __u64 prev_runtime_ns, struct task_struct *next, __u32 pid, __u32 tgid, __u64 runtime_ns,
			   __u64 next_css_set)
{
	__u64 css_set, ran_ns;

	if (prev_pid != cpu->pid) {
		/* While one program takes over from another both run at each switch: this is the second of them. */
		if (pid == cpu->pid && prev_runtime_ns == cpu->left_runtime_ns)
			return;
		meet(cpu, prev, prev_pid, prev_tgid, prev_runtime_ns);
	}
	ran_ns = advance(cpu, prev_runtime_ns);
	css_set = pid ? next_css_set : 0;

	cpu->pending_switches++;
	cpu->left_runtime_ns = prev_runtime_ns;
	if (cpu->moved_ns)
		split_at_move(cpu, prev_pid, ran_ns, prev);
	cpu->pid = pid;
	cpu->runtime_ns = runtime_ns;

	if (css_set != cpu->css_set || (by_process && tgid != cpu->owner.tgid))
		change_owner(cpu, next, pid, tgid, css_set);
}

/* Run on each CPU before a reading: whoever is on the CPU is charged up to this moment. */
INLINE void account_running(struct cpu_state *cpu, struct task_struct *task, __u32 pid, __u32 tgid,
			    __u64 runtime_ns)
{
	__u64 ran_ns, now_ns = clock_by_copy(task);
	struct cpu_place *place = place_here();

	if (pid != cpu->pid)
		meet(cpu, task, pid, tgid, runtime_ns);
	ran_ns = advance(cpu, runtime_ns);
	if (cpu->moved_ns)
		split_at_move(cpu, pid, ran_ns, task);
	settle_once(cpu, 0, now_ns);
	if (pid)
		take_over(cpu, UNKNOWN_CSS_SET, cgroup_id_by_copy(task), tgid);
	note_activity(cpu, pid != 0, now_ns);
	if (place)
		take_place(cpu, *place, now_ns);
	cpu->watched_since_ns = bpf_ktime_get_ns();
}

#endif
