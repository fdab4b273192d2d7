/* The MIG calls of nvml_stub.c that only read. */
#ifndef GPUALLOC_NVML_STUB_MIG_H
#define GPUALLOC_NVML_STUB_MIG_H

int nvmlDeviceGetMigMode(Device handle, uint *current, uint *pending) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code == OK) code = tell(current, view.gpu.mig);
    return code == OK ? tell(pending, view.gpu.mig_pending) : code;
}

int nvmlDeviceGetMaxMigDeviceCount(Device handle, uint *count) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code == OK) *count = (uint)view.gpu.max_instances;
    return code;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device handle, uint index, Device *out) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    if (index >= (uint)view.gpu.max_instances) return INVALID_ARGUMENT;
    int found = -1;
    for (int i = 0, seen = 0; i < view.gpu.instances && found < 0; i++)
        if (view.gpu.instance[i].complete && seen++ == (int)index) found = i;
    if (found < 0) return NOT_FOUND;
    pthread_mutex_lock(&state_lock);
    *out = token_for(view.gpu.instance[found].uuid, A_MIG_DEVICE);
    pthread_mutex_unlock(&state_lock);
    return *out ? OK : UNKNOWN;
}

int nvmlDeviceIsMigDeviceHandle(Device handle, uint *is_mig) {
    View view;
    int code = identify(handle, &view);
    if (code == OK) *is_mig = view.instance.uuid[0] != 0;
    return code;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device handle, Device *out) {
    View view;
    int code = identify(handle, &view);
    if (code != OK) return code;
    if (!view.instance.uuid[0]) return INVALID_ARGUMENT;
    pthread_mutex_lock(&state_lock);
    *out = token_for(view.gpu.uuid, A_GPU);
    pthread_mutex_unlock(&state_lock);
    return *out ? OK : UNKNOWN;
}

static int instance_number(Device handle, uint *out, int which_ci) {
    View view;
    int code = look(handle, &view);
    if (code != OK) return code;
    if (!view.instance.uuid[0]) return NOT_SUPPORTED;
    *out = (uint)(which_ci ? view.instance.ci : view.instance.gi);
    return OK;
}

int nvmlDeviceGetGpuInstanceId(Device handle, uint *id) { return instance_number(handle, id, 0); }
int nvmlDeviceGetComputeInstanceId(Device handle, uint *id) { return instance_number(handle, id, 1); }

/* One struct carries all numbers of a profile, so one that is not known makes the whole call unsupported. */
static int complete(const Profile *p) {
    return p && p->sm >= 0 && p->memory_mib >= 0 && p->copy >= 0 && p->decoders >= 0 && p->encoders >= 0 &&
           p->jpeg >= 0 && p->ofa >= 0;
}

typedef struct {
    uint sm, copy, decoders, encoders, jpeg, ofa, gi_slices, ci_slices;
    ull memory_mib;
} Attributes;

int nvmlDeviceGetAttributes_v2(Device handle, Attributes *out) {
    View view;
    int code = look(handle, &view);
    if (code != OK) return code;
    const Profile *p = view.instance.uuid[0] ? profile_of(&view.gpu, 1, view.instance.profile) : NULL;
    if (!complete(p)) return NOT_SUPPORTED;
    *out = (Attributes){(uint)p->sm,     (uint)p->copy, (uint)p->decoders, (uint)p->encoders,           (uint)p->jpeg,
                        (uint)p->ofa,    (uint)p->slices, (uint)p->slices, (ull)view.instance.total_mib};
    return OK;
}

enum { PROFILE_ENUM_END = 18 };

static int look_up_profile(Device handle, uint index, Profile *out) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    if (index >= PROFILE_ENUM_END) return INVALID_ARGUMENT;
    const Profile *p = profile_of(&view.gpu, 0, (int)index);
    if (!complete(p)) return NOT_SUPPORTED;
    *out = *p;
    return OK;
}

typedef struct {
    uint id, p2p, slices, instances, sm, copy, decoders, encoders, jpeg, ofa;
    ull memory_mib;
} ProfileInfo;

