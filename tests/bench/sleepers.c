// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * sleepers MILLISECONDS IDLE < LIST: for each line of LIST, a cgroup.procs, a process in that cgroup that wakes once in
 * so many milliseconds, and so many beside it that never wake. Says "ready" when all are in their places. They end with
 * the first process.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int enter(const char *procs)
{
	FILE *file = fopen(procs, "w");

	return file && fputs("0", file) != EOF && !fclose(file);
}

static void live(const char *procs, int tell, long milliseconds, int wakes)
{
	struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write(tell, enter(procs) ? "+" : "-", 1) != 1)
		exit(1);
	while (!wakes)
		pause();
	for (;;)
		nanosleep(&time, NULL);
}

int main(int argc, char **argv)
{
	char procs[4096], byte;
	int told[2], asleep = 0, left;

	if (argc != 3 || pipe(told))
		return 1;
	while (fgets(procs, sizeof(procs), stdin)) {
		procs[strcspn(procs, "\n")] = 0;
		for (left = atoi(argv[2]); left >= 0; left--, asleep++) {
			if (fork() == 0)
				live(procs, told[1], atol(argv[1]), !left);
		}
	}
	while (asleep--) {
		if (read(told[0], &byte, 1) != 1 || byte != '+')
			return 1;
	}
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
