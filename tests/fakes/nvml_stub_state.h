/* The state of the simulated driver: a text file that tests write and this library reads again whenever it changes.
 *
 * The path is in the environment variable GPUALLOC_FAKE_NVML. tests/fakes/nvml_stub.py writes the file by rename, and
 * so do the calls that change something (nvml_stub_change.h), so a reader sees the old state or the new one, never a
 * mixture. -1 stands for "this driver does not tell".
 */
#ifndef GPUALLOC_NVML_STUB_STATE_H
#define GPUALLOC_NVML_STUB_STATE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OK = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    GPU_IS_LOST = 15,
    RESET_REQUIRED = 16,
    IN_USE = 19,
    INSUFFICIENT_RESOURCES = 23,
    ARGUMENT_VERSION_MISMATCH = 25,
    UNKNOWN = 999
};

enum { MAX_GPUS = 64, MAX_PROCESSES = 256, MAX_PROFILES = 20, MAX_PLACEMENTS = 16, MAX_INSTANCES = 16, MAX_GI = 15, MAX_PLANS = 8 };
enum { ENGINES = 5 };

typedef struct {
    int index, id, slices, instances, sm, memory_mib, copy, decoders, encoders, jpeg, ofa, placements;
    int start[MAX_PLACEMENTS], size[MAX_PLACEMENTS];
    char name[48];
} Profile;

typedef struct {
    char uuid[64];
    int gi, ci, profile, start, size;
    long long total_mib, used_mib;
    int complete; /* has its compute instance */
} Instance;

typedef struct {
    int pid;
    unsigned int gi, ci; /* all ones: on the whole GPU */
    long long used_mib;
} Process;

#include "nvml_stub_sensors_state.h"

typedef struct {
    char uuid[64], name[80], fault[24];
    int index, minor, utilization, memory_utilization, temperature, sm_clock, delay_us;
    int mig, mig_pending, max_instances, needs_reset, passed_through;
    int architecture, compute_mode, persistence, locked_low, locked_high;
    long long total_mib, used_mib, power_mw, power_limit_mw, power_default_mw, power_min_mw, power_max_mw;
    int engines[ENGINES]; /* shared out among instances, in the order of profiles; -1: not counted */
    int gi_ids, gi_id[MAX_GI]; /* ids of GPU instances in the order in which they are given */
    char gi_uuid[MAX_GI + 1][64];
    int processes, profiles, instances;
    Process process[MAX_PROCESSES];
    Profile profile[MAX_PROFILES];
    Instance instance[MAX_INSTANCES];
    Sensors sensors;
} Gpu;

typedef struct {
    char function[64], what[16]; /* `kill`, `hang` or a code to answer */
    int nth;                     /* of the calls a process makes, from 1 */
} Plan;

static struct {
    char driver[64], library[64];
    int cuda, init_code, gpus, privileged, plans;
    int long_processes; /* whether lists of processes have the longer records of some R535 drivers */
    Plan plan[MAX_PLANS];
    Gpu gpu[MAX_GPUS];
} state;

static pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stat state_seen;

static void new_gpu(const char *uuid) {
    Gpu *gpu = &state.gpu[state.gpus];
    memset(gpu, 0, sizeof *gpu);
    snprintf(gpu->uuid, sizeof gpu->uuid, "%s", uuid);
    snprintf(gpu->fault, sizeof gpu->fault, "none");
    gpu->index = gpu->minor = state.gpus++;
    gpu->utilization = gpu->memory_utilization = gpu->temperature = gpu->sm_clock = -1;
    gpu->mig = gpu->mig_pending = -1;
    gpu->total_mib = gpu->used_mib = gpu->power_mw = gpu->power_limit_mw = -1;
    gpu->power_default_mw = gpu->power_min_mw = gpu->power_max_mw = -1;
    gpu->architecture = gpu->compute_mode = gpu->persistence = -1;
    for (int i = 0; i < ENGINES; i++) gpu->engines[i] = -1;
    new_sensors(&gpu->sensors);
}

