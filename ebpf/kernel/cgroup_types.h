/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way from a task's css_set to a cgroup, as the CO-RE programs see it: relocated by the kernel's own types. */
#ifndef PODJOULE_CGROUP_TYPES_H
#define PODJOULE_CGROUP_TYPES_H

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

#pragma clang attribute pop

enum cgroup_subsys_id {
	cpu_cgrp_id = 1,
	cpuacct_cgrp_id = 2,
};

#endif
