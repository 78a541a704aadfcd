/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libnvidia-ml.so.1 of GPUs that are lines of a text file, $NVML_PLANT, read anew at each call:
 *	clock SECONDS				what time it is, instead of the machine's clock
 *	gpu UUID ADDRESS MIG BASE_MJ IDLE_MW SINCE_S LIMIT_MW NAME...
 *	mig GPU GI CI SLICES UUID		an instance of the GPU of that number
 *	load GPU PID SM MILLIWATTS FROM_S TO_S GI	a process, what it keeps busy (percent) and what it draws on top
 *	fail FUNCTION CODE			that function returns CODE
 *	hang FUNCTION				that function does not return while the line is there
 * A GPU's energy is BASE_MJ + IDLE_MW * (now - SINCE_S) + the sum of its loads. GI is -1 outside MIG.
 * -DOLD: the library of a driver that has not the functions of today.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK, UNINITIALIZED, INVALID, UNSUPPORTED, NOT_FOUND = 6, TOO_SMALL, NO_DRIVER = 9 };
enum { MOST = 16, MOST_INSTANCES = 7, STEP_US = 100000 };

typedef int nvmlReturn_t;
typedef struct handle { int gpu, instance; } *nvmlDevice_t; /* instance -1: the whole */

struct gpu { char uuid[80], address[32], name[80]; int mig; double base_mj, idle_mw, since, limit_mw; };
struct instance { char uuid[80]; int gpu, gi, ci, slices; };
struct load { int gpu, gi; unsigned pid; double sm, mw, from, to; };
struct plant {
	int gpus, instances, loads;
	double now;
	struct gpu gpu[MOST];
	struct instance instance[MOST];
	struct load load[64];
	nvmlReturn_t code;
};

static struct handle handles[MOST][MOST_INSTANCES + 1];
static _Atomic int initialized; /* how often: it ends with the last that ends it */

static double clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* 0: read; 1: read again, since the function has to hang. */
static int read_plant(const char *function, struct plant *p)
{
	const char *path = getenv("NVML_PLANT");
	FILE *file = path ? fopen(path, "r") : NULL;
	char line[512], word[128];
	int code, hangs = 0;

	memset(p, 0, sizeof(*p));
	p->now = clock_now();
	p->code = file ? OK : NO_DRIVER;
	while (file && fgets(line, sizeof(line), file)) {
		struct gpu *g = &p->gpu[p->gpus];
		struct instance *i = &p->instance[p->instances];
		struct load *l = &p->load[p->loads];

		sscanf(line, "clock %lf", &p->now);
		p->gpus += sscanf(line, "gpu %79s %31s %d %lf %lf %lf %lf %79[^\n]", g->uuid, g->address, &g->mig,
				  &g->base_mj, &g->idle_mw, &g->since, &g->limit_mw, g->name) == 8;
		p->instances += sscanf(line, "mig %d %d %d %d %79s", &i->gpu, &i->gi, &i->ci, &i->slices, i->uuid) == 5;
		p->loads += sscanf(line, "load %d %u %lf %lf %lf %lf %d", &l->gpu, &l->pid, &l->sm, &l->mw, &l->from,
				   &l->to, &l->gi) == 7;
		if (sscanf(line, "fail %127s %d", word, &code) == 2 && !strcmp(word, function))
			p->code = code;
		if (sscanf(line, "hang %127s", word) == 1 && !strcmp(word, function))
			hangs = 1;
	}
	if (file)
		fclose(file);
	return hangs;
}

#define BEGIN(p)								\
	struct plant p;								\
	while (read_plant(__func__, &p))					\
		usleep(5000);							\
	if (p.code != OK)							\
		return p.code;							\
	if (!initialized && strncmp(__func__, "nvmlInit", 8))			\
		return UNINITIALIZED;

static struct instance *instance_of(struct plant *p, nvmlDevice_t d)
{
	int seen = 0;

