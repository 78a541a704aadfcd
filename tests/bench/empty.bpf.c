// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the hook itself costs, and the kernel's own counting of it: the program that ours is measured by. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tp_btf/sched_switch")
int empty(void *context)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
