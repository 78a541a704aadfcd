// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own powercap files (energy_uj 0400, wraps, names): package-0 with a dram below it, which draws a
 * tenth.
 */
#include <linux/module.h>
#include <linux/powercap.h>

#include "energy_plant.h"

static unsigned long long read_uj;
module_param(read_uj, ullong, 0444);

static struct powercap_control_type *control;
static struct powercap_zone package, dram;

static int get_energy(struct powercap_zone *zone, u64 *uj)
{
	u64 drawn = drawn_uj();

	if (zone == &package)
		read_uj = drawn;
	*uj = counter_uj(drawn, zone == &dram ? 10 : 1);
	return 0;
}

static int get_max(struct powercap_zone *zone, u64 *uj)
{
	*uj = most_uj();
	return 0;
}

static int release(struct powercap_zone *zone)
{
	return 0;
}

static const struct powercap_zone_ops ops = {
	.get_energy_uj = get_energy,
	.get_max_energy_range_uj = get_max,
	.release = release,
};

static int get_limit(struct powercap_zone *zone, int id, u64 *value)
{
	*value = 0;
	return 0;
}

static int set_limit(struct powercap_zone *zone, int id, u64 value)
{
	return -EPERM;
}

/* the framework takes no zone without a constraint */
static const struct powercap_zone_constraint_ops constraint = {
	.get_power_limit_uw = get_limit,
	.set_power_limit_uw = set_limit,
	.get_time_window_us = get_limit,
	.set_time_window_us = set_limit,
};

int register_zones(void)
{
	control = powercap_register_control_type(NULL, "intel-rapl", NULL);
	if (IS_ERR(control))
		return PTR_ERR(control);
	if (IS_ERR(powercap_register_zone(&package, control, "package-0", NULL, &ops, 1, &constraint)))
		goto no_package;
	if (IS_ERR(powercap_register_zone(&dram, control, "dram", &package, &ops, 1, &constraint)))
		goto no_dram;
	return 0;
no_dram:
	powercap_unregister_zone(control, &package);
no_package:
	powercap_unregister_control_type(control);
	return -EINVAL;
}

void unregister_zones(void)
{
	powercap_unregister_zone(control, &dram);
	powercap_unregister_zone(control, &package);
	powercap_unregister_control_type(control);
}