static void read_profile(Gpu *gpu, const char *rest) {
    if (gpu->profiles == MAX_PROFILES) return;
    Profile *p = &gpu->profile[gpu->profiles++];
    sscanf(rest, "%d %d %d %d %d %d %d %d %d %d %d %47s", &p->index, &p->id, &p->slices, &p->instances, &p->sm,
           &p->memory_mib, &p->copy, &p->decoders, &p->encoders, &p->jpeg, &p->ofa, p->name);
}

static void read_placement(Gpu *gpu, const char *rest) {
    if (!gpu->profiles) return;
    Profile *p = &gpu->profile[gpu->profiles - 1];
    if (p->placements == MAX_PLACEMENTS) return;
    sscanf(rest, "%d %d", &p->start[p->placements], &p->size[p->placements]);
    p->placements++;
}

static void read_instance(Gpu *gpu, const char *rest) {
    if (gpu->instances == MAX_INSTANCES) return;
    Instance *i = &gpu->instance[gpu->instances++];
    sscanf(rest, "%63s %d %d %d %d %d %lld %lld %d", i->uuid, &i->gi, &i->ci, &i->profile, &i->start, &i->size,
           &i->total_mib, &i->used_mib, &i->complete);
}

static void read_process(Gpu *gpu, const char *rest) {
    if (gpu->processes == MAX_PROCESSES) return;
    Process *p = &gpu->process[gpu->processes++];
    sscanf(rest, "%d %lld %u %u", &p->pid, &p->used_mib, &p->gi, &p->ci);
}

static void read_gi(Gpu *gpu, const char *rest) {
    int gi;
    char uuid[64];
    if (gpu->gi_ids == MAX_GI || sscanf(rest, "%d %63s", &gi, uuid) != 2 || gi < 0 || gi > MAX_GI) return;
    gpu->gi_id[gpu->gi_ids++] = gi;
    snprintf(gpu->gi_uuid[gi], sizeof gpu->gi_uuid[gi], "%s", uuid);
}

static void read_plan(const char *rest) {
    Plan *plan = &state.plan[state.plans];
    if (state.plans < MAX_PLANS && sscanf(rest, "%63s %d %15s", plan->function, &plan->nth, plan->what) == 3)
        state.plans++;
}

static void read_gpu_line(Gpu *gpu, const char *key, const char *rest) {
    if (!strcmp(key, "name")) snprintf(gpu->name, sizeof gpu->name, "%s", rest);
    else if (!strcmp(key, "minor")) sscanf(rest, "%d", &gpu->minor);
    else if (!strcmp(key, "memory")) sscanf(rest, "%lld %lld", &gpu->total_mib, &gpu->used_mib);
    else if (!strcmp(key, "utilization")) sscanf(rest, "%d %d", &gpu->utilization, &gpu->memory_utilization);
    else if (!strcmp(key, "power_mw")) sscanf(rest, "%lld %lld", &gpu->power_mw, &gpu->power_limit_mw);
    else if (!strcmp(key, "temperature")) sscanf(rest, "%d", &gpu->temperature);
    else if (!strcmp(key, "sm_clock")) sscanf(rest, "%d", &gpu->sm_clock);
    else if (!strcmp(key, "delay_us")) sscanf(rest, "%d", &gpu->delay_us);
    else if (!strcmp(key, "fault")) sscanf(rest, "%23s", gpu->fault);
    else if (!strcmp(key, "mig")) sscanf(rest, "%d %d %d", &gpu->mig, &gpu->mig_pending, &gpu->max_instances);
    else if (!strcmp(key, "mode")) sscanf(rest, "%d %d", &gpu->needs_reset, &gpu->passed_through);
    else if (!strcmp(key, "architecture")) sscanf(rest, "%d", &gpu->architecture);
    else if (!strcmp(key, "power_range_mw"))
        sscanf(rest, "%lld %lld %lld", &gpu->power_default_mw, &gpu->power_min_mw, &gpu->power_max_mw);
    else if (!strcmp(key, "locked")) sscanf(rest, "%d %d", &gpu->locked_low, &gpu->locked_high);
    else if (!strcmp(key, "compute_mode")) sscanf(rest, "%d", &gpu->compute_mode);
    else if (!strcmp(key, "persistence")) sscanf(rest, "%d", &gpu->persistence);
    else if (!strcmp(key, "engines"))
        sscanf(rest, "%d %d %d %d %d", &gpu->engines[0], &gpu->engines[1], &gpu->engines[2], &gpu->engines[3],
               &gpu->engines[4]);
    else if (!strcmp(key, "gi")) read_gi(gpu, rest);
    else if (!strcmp(key, "profile")) read_profile(gpu, rest);
    else if (!strcmp(key, "placement")) read_placement(gpu, rest);
    else if (!strcmp(key, "instance")) read_instance(gpu, rest);
    else if (!strcmp(key, "process")) read_process(gpu, rest);
    else read_sensor(&gpu->sensors, key, rest);
}