int nvmlDeviceGetGpuInstanceProfileInfo(Device handle, uint index, ProfileInfo *out) {
    Profile p;
    int code = look_up_profile(handle, index, &p);
    if (code == OK)
        *out = (ProfileInfo){(uint)p.id,       0,                (uint)p.slices, (uint)p.instances, (uint)p.sm,        (uint)p.copy,
                             (uint)p.decoders, (uint)p.encoders, (uint)p.jpeg,   (uint)p.ofa,       (ull)p.memory_mib};
    return code;
}

typedef struct {
    uint version, id, p2p, slices, instances, sm, copy, decoders, encoders, jpeg, ofa;
    ull memory_mib;
    char name[96];
} ProfileInfoV2;

int nvmlDeviceGetGpuInstanceProfileInfoV(Device handle, uint index, ProfileInfoV2 *out) {
    if (out->version != (2u << 24 | sizeof *out)) return ARGUMENT_VERSION_MISMATCH;
    Profile p;
    int code = look_up_profile(handle, index, &p);
    if (code != OK) return code;
    *out = (ProfileInfoV2){.version = out->version, .id = (uint)p.id, .slices = (uint)p.slices,
                           .instances = (uint)p.instances, .sm = (uint)p.sm, .copy = (uint)p.copy,
                           .decoders = (uint)p.decoders, .encoders = (uint)p.encoders, .jpeg = (uint)p.jpeg,
                           .ofa = (uint)p.ofa, .memory_mib = (ull)p.memory_mib};
    snprintf(out->name, sizeof out->name, "MIG %s", p.name);
    return OK;
}

typedef struct { uint start, size; } Placement;

int nvmlDeviceGetGpuInstancePossiblePlacements_v2(Device handle, uint profile, Placement *out, uint *count) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    const Profile *p = profile_of(&view.gpu, 1, (int)profile);
    if (!p) return NOT_SUPPORTED;
    uint room = out ? *count : (uint)p->placements;
    *count = (uint)p->placements;
    if (room < *count) return INSUFFICIENT_SIZE;
    for (int i = 0; out && i < p->placements; i++) out[i] = (Placement){(uint)p->start[i], (uint)p->size[i]};
    return OK;
}

int nvmlDeviceGetGpuInstances(Device handle, uint profile, Device *out, uint *count) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    if (view.gpu.mig != 1) return NOT_SUPPORTED;
    if (!state.privileged) return NO_PERMISSION;
    *count = 0;
    pthread_mutex_lock(&state_lock);
    for (int i = 0; i < view.gpu.instances; i++)
        if (view.gpu.instance[i].profile == (int)profile)
            out[(*count)++] = token_for(view.gpu.instance[i].uuid, A_GPU_INSTANCE);
    pthread_mutex_unlock(&state_lock);
    return OK;
}

int nvmlDeviceGetGpuInstanceById(Device handle, uint id, Device *out) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    code = NOT_FOUND;
    pthread_mutex_lock(&state_lock);
    for (int i = 0; i < view.gpu.instances; i++)
        if (view.gpu.instance[i].gi == (int)id)
            code = (*out = token_for(view.gpu.instance[i].uuid, A_GPU_INSTANCE)) ? OK : UNKNOWN;
    pthread_mutex_unlock(&state_lock);
    return code;
}

typedef struct {
    Device device;
    uint id, profile;
    Placement placement;
} GpuInstanceInfo;

int nvmlGpuInstanceGetInfo(Device handle, GpuInstanceInfo *out) {
    View view;
    int code = look(handle, &view);
    if (code != OK) return code;
    if (!view.instance.uuid[0]) return INVALID_ARGUMENT;
    pthread_mutex_lock(&state_lock);
    Device parent = token_for(view.gpu.uuid, A_GPU);
    pthread_mutex_unlock(&state_lock);
    *out = (GpuInstanceInfo){parent, (uint)view.instance.gi, (uint)view.instance.profile,
                             {(uint)view.instance.start, (uint)view.instance.size}};
    return OK;
}

#endif
