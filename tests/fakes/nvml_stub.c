/* A small libnvidia-ml.so.1 for tests: reads its GPUs from a text file (nvml_stub_state.h), calls no driver.
 *
 * What is not written here is absent, so that callers see FUNCTION_NOT_FOUND; what a GPU's state does not tell
 * answers NOT_SUPPORTED. No call makes up a value.
 *
 * Faults of a GPU: `hang` (every reading blocks until the fault is taken away; identity still answers, as drivers
 * cache it), `lost` (also the handle look-up says GPU_IS_LOST), `needs-reset`, `no-permission` (readings only).
 */
#include "nvml_stub_state.h"
#include "nvml_stub_clients.h"

typedef void *Device;
typedef unsigned int uint;
typedef unsigned long long ull;

static const ull MIB = 1ULL << 20;
static const ull VALUE_NOT_AVAILABLE = ~0ULL;
static int init_count;
static pid_t init_pid;

static int ready(void) { return init_count > 0 && init_pid == getpid(); }

/* ---- start and system ---- */

int nvmlInitWithFlags(uint flags) {
    (void)flags;
    pthread_mutex_lock(&state_lock);
    int code = refresh() ? state.init_code : DRIVER_NOT_LOADED;
    if (code == OK) {
        if (init_pid != getpid()) init_count = 0;
        init_pid = getpid();
        if (init_count++ == 0) become_client();
    }
    pthread_mutex_unlock(&state_lock);
    return code;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    pthread_mutex_lock(&state_lock);
    int code = ready() ? OK : UNINITIALIZED;
    if (code == OK && --init_count == 0) be_no_client();
    pthread_mutex_unlock(&state_lock);
    return code;
}

const char *nvmlErrorString(int code) {
    switch (code) {
    case OK: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    case RESET_REQUIRED: return "GPU requires reset";
    case IN_USE: return "In use by another client";
    case INSUFFICIENT_RESOURCES: return "Insufficient Resources";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

static int copy_text(char *out, uint length, const char *text) {
    if (!text[0]) return NOT_SUPPORTED;
    if (strlen(text) >= length) return INSUFFICIENT_SIZE;
    strcpy(out, text);
    return OK;
}

/* Take the lock with a fresh state; OK, or the code to answer. The caller unlocks only after OK. */
static int lock_state(void) {
    if (!ready()) return UNINITIALIZED;
    pthread_mutex_lock(&state_lock);
    if (refresh()) return OK;
    pthread_mutex_unlock(&state_lock);
    return UNKNOWN;
}

static int system_text(char *out, uint length, const char *text) {
    int code = lock_state();
    if (code != OK) return code;
    code = copy_text(out, length, text);
    pthread_mutex_unlock(&state_lock);
    return code;
}

int nvmlSystemGetDriverVersion(char *out, uint length) { return system_text(out, length, state.driver); }
int nvmlSystemGetNVMLVersion(char *out, uint length) { return system_text(out, length, state.library); }

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    int code = lock_state();
    if (code != OK) return code;
    *version = state.cuda;
    pthread_mutex_unlock(&state_lock);
    return *version ? OK : NOT_SUPPORTED;
}

int nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }

/* ---- from a handle to a copy of its GPU ---- */

typedef struct {
    Gpu gpu;
    Instance instance; /* empty uuid on a whole GPU */
} View;

static int find_view(const Token *token, View *view) {
    for (int g = 0; g < state.gpus; g++) {
        Gpu *gpu = &state.gpu[g];
        view->gpu = *gpu;
        if (token->kind == A_GPU && !strcmp(gpu->uuid, token->uuid)) return OK;
        for (int i = 0; token->kind != A_GPU && i < gpu->instances; i++) {
            view->instance = gpu->instance[i];
            if (!view->instance.complete && token->kind != A_GPU_INSTANCE) continue;
            if (!strcmp(view->instance.uuid, token->uuid)) return OK;
        }
    }
    return token->kind == A_GPU ? GPU_IS_LOST : INVALID_ARGUMENT;
}

/* What any handle answers at once: identity, which drivers cache. */
static int identify(const void *handle, View *view) {
    memset(view, 0, sizeof *view);
    int code = lock_state();
    if (code != OK) return code;
    code = is_token(handle) ? find_view(handle, view) : INVALID_ARGUMENT;
    pthread_mutex_unlock(&state_lock);
    if (code == OK && !strcmp(view->gpu.fault, "lost")) return GPU_IS_LOST;
    return code;
}

