// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is drawn: idle_mw * uptime + active_mw * time in tasks, of all CPUs.
 * A CPU that answers an interrupt out of idle idles: nobody is there to charge it to, and an emulated CPU may spend
 * some percent of its time so.
 */
#include <linux/module.h>
#include <linux/seqlock.h>
#include <linux/timekeeping.h>
#include <linux/tracepoint.h>
#include <trace/events/sched.h>

#include "energy_plant.h"

static ulong idle_mw = 10000, active_mw = 20000, max_uj = 65712999613, wrap_after_mj = 100000;
module_param(idle_mw, ulong, 0644);
module_param(active_mw, ulong, 0644);
module_param(max_uj, ulong, 0444);
module_param(wrap_after_mj, ulong, 0444);

/* ran_ns: in tasks, up to the last switch, which was at since_ns; to a task or not. Nothing before the first. */
struct cpu_time {
	seqcount_t seq;
	u64 ran_ns, since_ns;
	bool in_task;
};

static DEFINE_PER_CPU(struct cpu_time, cpu_times);
static struct tracepoint *sched_switch;
static u64 drawn_at_load_uj;

/* Our own look at the scheduler: kcpustat samples at ticks, for which an emulated CPU is late. */
static void on_switch(void *data, bool preempt, struct task_struct *prev, struct task_struct *next,
		      unsigned int prev_state)
{
	struct cpu_time *cpu = this_cpu_ptr(&cpu_times);
	u64 now_ns = ktime_get_ns();

	write_seqcount_begin(&cpu->seq);
	if (cpu->in_task)
		cpu->ran_ns += now_ns - cpu->since_ns;
	cpu->since_ns = now_ns;
	cpu->in_task = next->pid;
	write_seqcount_end(&cpu->seq);
}

static u64 ran_ns(const struct cpu_time *cpu)
{
	unsigned int seq;
	u64 ns;

	do {
		seq = read_seqcount_begin(&cpu->seq);
		ns = cpu->ran_ns;
		if (cpu->in_task)
			ns += ktime_get_ns() - cpu->since_ns;
	} while (read_seqcount_retry(&cpu->seq, seq));
	return ns;
}

static u64 busy_us(void)
{
	u64 ns = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		ns += ran_ns(per_cpu_ptr(&cpu_times, cpu));
	return ns / 1000;
}

static u64 since_boot_uj(void)
{
	return (ktime_to_us(ktime_get()) * idle_mw + busy_us() * active_mw) / 1000;
}

/* Since loading. */
u64 drawn_uj(void)
{
	return since_boot_uj() - drawn_at_load_uj;
}

/* A counter of a share of it, such as the 10th; it starts that share of wrap_after_mj short of its first wrap. */
u64 counter_uj(u64 drawn, unsigned int share)
{
	return (max_uj - wrap_after_mj * 1000 / share + drawn / share) % (max_uj + 1);
}

/* What such a counter holds at the most. */
u64 most_uj(void)
{
	return max_uj;
}

static void find_sched_switch(struct tracepoint *tracepoint, void *data)
{
	if (!strcmp(tracepoint->name, "sched_switch"))
		sched_switch = tracepoint;
}

int watch_switches(void)
{
	int cpu, error;

	check_trace_callback_type_sched_switch(on_switch);
	for_each_possible_cpu(cpu)
		seqcount_init(&per_cpu_ptr(&cpu_times, cpu)->seq);
	for_each_kernel_tracepoint(find_sched_switch, NULL);	/* its symbol is not exported to modules */
	error = sched_switch ? tracepoint_probe_register(sched_switch, on_switch, NULL) : -ENOENT;
	drawn_at_load_uj = since_boot_uj();
	return error;
}

void stop_watching(void)
{
	tracepoint_probe_unregister(sched_switch, on_switch, NULL);
	tracepoint_synchronize_unregister();
}
