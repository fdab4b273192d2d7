/* Power limit, locked clocks, compute mode and persistence: read and set. */
#ifndef GPUALLOC_NVML_STUB_SETTINGS_H
#define GPUALLOC_NVML_STUB_SETTINGS_H

int nvmlDeviceGetPowerManagementLimitConstraints(Device handle, uint *low, uint *high) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code == OK) code = tell(low, view.gpu.power_min_mw);
    return code == OK ? tell(high, view.gpu.power_max_mw) : code;
}

int nvmlDeviceGetPowerManagementDefaultLimit(Device handle, uint *milliwatts) {
    View view;
    int code = look_at_gpu(handle, &view);
    return code == OK ? tell(milliwatts, view.gpu.power_default_mw) : code;
}

int nvmlDeviceSetPowerManagementLimit(Device handle, uint milliwatts) {
    PLANNED;
    Gpu *gpu;
    int code = begin_change(handle, A_GPU, &gpu, NULL);
    if (code != OK) return code;
    if (gpu->power_min_mw < 0) return end_change(NOT_SUPPORTED);
    if (milliwatts < gpu->power_min_mw || milliwatts > gpu->power_max_mw) return end_change(INVALID_ARGUMENT);
    gpu->power_limit_mw = milliwatts;
    return end_change(OK);
}

static int lock_clocks(Device handle, uint low, uint high) {
    Gpu *gpu;
    int code = begin_change(handle, A_GPU, &gpu, NULL);
    if (code != OK) return code;
    if (low > high) return end_change(INVALID_ARGUMENT);
    gpu->locked_low = (int)low;
    gpu->locked_high = (int)high;
    return end_change(OK);
}

int nvmlDeviceSetGpuLockedClocks(Device handle, uint low, uint high) {
    PLANNED;
    return lock_clocks(handle, low, high);
}

int nvmlDeviceResetGpuLockedClocks(Device handle) {
    PLANNED;
    return lock_clocks(handle, 0, 0);
}

int nvmlDeviceGetComputeMode(Device handle, uint *mode) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code == OK && view.gpu.mig == 1) return NOT_SUPPORTED;
    return code == OK ? tell(mode, view.gpu.compute_mode) : code;
}

int nvmlDeviceSetComputeMode(Device handle, uint mode) {
    PLANNED;
    Gpu *gpu;
    int code = begin_change(handle, A_GPU, &gpu, NULL);
    if (code != OK) return code;
    if (mode > 3 || mode == 1) return end_change(INVALID_ARGUMENT);
    if (gpu->mig == 1) return end_change(NOT_SUPPORTED);
    gpu->compute_mode = (int)mode;
    return end_change(OK);
}

int nvmlDeviceGetPersistenceMode(Device handle, uint *on) {
    View view;
    int code = look_at_gpu(handle, &view);
    return code == OK ? tell(on, view.gpu.persistence) : code;
}

int nvmlDeviceSetPersistenceMode(Device handle, uint on) {
    PLANNED;
    Gpu *gpu;
    int code = begin_change(handle, A_GPU, &gpu, NULL);
    if (code != OK) return code;
    if (on > 1) return end_change(INVALID_ARGUMENT);
    gpu->persistence = (int)on;
    return end_change(OK);
}

#endif
