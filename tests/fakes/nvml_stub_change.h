/* The calls that change MIG mode and instances: the state machine of gpualloc.sim.gpu.GpuModel on the state file.
 *
 * A change holds `<state>.lock` against other processes, reads the state anew, changes it and writes it by rename.
 * Every function here can be planned to answer a code, to hang or to kill its process at its n-th call.
 */
#ifndef GPUALLOC_NVML_STUB_CHANGE_H
#define GPUALLOC_NVML_STUB_CHANGE_H

#include "nvml_stub_save.h"

/* ---- planned trouble ---- */

static const Plan *plan_of(const char *function, int call) {
    for (int i = 0; i < state.plans; i++)
        if (!strcmp(state.plan[i].function, function) && state.plan[i].nth == call) return &state.plan[i];
    return NULL;
}

static int planned(const char *function, int *calls) {
    int code = lock_state();
    if (code != OK) return code;
    int call = ++*calls;
    const Plan *plan = plan_of(function, call);
    if (plan && !strcmp(plan->what, "kill")) kill(getpid(), SIGKILL);
    code = plan && strcmp(plan->what, "hang") ? atoi(plan->what) : OK;
    while (plan && !strcmp(plan->what, "hang")) {
        pthread_mutex_unlock(&state_lock);
        usleep(20000);
        if (lock_state() != OK) return UNKNOWN;
        plan = plan_of(function, call);
    }
    pthread_mutex_unlock(&state_lock);
    return code;
}

#define PLANNED                                   \
    static int calls;                             \
    int trouble = planned(__func__, &calls);      \
    if (trouble != OK) return trouble

/* ---- one change at a time ---- */

static int change_fd = -1;

/* Begin a change of the GPU, or of the instance, that a handle of that kind names. OK, or the code to answer. */
static int begin_change(const void *handle, Kind kind, Gpu **gpu, Instance **instance) {
    View view;
    int code = look(handle, &view);
    if (code != OK) return code;
    if (((const Token *)handle)->kind != kind) return INVALID_ARGUMENT;
    code = lock_state();
    if (code != OK) return code;
    char path[4200];
    snprintf(path, sizeof path, "%s.lock", getenv("GPUALLOC_FAKE_NVML"));
    change_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    flock(change_fd, LOCK_EX);
    refresh();
    if (!state.privileged) code = NO_PERMISSION;
    *gpu = NULL;
    for (int g = 0; g < state.gpus; g++)
        if (!strcmp(state.gpu[g].uuid, view.gpu.uuid)) *gpu = &state.gpu[g];
    if (!*gpu) code = GPU_IS_LOST;
    for (int i = 0; *gpu && instance && i < (*gpu)->instances; i++)
        if (!strcmp((*gpu)->instance[i].uuid, view.instance.uuid)) *instance = &(*gpu)->instance[i];
    if (code != OK) {
        close(change_fd);
        pthread_mutex_unlock(&state_lock);
    }
    return code;
}

static int end_change(int code) {
    if (code == OK && !save_state()) code = UNKNOWN;
    close(change_fd);
    pthread_mutex_unlock(&state_lock);
    return code;
}

/* ---- MIG mode ---- */

static int mode_blocked(const Gpu *gpu) {
    return gpu->processes || gpu->instances || (gpu->needs_reset && others_have_it_open());
}

static void reset_settings(Gpu *gpu) {
    gpu->power_limit_mw = gpu->power_default_mw;
    gpu->locked_low = gpu->locked_high = 0;
    gpu->compute_mode = gpu->persistence = 0;
}

int nvmlDeviceSetMigMode(Device handle, uint mode, int *activation) {
    PLANNED;
    Gpu *gpu;
    int code = begin_change(handle, A_GPU, &gpu, NULL);
    if (code != OK) return code;
    if (gpu->mig < 0 || !gpu->profiles) return end_change(NOT_SUPPORTED);
    if (mode > 1) return end_change(INVALID_ARGUMENT);
    gpu->mig_pending = (int)mode;
    *activation = OK;
    if (gpu->mig != (int)mode) {
        if (gpu->passed_through) *activation = RESET_REQUIRED;
        else if (mode_blocked(gpu)) *activation = IN_USE;
        else {
            gpu->mig = (int)mode;
            if (gpu->needs_reset) reset_settings(gpu);
        }
    }
    return end_change(OK);
}

/* ---- GPU instances ---- */

static int engine(const Profile *profile, int number) {
    const int counts[ENGINES] = {profile->copy, profile->decoders, profile->encoders, profile->jpeg, profile->ofa};
    return counts[number] > 0 ? counts[number] : 0;
}

