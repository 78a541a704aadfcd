/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The arithmetic of a slice, the same in both dialects: no map, no helper, no kernel struct. What is rare and takes
 * several ways is a function of its own where the dialect has such (VERIFIED_ONCE, see accounting.h).
 */
#ifndef PODJOULE_SLICES_H
#define PODJOULE_SLICES_H

#include "counters.h"

#ifdef VERIFIED_ONCE
#define RARE_ARITHMETIC VERIFIED_ONCE
#else
#define RARE_ARITHMETIC static inline __attribute__((always_inline))
#endif

/*
 * What an event would have counted in `enabled` ns, from `count` in the `running` ns it was on the PMU:
 * count * enabled / running, rounded down, wherever that fits 64 bits. Where the product of the remainder
 * does not, it is divided as by hand, 20 bits of `enabled` at a time: running below 2^43 ns (2.4 hours),
 * enabled below 2^60 ns.
 */
RARE_ARITHMETIC __u64 scaled(__u64 count, __u64 enabled, __u64 running)
{
	__u64 rest, part, quotient;

	if (!running)
		return count;
	rest = count % running;
	if (!(enabled >> 32))
		return count / running * enabled + rest * enabled / running;
	part = rest * (enabled >> 40);
	quotient = part / running;
	part = (part % running << 20) + rest * (enabled >> 20 & 0xfffff);
	quotient = (quotient << 20) + part / running;
	part = (part % running << 20) + rest * (enabled & 0xfffff);
	quotient = (quotient << 20) + part / running;
	return count / running * enabled + quotient;
}

/* Of what was counted in span_ns, the part of the shared_ns in it. */
static inline __attribute__((always_inline)) __u64 part_of(__u64 count, __u64 shared_ns, __u64 span_ns)
{
	__u64 part;

	if (shared_ns >= span_ns)
		return count;
	part = (shared_ns << 16) / span_ns;
	return (count >> 16) * part + ((count & 0xffff) * part >> 16);
}

/*
 * Add one event's slice. A slice in which the event never ran has no count of its own: its time is kept
 * and counted at the rate of the cgroup's next slice that has one. Scaling slice by slice alone would
 * lose all slices that are shorter than the kernel's rotation of events.
 */
static inline __attribute__((always_inline)) void add_event(struct counters *to, int i, __u64 count,
							    __u64 enabled, __u64 running)
{
	if (enabled == running && !to->blind_ns[i]) {
		to->events[i] += count;
	} else if (!running) {
		to->blind_ns[i] += enabled;
	} else {
		to->events[i] += scaled(count, enabled + to->blind_ns[i], running);
		to->blind_ns[i] = 0;
	}
}

/* part/1024 of value, without overflow */
static inline __attribute__((always_inline)) __u64 per_1024(__u64 value, __u64 part)
{
	return (value >> 10) * part + (((value & 1023) * part) >> 10);
}

#endif
