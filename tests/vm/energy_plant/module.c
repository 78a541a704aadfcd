// SPDX-License-Identifier: GPL-2.0-only
/*
 * Meters with one known truth, for tests in a virtual machine: the kernel's own powercap files, perf events and
 * hwmon files over energy = idle_mw * uptime + active_mw * time in tasks, of all CPUs.
 * Each of them says, in a parameter of its own, what had been drawn since loading when it was last read: the truth
 * of that reading.
 */
#include <linux/module.h>

#include "energy_plant.h"

static int __init plant_init(void)
{
	int error = watch_switches();

	if (error)
		return error;
	error = register_zones();
	if (error)
		goto no_zones;
	error = register_pmu();
	if (error)
		goto no_pmu;
	error = register_chips();
	if (error)
		goto no_chips;
	return 0;
no_chips:
	unregister_pmu();
no_pmu:
	unregister_zones();
no_zones:
	stop_watching();
	return error;
}

static void __exit plant_exit(void)
{
	unregister_chips();
	unregister_pmu();
	unregister_zones();
	stop_watching();
}

module_init(plant_init);
module_exit(plant_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("meters with a known truth, for tests");