static int holds_media_extension(const Profile *profile) { return strstr(profile->name, "+me") != NULL; }

/* Whether counts, engines and the media extension leave room for one more, wherever it would lie. */
static int allowed(const Gpu *gpu, const Profile *profile) {
    int same = 0;
    if (gpu->instances >= gpu->max_instances) return 0;
    for (int i = 0; i < gpu->instances; i++) {
        const Profile *other = profile_of(gpu, 1, gpu->instance[i].profile);
        same += other == profile;
        if (holds_media_extension(profile) && holds_media_extension(other)) return 0;
    }
    for (int e = 0; e < ENGINES; e++) {
        int taken = engine(profile, e);
        for (int i = 0; i < gpu->instances; i++) taken += engine(profile_of(gpu, 1, gpu->instance[i].profile), e);
        if (gpu->engines[e] >= 0 && taken > gpu->engines[e]) return 0;
    }
    return same < profile->instances;
}

static int is_free(const Gpu *gpu, int start, int size) {
    for (int i = 0; i < gpu->instances; i++) {
        const Instance *other = &gpu->instance[i];
        if (start < other->start + other->size && other->start < start + size) return 0;
    }
    return 1;
}

static int next_gi(const Gpu *gpu) {
    for (int n = 0; n < gpu->gi_ids; n++) {
        int taken = 0;
        for (int i = 0; i < gpu->instances; i++) taken |= gpu->instance[i].gi == gpu->gi_id[n];
        if (!taken) return gpu->gi_id[n];
    }
    return -1;
}

/* Put an instance in, by ascending id, which is the order of MIG indices. */
static Instance *insert(Gpu *gpu, const Profile *profile, int start, int size) {
    int gi = next_gi(gpu), at = 0;
    if (gi < 0 || gpu->instances == MAX_INSTANCES) return NULL;
    while (at < gpu->instances && gpu->instance[at].gi < gi) at++;
    memmove(&gpu->instance[at + 1], &gpu->instance[at], sizeof(Instance) * (size_t)(gpu->instances++ - at));
    Instance *made = &gpu->instance[at];
    *made = (Instance){.gi = gi, .profile = profile->id, .start = start, .size = size, .total_mib = profile->memory_mib};
    memcpy(made->uuid, gpu->gi_uuid[gi], sizeof made->uuid);
    return made;
}

/* How many more instances of the profile could be made beside those there are. */
int nvmlDeviceGetGpuInstanceRemainingCapacity(Device handle, uint profile_id, uint *count) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    const Profile *profile = profile_of(&view.gpu, 1, (int)profile_id);
    if (!profile) return NOT_SUPPORTED;
    *count = 0;
    for (int i = 0; i < profile->placements; i++) {
        int fits = allowed(&view.gpu, profile) && is_free(&view.gpu, profile->start[i], profile->size[i]);
        if (fits && insert(&view.gpu, profile, profile->start[i], profile->size[i])) ++*count;
    }
    return OK;
}

int nvmlDeviceCreateGpuInstanceWithPlacement(Device handle, uint profile_id, const Placement *place, Device *out) {
    PLANNED;
    Gpu *gpu;
    int code = begin_change(handle, A_GPU, &gpu, NULL);
    if (code != OK) return code;
    const Profile *profile = profile_of(gpu, 1, (int)profile_id);
    if (gpu->mig != 1 || !profile) return end_change(NOT_SUPPORTED);
    int size = -1;
    for (int i = 0; i < profile->placements; i++)
        if (profile->start[i] == (int)place->start) size = profile->size[i];
    if (size < 0) return end_change(INVALID_ARGUMENT);
    if (!allowed(gpu, profile) || !is_free(gpu, (int)place->start, size)) return end_change(INSUFFICIENT_RESOURCES);
    Instance *made = insert(gpu, profile, (int)place->start, size);
    if (!made) return end_change(INSUFFICIENT_RESOURCES);
    *out = token_for(made->uuid, A_GPU_INSTANCE);
    return end_change(*out ? OK : UNKNOWN);
}

static int is_used(const Gpu *gpu, const Instance *instance) {
    for (int i = 0; i < gpu->processes; i++)
        if (gpu->process[i].gi == (uint)instance->gi) return 1;
    return 0;
}

int nvmlGpuInstanceDestroy(Device handle) {
    PLANNED;
    Gpu *gpu;
    Instance *instance = NULL;
    int code = begin_change(handle, A_GPU_INSTANCE, &gpu, &instance);
    if (code != OK) return code;
    if (!instance) return end_change(INVALID_ARGUMENT);
    if (instance->complete || is_used(gpu, instance)) return end_change(IN_USE);
    Instance *end = &gpu->instance[--gpu->instances];
    memmove(instance, instance + 1, sizeof(Instance) * (size_t)(end - instance));
    return end_change(OK);
}

