// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * churn FOLDER COUNT SECONDS: makes and removes cgroups named as containers are, each with a process that lives in it,
 * until COUNT are done or SECONDS are over, evenly over the time. Prints how many there were.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static int live_in(const char *folder)
{
	char procs[4096];
	int status;
	pid_t child;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", folder);
	child = fork();
	if (child == 0) {
		FILE *file = fopen(procs, "w");

		_exit(!file || fputs("0", file) == EOF || fclose(file));
	}
	return child < 0 || waitpid(child, &status, 0) < 0 || status;
}

int main(int argc, char **argv)
{
	long count = argc == 4 ? atol(argv[2]) : 0, done;
	double seconds = argc == 4 ? atof(argv[3]) : 0, began = now();

	for (done = 0; done < count && now() - began < seconds; done++) {
		double early = began + seconds * done / count - now();
		char folder[2048];

		if (early > 0)
			usleep(early * 1e6);
		snprintf(folder, sizeof(folder), "%s/%016lx%048lx", argv[1], (unsigned long)getpid(), done);
		if (mkdir(folder, 0755) || live_in(folder))
			return 1;
		while (rmdir(folder)) {
			if (errno != EBUSY)
				return 1;
			usleep(100);
		}
	}
	printf("%ld\n", done);
	return 0;
}