static void read_line(char *line) {
    line[strcspn(line, "\n")] = 0;
    char *space = strchr(line, ' ');
    if (!space) return;
    *space = 0;
    const char *rest = space + 1;
    if (!strcmp(line, "driver")) snprintf(state.driver, sizeof state.driver, "%s", rest);
    else if (!strcmp(line, "library")) snprintf(state.library, sizeof state.library, "%s", rest);
    else if (!strcmp(line, "cuda")) sscanf(rest, "%d", &state.cuda);
    else if (!strcmp(line, "init_code")) sscanf(rest, "%d", &state.init_code);
    else if (!strcmp(line, "privileged")) sscanf(rest, "%d", &state.privileged);
    else if (!strcmp(line, "long_processes")) sscanf(rest, "%d", &state.long_processes);
    else if (!strcmp(line, "plan")) read_plan(rest);
    else if (!strcmp(line, "gpu") && state.gpus < MAX_GPUS) new_gpu(rest);
    else if (state.gpus) read_gpu_line(&state.gpu[state.gpus - 1], line, rest);
}

/* Read the file again if it is another one than last time. Call with the lock held. Returns 0 when there is none. */
static int refresh(void) {
    const char *path = getenv("GPUALLOC_FAKE_NVML");
    struct stat now;
    if (!path || stat(path, &now)) return 0;
    if (now.st_ino == state_seen.st_ino && now.st_size == state_seen.st_size &&
        now.st_mtim.tv_sec == state_seen.st_mtim.tv_sec && now.st_mtim.tv_nsec == state_seen.st_mtim.tv_nsec)
        return 1;
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    memset(&state, 0, sizeof state);
    char line[512];
    while (fgets(line, sizeof line, file)) read_line(line);
    fclose(file);
    state_seen = now;
    return 1;
}

/* Handles are tokens that remember a UUID, so that they stay right when the state is read anew and GPUs move or vanish. */
typedef enum { A_GPU, A_MIG_DEVICE, A_GPU_INSTANCE, A_COMPUTE_INSTANCE } Kind;

typedef struct {
    char uuid[64];
    Kind kind;
} Token;

static Token tokens[512];
static int token_count;

static Token *token_for(const char *uuid, Kind kind) {
    for (int i = 0; i < token_count; i++)
        if (!strcmp(tokens[i].uuid, uuid) && tokens[i].kind == kind) return &tokens[i];
    if (token_count == (int)(sizeof tokens / sizeof *tokens)) return NULL;
    Token *token = &tokens[token_count++];
    snprintf(token->uuid, sizeof token->uuid, "%s", uuid);
    token->kind = kind;
    return token;
}

static int is_token(const void *handle) {
    return handle >= (const void *)tokens && handle < (const void *)(tokens + token_count);
}

#endif
