/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What CPUs have in common: two of them a core, all of a socket its being awake.
 *
 * The dialect that includes this has defined
 *	struct cpu_state *cpu_numbered(number)	0: there is none
 *	struct socket_state *socket_numbered(number)	likewise
 */
#ifndef PODJOULE_PLACES_H
#define PODJOULE_PLACES_H

#include "counters.h"

#define BUSY 1 /* lowest bit of cpu_state.activity */

/* As others see it at this moment: neither kept in a register nor written twice. */
#define NOW_IN(member) (*(volatile __u64 *)&(member))

/*
 * How long a CPU has been busy up to now_ns. All of it is one word, so that the sibling can read it without a lock:
 * twice the busy time while the CPU idles; while it is busy, twice what there was less the time it became so, and BUSY.
 */
INLINE __s64 busy_ns(__u64 activity, __u64 now_ns)
{
	return (__s64)(activity & BUSY ? activity - BUSY + 2 * now_ns : activity) >> 1; /* BPF divides no signed number */
}

/*
 * How much of the last span_ns the sibling was busy. The clocks of two CPUs differ by some microseconds: what the
 * sibling seems to take back is not charged again, and nobody shares more than he ran.
 */
INLINE __u64 shared_since(struct cpu_state *cpu, __u64 now_ns, __u64 span_ns)
{
	struct cpu_state *sibling = cpu->place.sibling ? cpu_numbered(cpu->place.sibling - 1) : 0;
	__s64 busy, shared;

	if (!sibling)
		return 0;
	busy = busy_ns(NOW_IN(sibling->activity), now_ns);
	shared = busy - (__s64)cpu->sibling_busy_ns;
	if (shared <= 0)
		return 0;
	cpu->sibling_busy_ns = busy;
	return shared < (__s64)span_ns ? shared : span_ns;
}

INLINE void extend_awake(struct socket_state *socket, __u64 now_ns)
{
	__u64 since_ns = NOW_IN(socket->since_ns), total_ns = socket->base_ns + (now_ns - since_ns);

	if (since_ns && now_ns > since_ns && total_ns > socket->total_ns)
		NOW_IN(socket->total_ns) = total_ns;
}

INLINE void begin_awake(struct socket_state *socket, __u64 now_ns)
{
	NOW_IN(socket->base_ns) = socket->total_ns;
	NOW_IN(socket->since_ns) = now_ns;
}

/*
 * One CPU of the socket wakes, or comes to rest. Kernels before 5.12 have no atomic operation that tells what was
 * there before, so two may find at once that they are the last, or the first: what they then do is the same twice. Who
 * wakes while the last comes to rest is seen by that one's second look.
 */
INLINE void wake_socket(struct socket_state *socket, __u64 now_ns)
{
	__sync_fetch_and_add(&socket->busy, 1);
	if (!NOW_IN(socket->since_ns))
		begin_awake(socket, now_ns);
}

INLINE void rest_socket(struct socket_state *socket, __u64 now_ns)
{
	__sync_fetch_and_add(&socket->busy, -1);
	if (NOW_IN(socket->busy))
		return;
	extend_awake(socket, now_ns);
	NOW_IN(socket->since_ns) = 0;
	if (NOW_IN(socket->busy))
		begin_awake(socket, now_ns);
}

/* This CPU is busy, or idle, from now on, if it was not before. */
INLINE void note_activity(struct cpu_state *cpu, __u64 busy, __u64 now_ns)
{
	struct socket_state *socket;

	if ((cpu->activity & BUSY) == busy)
		return;
	NOW_IN(cpu->activity) = cpu->activity + (busy ? BUSY - 2 * now_ns : 2 * now_ns - BUSY);
	socket = cpu->place.socket ? socket_numbered(cpu->place.socket - 1) : 0;
	if (!socket)
		return;
	if (busy)
		wake_socket(socket, now_ns);
	else
		rest_socket(socket, now_ns);
}

/* Go by the place that user space has told, from now on; where that is still the same, what is awake is so up to now. */
INLINE void take_place(struct cpu_state *cpu, struct cpu_place place, __u64 now_ns)
{
	__u64 was_busy = cpu->activity & BUSY;

	if (place.sibling != cpu->place.sibling || place.socket != cpu->place.socket) {
		note_activity(cpu, 0, now_ns);
		cpu->place = place;
		cpu->sibling_busy_ns = 0;
		shared_since(cpu, now_ns, 0);
		note_activity(cpu, was_busy, now_ns);
	} else if (was_busy && place.socket) {
		struct socket_state *socket = socket_numbered(place.socket - 1);

		if (socket && !NOW_IN(socket->since_ns))
			begin_awake(socket, now_ns);
		else if (socket)
			extend_awake(socket, now_ns);
	}
}

#endif
