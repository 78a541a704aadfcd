/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ENERGY_PLANT_H
#define ENERGY_PLANT_H

#include <linux/types.h>

/* What is drawn, in drawn.c. */
int watch_switches(void);
void stop_watching(void);
u64 drawn_uj(void);
u64 counter_uj(u64 drawn, unsigned int share);
u64 most_uj(void);

/* What shows it, each in a file of its name. */
int register_zones(void);
void unregister_zones(void);
int register_pmu(void);
void unregister_pmu(void);
int register_chips(void);
void unregister_chips(void);

#endif
