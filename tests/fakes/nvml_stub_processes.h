/* The calls of nvml_stub.c that list processes and what they use. */
#ifndef GPUALLOC_NVML_STUB_PROCESSES_H
#define GPUALLOC_NVML_STUB_PROCESSES_H

typedef struct {
    uint pid;
    ull used;
    uint gi, ci;
} ProcessInfo;

/* What a few R535 drivers fill in for the same version. */
typedef struct {
    ProcessInfo plain;
    ull protected;
} LongProcessInfo;

static int list_processes(Device handle, uint *count, void *out, size_t size) {
    View view;
    int code = look(handle, &view);
    if (code != OK) return code;
    uint room = *count, found = 0;
    for (int i = 0; i < view.gpu.processes; i++) {
        Process *p = &view.gpu.process[i];
        if (view.instance.uuid[0] && p->gi != (uint)view.instance.gi) continue;
        if (out && found < room) {
            LongProcessInfo row = {{(uint)p->pid, p->used_mib < 0 ? VALUE_NOT_AVAILABLE : (ull)p->used_mib * MIB, p->gi,
                                    p->ci}, 0};
            memcpy((char *)out + found * size, &row, size);
        }
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device handle, uint *count, ProcessInfo *out) {
    return list_processes(handle, count, out, state.long_processes ? sizeof(LongProcessInfo) : sizeof(ProcessInfo));
}

int nvmlDeviceGetComputeRunningProcesses_v2(Device handle, uint *count, ProcessInfo *out) {
    return list_processes(handle, count, out, sizeof(ProcessInfo));
}

/* No simulated process draws: an empty list is the truth here. */
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device handle, uint *count, ProcessInfo *out) {
    (void)out;
    View view;
    int code = look(handle, &view);
    if (code == OK) *count = 0;
    return code;
}

int nvmlDeviceGetGraphicsRunningProcesses_v2(Device handle, uint *count, ProcessInfo *out) {
    return nvmlDeviceGetGraphicsRunningProcesses_v3(handle, count, out);
}

typedef struct {
    uint pid;
    ull at_us;
    uint sm, memory, encoder, decoder;
} UseInfo;

int nvmlDeviceGetProcessUtilization(Device handle, UseInfo *out, uint *count, ull seen_us) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    if (view.gpu.mig == 1) return NOT_SUPPORTED;
    uint room = *count, found = 0;
    for (int i = 0; i < view.gpu.sensors.uses; i++) {
        const Use *use = &view.gpu.sensors.use[i];
        if (use->at_us <= seen_us) continue;
        if (out && found < room) out[found] = (UseInfo){(uint)use->pid, use->at_us, (uint)use->percent, 0, 0, 0};
        found++;
    }
    if (!found) return NOT_FOUND;
    *count = found;
    return !out || found > room ? INSUFFICIENT_SIZE : OK;
}

#endif