/* What a reading goes through: delay, hang, and the codes of a sick GPU. */
static int look(const void *handle, View *view) {
    int code = identify(handle, view);
    while (code == OK && !strcmp(view->gpu.fault, "hang")) {
        usleep(20000);
        code = identify(handle, view);
    }
    if (code != OK) return code;
    if (view->gpu.delay_us) usleep((useconds_t)view->gpu.delay_us);
    if (!strcmp(view->gpu.fault, "needs-reset")) return RESET_REQUIRED;
    if (!strcmp(view->gpu.fault, "no-permission")) return NO_PERMISSION;
    return OK;
}

/* A reading that exists on a whole GPU only. */
static int look_at_gpu(const void *handle, View *view) {
    int code = look(handle, view);
    return code == OK && view->instance.uuid[0] ? NOT_SUPPORTED : code;
}

static int tell(uint *out, long long value) {
    if (value < 0) return NOT_SUPPORTED;
    *out = (uint)value;
    return OK;
}

/* ---- inventory ---- */

int nvmlDeviceGetCount_v2(uint *count) {
    int code = lock_state();
    if (code != OK) return code;
    *count = (uint)state.gpus;
    pthread_mutex_unlock(&state_lock);
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(uint index, Device *handle) {
    int code = lock_state();
    if (code != OK) return code;
    if (index >= (uint)state.gpus) code = INVALID_ARGUMENT;
    else if (!strcmp(state.gpu[index].fault, "lost")) code = GPU_IS_LOST;
    else if (!(*handle = token_for(state.gpu[index].uuid, A_GPU))) code = UNKNOWN;
    pthread_mutex_unlock(&state_lock);
    return code;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device *handle) {
    int code = lock_state();
    if (code != OK) return code;
    code = NOT_FOUND;
    for (int g = 0; g < state.gpus; g++) {
        int found = !strcmp(state.gpu[g].uuid, uuid), is_mig = 0;
        for (int i = 0; !found && i < state.gpu[g].instances; i++)
            found = is_mig = state.gpu[g].instance[i].complete && !strcmp(state.gpu[g].instance[i].uuid, uuid);
        if (!found) continue;
        code = !strcmp(state.gpu[g].fault, "lost") ? GPU_IS_LOST : (*handle = token_for(uuid, is_mig ? A_MIG_DEVICE : A_GPU)) ? OK : UNKNOWN;
    }
    pthread_mutex_unlock(&state_lock);
    return code;
}

static const Profile *profile_of(const Gpu *gpu, int by_id, int number) {
    for (int i = 0; i < gpu->profiles; i++)
        if ((by_id ? gpu->profile[i].id : gpu->profile[i].index) == number) return &gpu->profile[i];
    return NULL;
}

int nvmlDeviceGetName(Device handle, char *out, uint length) {
    View view;
    int code = identify(handle, &view);
    if (code != OK) return code;
    const Profile *profile = view.instance.uuid[0] ? profile_of(&view.gpu, 1, view.instance.profile) : NULL;
    char name[160];
    snprintf(name, sizeof name, "%s%s%s", view.gpu.name, profile ? " MIG " : "", profile ? profile->name : "");
    return copy_text(out, length, name);
}

int nvmlDeviceGetUUID(Device handle, char *out, uint length) {
    View view;
    int code = identify(handle, &view);
    return code == OK ? copy_text(out, length, view.instance.uuid[0] ? view.instance.uuid : view.gpu.uuid) : code;
}

int nvmlDeviceGetIndex(Device handle, uint *index) {
    View view;
    int code = identify(handle, &view);
    return code == OK ? tell(index, view.gpu.index) : code;
}

int nvmlDeviceGetMinorNumber(Device handle, uint *minor) {
    View view;
    int code = identify(handle, &view);
    if (code == OK && view.instance.uuid[0]) return NOT_SUPPORTED;
    return code == OK ? tell(minor, view.gpu.minor) : code;
}

typedef struct {
    char bus_id_legacy[16];
    uint domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} PciInfo;

int nvmlDeviceGetPciInfo_v3(Device handle, PciInfo *pci) {
    View view;
    int code = identify(handle, &view);
    if (code != OK) return code;
    memset(pci, 0, sizeof *pci);
    pci->bus = (uint)view.gpu.index + 1;
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", pci->bus);
    if (view.gpu.sensors.pci_bus_id[0]) snprintf(pci->bus_id, sizeof pci->bus_id, "%s", view.gpu.sensors.pci_bus_id);
    snprintf(pci->bus_id_legacy, sizeof pci->bus_id_legacy, "%.12s", pci->bus_id + 4);
    return OK;
}

int nvmlDeviceGetArchitecture(Device handle, uint *architecture) {
    View view;
    int code = identify(handle, &view);
    return code == OK ? tell(architecture, view.gpu.architecture) : code;
}

/* ---- readings ---- */

typedef struct { ull total, free, used; } Memory;
typedef struct { uint version; ull total, reserved, free, used; } MemoryV2;

int nvmlDeviceGetMemoryInfo(Device handle, Memory *memory) {
    View view;
    int code = look(handle, &view);
    if (code != OK) return code;
    long long total = view.instance.uuid[0] ? view.instance.total_mib : view.gpu.total_mib;
    long long used = view.instance.uuid[0] ? view.instance.used_mib : view.gpu.used_mib;
    if (total < 0 || used < 0) return NOT_SUPPORTED;
    *memory = (Memory){(ull)total * MIB, (ull)(total > used ? total - used : 0) * MIB, (ull)used * MIB};
    return OK;
}

int nvmlDeviceGetMemoryInfo_v2(Device handle, MemoryV2 *memory) {
    if (memory->version != (2u << 24 | sizeof *memory)) return ARGUMENT_VERSION_MISMATCH;
    Memory plain;
    int code = nvmlDeviceGetMemoryInfo(handle, &plain);
    if (code == OK) *memory = (MemoryV2){memory->version, plain.total, 0, plain.free, plain.used};
    return code;
}

int nvmlDeviceGetUtilizationRates(Device handle, uint rates[2]) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    if (view.gpu.mig == 1 || view.gpu.utilization < 0 || view.gpu.memory_utilization < 0) return NOT_SUPPORTED;
    rates[0] = (uint)view.gpu.utilization;
    rates[1] = (uint)view.gpu.memory_utilization;
    return OK;
}

