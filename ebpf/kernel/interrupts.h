/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the kernel stops the clock of tasks for hard and soft interrupts (CONFIG_IRQ_TIME_ACCOUNTING, unless it is
 * switched off at run time), each CPU's run queue keeps for how long: prev_irq_time, kernel/sched/core.c,
 * update_rq_clock_task(). It is what all the tasks' clocks together lack, to the nanosecond; ksoftirqd's work is not in
 * it, which is in ksoftirqd's clock. A reading looks at every CPU from where it runs: one that only answers
 * interrupts need not be woken for it.
 *
 * The dialect that includes this has defined INLINE, N_QUEUES, the number of CPUs, and
 *	__u64 queues_of(__u64 task)		where its group's queues are: an array of addresses, by CPU
 *	__u64 run_queue_of(__u64 queue)		the CPU's whole run queue
 *	__u32 cpu_of(__u64 run_queue)
 *	__u64 interrupts_of(__u64 run_queue)
 *	__u64 *interrupts_at(__u32 *cpu)	where to put them
 */
#ifndef PODJOULE_INTERRUPTS_H
#define PODJOULE_INTERRUPTS_H

/* Whether there is such time on this kernel at all. */
INLINE int look_at_interrupts(__u64 task)
{
	__u64 queues = queues_of(task);
	__u32 i;

	for (i = 0; i < N_QUEUES; i++) {
		__u32 index = i;
		__u64 *to = interrupts_at(&index), queue = 0, run_queue;

		if (!to || bpf_probe_read_kernel(&queue, sizeof(queue), (void *)(queues + 8 * i)))
			break;
		run_queue = run_queue_of(queue);
		if (cpu_of(run_queue) == i) /* else this is no such array: the kernel is another than we know */
			*to = interrupts_of(run_queue);
	}
	return 1;
}

#endif
