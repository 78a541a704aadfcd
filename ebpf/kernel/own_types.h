/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PODJOULE_OWN_TYPES_H
#define PODJOULE_OWN_TYPES_H

/*
 * Whether types that did not come from the kernel itself are its own all the same: what they say of the running
 * task is what the kernel's helpers say. 0, or which does not fit: 1 the task, 2 its cgroup, 3 its clock.
 */
static inline __attribute__((always_inline)) int types_differ(__u32 pid, __u32 tgid, __u64 cgroup_id,
							       __u64 runtime_ns, __u64 slice_start_ns)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (pid != (__u32)ids || tgid != ids >> 32)
		return 1;
	if (cgroup_id != bpf_get_current_cgroup_id())
		return 2;
	return runtime_ns > bpf_ktime_get_ns() || slice_start_ns > runtime_ns ? 3 : 0;
}

#endif