	for (int i = 0; i < p->instances; i++)
		if (p->instance[i].gpu == d->gpu && seen++ == d->instance)
			return &p->instance[i];
	return NULL;
}

/* The part of [from, to] in which a load runs, in seconds. */
static double overlap(const struct load *l, double from, double to)
{
	double a = from > l->from ? from : l->from, b = to < l->to ? to : l->to;

	return b > a ? b - a : 0;
}

static int runs(const struct load *l, double now) { return l->from <= now && now < l->to; }
static int is_of(const struct load *l, int gpu, int gi) { return l->gpu == gpu && (gi < 0 || l->gi == gi); }

nvmlReturn_t nvmlInitWithFlags(unsigned flags) { (void)flags; BEGIN(p); initialized++; return OK; }
nvmlReturn_t nvmlShutdown(void)
{
	if (!initialized)
		return UNINITIALIZED;
	initialized--;
	return OK;
}

const char *nvmlErrorString(nvmlReturn_t code)
{
	static char text[40];

	snprintf(text, sizeof(text), "planted error %d", code);
	return text;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) { BEGIN(p); *count = p.gpus; return OK; }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *d)
{
	BEGIN(p);
	if (index >= (unsigned)p.gpus)
		return INVALID;
	*d = &handles[index][0];
	**d = (struct handle){ index, -1 };
	return OK;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t d, char *text, unsigned size)
{
	BEGIN(p);
	struct instance *i = instance_of(&p, d);

	snprintf(text, size, "%s", i ? i->uuid : p.gpu[d->gpu].uuid);
	return OK;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t d, char *text, unsigned size)
{
	BEGIN(p);
	snprintf(text, size, "%s", p.gpu[d->gpu].name);
	return OK;
}

typedef struct { char legacy[16]; unsigned domain, bus, device, pci_id, subsystem; char id[32]; } pci_t;

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t d, pci_t *info)
{
	BEGIN(p);
	memset(info, 0, sizeof(*info));
	snprintf(info->id, sizeof(info->id), "%s", p.gpu[d->gpu].address);
	return OK;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t d, unsigned *least, unsigned *most)
{
	BEGIN(p);
	*least = 0;
	*most = p.gpu[d->gpu].limit_mw;
	return OK;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t d, unsigned long long *mj)
{
	BEGIN(p);
	struct gpu *g = &p.gpu[d->gpu];
	double sum = g->base_mj + g->idle_mw * (p.now - g->since);

	if (d->instance >= 0)
		return UNSUPPORTED;
	for (int i = 0; i < p.loads; i++)
		if (p.load[i].gpu == d->gpu)
			sum += p.load[i].mw * overlap(&p.load[i], g->since, p.now);
	*mj = sum;
	return OK;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t d, unsigned *mw)
{
	BEGIN(p);
	double sum = p.gpu[d->gpu].idle_mw;

	if (d->instance >= 0)
		return UNSUPPORTED;
	for (int i = 0; i < p.loads; i++)
		if (p.load[i].gpu == d->gpu && runs(&p.load[i], p.now))
			sum += p.load[i].mw;
	*mw = sum;
	return OK;
}

typedef struct { unsigned pid; unsigned long long memory; unsigned gi, ci; } process_t;

static nvmlReturn_t processes(struct plant *p, nvmlDevice_t d, unsigned *count, process_t *out)
{
	struct instance *in = instance_of(p, d);
	unsigned n = 0, room = *count;

	for (int i = 0; i < p->loads; i++) {
		struct load *l = &p->load[i];

		if (!is_of(l, d->gpu, in ? in->gi : -1) || !runs(l, p->now))
			continue;
		if (n < room && out)
			out[n] = (process_t){ l->pid, 1 << 20, l->gi, l->gi < 0 ? -1 : 0 };
		n++;
	}
	*count = n;
	return n && (n > room || !out) ? TOO_SMALL : OK;
}

