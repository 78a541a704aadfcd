/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What pids.bpf.c is told and tells. tests/ebpf/test_pids.py holds these structs against the numpy dtypes. */
#ifndef PODJOULE_PIDS_H
#define PODJOULE_PIDS_H

/* hierarchy, v1_cpuacct: as in struct settings of counters.h */
struct pid_settings {
	__u32 hierarchy;
	__u32 v1_cpuacct;
};

/* wanted: the PID that was asked for; tgid: of the process that was found under it, which is the same unless it is
 * gone. own_cgroup_id: of whoever asks, without a look into the table */
struct pid_cgroup {
	__u32 wanted;
	__u32 tgid;
	__u64 cgroup_id;
	__u64 own_cgroup_id;
};

#endif
