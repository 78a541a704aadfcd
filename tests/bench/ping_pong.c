// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * ping_pong [FILE...]: two processes hand a byte to and fro through pipes until killed; on one CPU every hand-over
 * is a switch. The second one first moves itself to the cgroups whose cgroup.procs are given.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static void enter(const char *procs)
{
	FILE *file = fopen(procs, "w");

	if (!file || fputs("0", file) == EOF || fclose(file))
		exit(1);
}

static void hand_back(int from, int to)
{
	char byte;

	while (read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1)
		;
	exit(1);
}

int main(int argc, char **argv)
{
	int there[2], back[2];

	if (pipe(there) || pipe(back))
		return 1;
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 1; i < argc; i++)
			enter(argv[i]);
		hand_back(there[0], back[1]);
	}
	if (write(there[1], "x", 1) == 1)
		hand_back(back[0], there[1]);
	return 1;
}