int nvmlDeviceGetPowerUsage(Device handle, uint *milliwatts) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    long long limit = view.gpu.power_limit_mw;
    return tell(milliwatts, limit >= 0 && limit < view.gpu.power_mw ? limit : view.gpu.power_mw);
}

int nvmlDeviceGetPowerManagementLimit(Device handle, uint *milliwatts) {
    View view;
    int code = look_at_gpu(handle, &view);
    return code == OK ? tell(milliwatts, view.gpu.power_limit_mw) : code;
}

int nvmlDeviceGetEnforcedPowerLimit(Device handle, uint *milliwatts) {
    return nvmlDeviceGetPowerManagementLimit(handle, milliwatts);
}

int nvmlDeviceGetTemperature(Device handle, uint sensor, uint *celsius) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code == OK && sensor != 0) return NOT_SUPPORTED;
    return code == OK ? tell(celsius, view.gpu.temperature) : code;
}

typedef struct { uint version, sensor; int celsius; } TemperatureV1;

int nvmlDeviceGetTemperatureV(Device handle, TemperatureV1 *reading) {
    if (reading->version != (1u << 24 | sizeof *reading)) return ARGUMENT_VERSION_MISMATCH;
    uint celsius;
    int code = nvmlDeviceGetTemperature(handle, reading->sensor, &celsius);
    if (code == OK) reading->celsius = (int)celsius;
    return code;
}

int nvmlDeviceGetClockInfo(Device handle, uint clock, uint *mhz) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code == OK && clock == 2) return tell(mhz, view.gpu.sensors.memory_clock);
    if (code == OK && clock > 1) return NOT_SUPPORTED; /* 0 graphics and 1 SM tick together */
    return code == OK ? tell(mhz, view.gpu.sm_clock) : code;
}

#include "nvml_stub_mig.h"
#include "nvml_stub_change.h"
#include "nvml_stub_settings.h"
#include "nvml_stub_processes.h"
#include "nvml_stub_sensors.h"
#include "nvml_stub_links.h"
#include "nvml_stub_gpm.h"
#include "nvml_stub_log.h"

/* ---- known to drivers and asked for by monitors, but no part of this model ---- */

#define NOT_MODELLED(name)                     \
    int name(Device handle) {                  \
        View view;                             \
        int code = look(handle, &view);        \
        return code == OK ? NOT_SUPPORTED : code; \
    }

NOT_MODELLED(nvmlDeviceGetDisplayActive)
NOT_MODELLED(nvmlDeviceGetDriverModel)