#ifndef OLD
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t d, unsigned *count, process_t *out)
{
	BEGIN(p);
	return processes(&p, d, count, out);
}
#else
void *unused = processes;
#endif

typedef struct { unsigned pid; unsigned long long time_us; unsigned sm, memory, encoder, decoder; } sample_t;

/* A sample a process each tenth of a second in which it ran. */
nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t d, sample_t *out, unsigned *count, unsigned long long after)
{
	BEGIN(p);
	unsigned long long now_us = p.now * 1e6;
	unsigned n = 0, room = *count;

	if (d->instance >= 0 || p.gpu[d->gpu].mig > 0)
		return UNSUPPORTED;
	if (after + 10000000 < now_us) /* what the buffer holds */
		after = now_us - 10000000;
	for (unsigned long long us = (after / STEP_US + 1) * STEP_US; us <= now_us; us += STEP_US)
		for (int i = 0; i < p.loads; i++) {
			struct load *l = &p.load[i];

			if (l->gpu != d->gpu || !l->sm || !runs(l, us / 1e6 - STEP_US / 2e6))
				continue;
			if (n < room && out)
				out[n] = (sample_t){ l->pid, us, l->sm, 0, 0, 0 };
			n++;
		}
	*count = n;
	return !n ? NOT_FOUND : n > room || !out ? TOO_SMALL : OK;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t d, unsigned *now, unsigned *next)
{
	BEGIN(p);
	if (p.gpu[d->gpu].mig < 0) /* a GPU that cannot */
		return UNSUPPORTED;
	*now = *next = p.gpu[d->gpu].mig;
	return OK;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t d, unsigned *count)
{
	BEGIN(p);
	*count = p.gpu[d->gpu].mig > 0 ? MOST_INSTANCES : 0;
	return OK;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t d, unsigned index, nvmlDevice_t *mig)
{
	BEGIN(p);
	if (index >= MOST_INSTANCES)
		return INVALID;
	*mig = &handles[d->gpu][index + 1];
	**mig = (struct handle){ d->gpu, index };
	return instance_of(&p, *mig) ? OK : NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t d, unsigned *id)
{
	BEGIN(p);
	struct instance *i = instance_of(&p, d);

	if (!i)
		return INVALID;
	*id = i->gi;
	return OK;
}

typedef struct { unsigned engines[6], gpu_slices, compute_slices; unsigned long long memory_mb; } attributes_t;

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t d, attributes_t *a)
{
	BEGIN(p);
	struct instance *i = instance_of(&p, d);

	if (!i)
		return INVALID;
	memset(a, 0, sizeof(*a));
	a->gpu_slices = a->compute_slices = i->slices;
	return OK;
}

#ifndef OLD
typedef struct gpm { int gpu, gi; double at; } *nvmlGpmSample_t;

nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *sample) { *sample = calloc(1, sizeof(struct gpm)); return OK; }
nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample) { free(sample); return OK; }

nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t d, unsigned gi, nvmlGpmSample_t sample)
{
	BEGIN(p);
	*sample = (struct gpm){ d->gpu, gi, p.now };
	return OK;
}

typedef struct { unsigned id; nvmlReturn_t code; double value; const char *names[3]; } metric_t;
typedef struct { unsigned version, count; nvmlGpmSample_t before, after; metric_t metric[]; } metrics_t;

nvmlReturn_t nvmlGpmMetricsGet(metrics_t *get)
{
	BEGIN(p);
	double seconds = get->after->at - get->before->at, busy = 0;

	for (int i = 0; i < p.loads; i++)
		if (is_of(&p.load[i], get->after->gpu, get->after->gi))
			busy += p.load[i].sm * overlap(&p.load[i], get->before->at, get->after->at);
	for (unsigned i = 0; i < get->count; i++) {
		get->metric[i].code = seconds > 0 ? OK : INVALID;
		get->metric[i].value = seconds > 0 ? busy / seconds : 0;
	}
	return OK;
}
#endif