/* ---- compute instances ---- */

/* What a GPU instance can be split into, by index: single slices, pairs, and all of it. */
static int compute_profile(const Profile *profile, uint index, uint *slices, uint *instances) {
    static const uint of_index[] = {1, 2, 3, 4, 7, 8, 6, 1, 7};
    uint whole = (uint)profile->slices;
    if (index >= sizeof of_index / sizeof *of_index) return INVALID_ARGUMENT;
    *slices = of_index[index];
    *instances = whole / *slices;
    int is_whole = *slices == whole && index != 8 && (whole > 1 || index == (profile->index == 9 ? 7u : 0u));
    int is_part = *slices < whole && *slices <= 2 && index < 7;
    return is_whole || is_part ? OK : NOT_SUPPORTED;
}

static int look_up_compute(Device handle, uint index, uint engine_profile, View *view, uint *slices, uint *instances) {
    int code = look(handle, view);
    if (code != OK) return code;
    if (((Token *)handle)->kind != A_GPU_INSTANCE || engine_profile != 0) return INVALID_ARGUMENT;
    return compute_profile(profile_of(&view->gpu, 1, view->instance.profile), index, slices, instances);
}

typedef struct { uint id, slices, instances, sm, copy, decoders, encoders, jpeg, ofa; } ComputeInfo;

int nvmlGpuInstanceGetComputeInstanceProfileInfo(Device handle, uint index, uint engine_profile, ComputeInfo *out) {
    View view;
    uint slices, instances;
    int code = look_up_compute(handle, index, engine_profile, &view, &slices, &instances);
    if (code != OK) return code;
    const Profile *profile = profile_of(&view.gpu, 1, view.instance.profile);
    *out = (ComputeInfo){.id = index, .slices = slices, .instances = instances,
                         .sm = (uint)profile->sm * slices / (uint)profile->slices};
    return OK;
}

typedef struct {
    uint version;
    ComputeInfo info;
    char name[96];
} ComputeInfoV2;

int nvmlGpuInstanceGetComputeInstanceProfileInfoV(Device handle, uint index, uint engine_profile, ComputeInfoV2 *out) {
    if (out->version != (2u << 24 | sizeof *out)) return ARGUMENT_VERSION_MISMATCH;
    return nvmlGpuInstanceGetComputeInstanceProfileInfo(handle, index, engine_profile, &out->info);
}

static int is_whole_profile(const View *view, uint index) {
    uint slices, instances;
    const Profile *profile = profile_of(&view->gpu, 1, view->instance.profile);
    return compute_profile(profile, index, &slices, &instances) == OK && slices == (uint)profile->slices;
}

int nvmlGpuInstanceCreateComputeInstance(Device handle, uint profile_id, Device *out) {
    PLANNED;
    Gpu *gpu;
    Instance *instance = NULL;
    int code = begin_change(handle, A_GPU_INSTANCE, &gpu, &instance);
    if (code != OK) return code;
    View view = {.gpu = *gpu, .instance = *instance};
    if (!is_whole_profile(&view, profile_id)) return end_change(NOT_SUPPORTED);
    if (instance->complete) return end_change(INSUFFICIENT_RESOURCES);
    instance->complete = 1;
    *out = token_for(instance->uuid, A_COMPUTE_INSTANCE);
    return end_change(*out ? OK : UNKNOWN);
}

int nvmlGpuInstanceGetComputeInstances(Device handle, uint profile_id, Device *out, uint *count) {
    View view;
    int code = look(handle, &view);
    if (code != OK) return code;
    if (((Token *)handle)->kind != A_GPU_INSTANCE) return INVALID_ARGUMENT;
    *count = 0;
    if (!view.instance.complete || !is_whole_profile(&view, profile_id)) return OK;
    pthread_mutex_lock(&state_lock);
    out[(*count)++] = token_for(view.instance.uuid, A_COMPUTE_INSTANCE);
    pthread_mutex_unlock(&state_lock);
    return OK;
}

int nvmlComputeInstanceDestroy(Device handle) {
    PLANNED;
    Gpu *gpu;
    Instance *instance = NULL;
    int code = begin_change(handle, A_COMPUTE_INSTANCE, &gpu, &instance);
    if (code != OK) return code;
    if (!instance) return end_change(INVALID_ARGUMENT);
    if (is_used(gpu, instance)) return end_change(IN_USE);
    instance->complete = 0;
    return end_change(OK);
}

#endif
