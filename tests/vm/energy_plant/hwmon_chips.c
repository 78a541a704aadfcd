// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two hwmon chips over the same energy: energy_plant counts it (energy1_input, which wraps as the powercap zone
 * does), and power_meter, by its name one of ACPI's, says the mean power of the last WINDOW_MS (power1_average).
 */
#include <linux/hwmon.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include "energy_plant.h"

#define WINDOW_MS 100

static unsigned long long hwmon_read_uj;
module_param(hwmon_read_uj, ullong, 0444);

/* The window that is under way began at began_us with began_uj drawn; average_uw is that of the one before. */
static u64 began_us, began_uj, average_uw;
static void close_window(struct work_struct *work);
static DECLARE_DELAYED_WORK(window, close_window);

static struct platform_device *board;
static struct device *counting, *averaging;

static void close_window(struct work_struct *work)
{
	u64 us = ktime_to_us(ktime_get()), uj = drawn_uj();

	if (us > began_us)
		WRITE_ONCE(average_uw, div64_u64((uj - began_uj) * 1000000, us - began_us));
	began_us = us;
	began_uj = uj;
	schedule_delayed_work(&window, msecs_to_jiffies(WINDOW_MS));
}

static umode_t visible(const void *data, enum hwmon_sensor_types type, u32 attr, int channel)
{
	return 0444;
}

static int read_energy(struct device *dev, enum hwmon_sensor_types type, u32 attr, int channel, long *value)
{
	u64 uj = drawn_uj();

	hwmon_read_uj = uj;
	*value = counter_uj(uj, 1);
	return 0;
}

static int read_power(struct device *dev, enum hwmon_sensor_types type, u32 attr, int channel, long *value)
{
	*value = attr == hwmon_power_average_interval ? WINDOW_MS : READ_ONCE(average_uw);
	return 0;
}

static int read_label(struct device *dev, enum hwmon_sensor_types type, u32 attr, int channel, const char **label)
{
	*label = "Esocket0";
	return 0;
}

static const struct hwmon_channel_info energy = {
	.type = hwmon_energy, .config = (const u32[]) { HWMON_E_INPUT | HWMON_E_LABEL, 0 }
};
static const struct hwmon_channel_info power = {
	.type = hwmon_power, .config = (const u32[]) { HWMON_P_AVERAGE | HWMON_P_AVERAGE_INTERVAL, 0 }
};
static const struct hwmon_channel_info *counted[] = { &energy, NULL }, *averaged[] = { &power, NULL };
static const struct hwmon_ops count = { .is_visible = visible, .read = read_energy, .read_string = read_label };
static const struct hwmon_ops average = { .is_visible = visible, .read = read_power };
static const struct hwmon_chip_info count_info = { .ops = &count, .info = counted };
static const struct hwmon_chip_info average_info = { .ops = &average, .info = averaged };

static struct device *chip(const char *name, const struct hwmon_chip_info *info)
{
	return hwmon_device_register_with_info(&board->dev, name, NULL, info, NULL);
}

int register_chips(void)
{
	board = platform_device_register_simple("energy_plant", -1, NULL, 0);	/* a chip wants a parent */
	if (IS_ERR(board))
		return PTR_ERR(board);
	counting = chip("energy_plant", &count_info);
	if (IS_ERR(counting))
		goto no_chip;
	averaging = chip("power_meter", &average_info);
	if (IS_ERR(averaging))
		goto no_average;
	began_us = ktime_to_us(ktime_get());
	began_uj = drawn_uj();
	schedule_delayed_work(&window, msecs_to_jiffies(WINDOW_MS));
	return 0;
no_average:
	hwmon_device_unregister(counting);
no_chip:
	platform_device_unregister(board);
	return -EINVAL;
}

void unregister_chips(void)
{
	cancel_delayed_work_sync(&window);
	hwmon_device_unregister(averaging);
	hwmon_device_unregister(counting);
	platform_device_unregister(board);
}
