// SPDX-License-Identifier: GPL-2.0-only
/*
 * A perf PMU "power": joules in units of 2^-32, as intel_rapl_perf has them, counted from an event's start; one
 * event for the socket, on the CPU of cpumask. energy-ram draws a tenth.
 */
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/perf_event.h>

#include "energy_plant.h"

#define EVENT_PKG 2
#define EVENT_RAM 3

static unsigned long long pmu_read_uj;
module_param(pmu_read_uj, ullong, 0444);

static struct pmu power;

static u64 units(u64 config)
{
	u64 uj = drawn_uj();

	if (config == EVENT_RAM)
		uj /= 10;
	else
		pmu_read_uj = uj;
	return mul_u64_u64_div_u64(uj, 1ULL << 32, 1000000);
}

static void power_update(struct perf_event *event)
{
	u64 now = units(event->attr.config), before = local64_xchg(&event->hw.prev_count, now);

	local64_add(now - before, &event->count);
}

static void power_start(struct perf_event *event, int flags)
{
	local64_set(&event->hw.prev_count, units(event->attr.config));
}

static void power_stop(struct perf_event *event, int flags)
{
	power_update(event);
}

static int power_add(struct perf_event *event, int flags)
{
	if (flags & PERF_EF_START)
		power_start(event, flags);
	return 0;
}

static int power_event_init(struct perf_event *event)
{
	if (event->attr.type != power.type)
		return -ENOENT;
	if (event->attr.config != EVENT_PKG && event->attr.config != EVENT_RAM)
		return -EINVAL;
	if (event->cpu < 0 || event->attr.sample_period)	/* for a CPU, not for a task; no sampling */
		return -EINVAL;
	event->cpu = 0;		/* the one of cpumask, as the real one does */
	return 0;
}

static ssize_t cpumask_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "0\n");
}
static DEVICE_ATTR_RO(cpumask);
static struct attribute *cpumask_attrs[] = { &dev_attr_cpumask.attr, NULL };
static const struct attribute_group cpumask_group = { .attrs = cpumask_attrs };

PMU_FORMAT_ATTR(event, "config:0-7");
static struct attribute *format_attrs[] = { &format_attr_event.attr, NULL };
static const struct attribute_group format_group = { .name = "format", .attrs = format_attrs };

PMU_EVENT_ATTR_STRING(energy-pkg, pkg, "event=0x02");
PMU_EVENT_ATTR_STRING(energy-pkg.unit, pkg_unit, "Joules");
PMU_EVENT_ATTR_STRING(energy-pkg.scale, pkg_scale, "2.3283064365386962890625e-10");
PMU_EVENT_ATTR_STRING(energy-ram, ram, "event=0x03");
PMU_EVENT_ATTR_STRING(energy-ram.unit, ram_unit, "Joules");
PMU_EVENT_ATTR_STRING(energy-ram.scale, ram_scale, "2.3283064365386962890625e-10");
static struct attribute *event_attrs[] = {
	&pkg.attr.attr, &pkg_unit.attr.attr, &pkg_scale.attr.attr,
	&ram.attr.attr, &ram_unit.attr.attr, &ram_scale.attr.attr, NULL
};
static const struct attribute_group events_group = { .name = "events", .attrs = event_attrs };
static const struct attribute_group *power_groups[] = { &cpumask_group, &format_group, &events_group, NULL };

static struct pmu power = {
	.module = THIS_MODULE,
	.task_ctx_nr = perf_invalid_context,
	.capabilities = PERF_PMU_CAP_NO_EXCLUDE,
	.attr_groups = power_groups,
	.event_init = power_event_init,
	.add = power_add,
	.del = power_stop,
	.start = power_start,
	.stop = power_stop,
	.read = power_update,
};

int register_pmu(void)
{
	return perf_pmu_register(&power, "power", -1);
}

void unregister_pmu(void)
{
	perf_pmu_unregister(&power);
}
