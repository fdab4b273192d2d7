/* The calls of nvml_stub.c about sensors, counters and errors of a whole GPU. */
#ifndef GPUALLOC_NVML_STUB_SENSORS_H
#define GPUALLOC_NVML_STUB_SENSORS_H

static int tell_long(ull *out, long long value) {
    if (value < 0) return NOT_SUPPORTED;
    *out = (ull)value;
    return OK;
}

#define TELLS(function, field)                                         \
    int function(Device handle, uint *out) {                           \
        View view;                                                     \
        int code = look_at_gpu(handle, &view);                         \
        return code == OK ? tell(out, view.gpu.sensors.field) : code;  \
    }

TELLS(nvmlDeviceGetFanSpeed, fan)
TELLS(nvmlDeviceGetPerformanceState, performance_state)
TELLS(nvmlDeviceGetCurrPcieLinkGeneration, pcie_link[0])
TELLS(nvmlDeviceGetCurrPcieLinkWidth, pcie_link[1])
TELLS(nvmlDeviceGetMaxPcieLinkGeneration, pcie_link[2])
TELLS(nvmlDeviceGetMaxPcieLinkWidth, pcie_link[3])
TELLS(nvmlDeviceGetPcieReplayCounter, pcie_replays)

#define TELLS_LONG(function, field)                                         \
    int function(Device handle, ull *out) {                                 \
        View view;                                                          \
        int code = look_at_gpu(handle, &view);                              \
        return code == OK ? tell_long(out, view.gpu.sensors.field) : code;  \
    }

TELLS_LONG(nvmlDeviceGetTotalEnergyConsumption, energy_mj)
TELLS_LONG(nvmlDeviceGetCurrentClocksEventReasons, throttle)
TELLS_LONG(nvmlDeviceGetCurrentClocksThrottleReasons, throttle)

#define TELLS_TEXT(function, field)                                                  \
    int function(Device handle, char *out, uint length) {                            \
        View view;                                                                   \
        int code = look_at_gpu(handle, &view);                                       \
        return code == OK ? copy_text(out, length, view.gpu.sensors.field) : code;   \
    }

TELLS_TEXT(nvmlDeviceGetSerial, serial)
TELLS_TEXT(nvmlDeviceGetVbiosVersion, vbios)
TELLS_TEXT(nvmlDeviceGetInforomImageVersion, inforom)

static int engine_use(Device handle, int encoder, uint *out, uint *period_us) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    if (view.gpu.mig == 1) return NOT_SUPPORTED;
    *period_us = 167000;
    return tell(out, encoder ? view.gpu.sensors.encoder : view.gpu.sensors.decoder);
}

int nvmlDeviceGetEncoderUtilization(Device handle, uint *out, uint *period_us) {
    return engine_use(handle, 1, out, period_us);
}

int nvmlDeviceGetDecoderUtilization(Device handle, uint *out, uint *period_us) {
    return engine_use(handle, 0, out, period_us);
}

int nvmlDeviceGetEccMode(Device handle, uint *current, uint *pending) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code == OK) code = tell(current, view.gpu.sensors.ecc_modes[0]);
    return code == OK ? tell(pending, view.gpu.sensors.ecc_modes[1]) : code;
}

int nvmlDeviceGetTotalEccErrors(Device handle, uint kind, uint counter, ull *out) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code == OK && (kind > 1 || counter > 1)) return INVALID_ARGUMENT;
    return code == OK ? tell_long(out, view.gpu.sensors.ecc_totals[2 * counter + kind]) : code;
}

int nvmlDeviceGetRemappedRows(Device handle, uint *corrected, uint *uncorrected, uint *pending, uint *failed) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code == OK && view.gpu.mig == 1) return NOT_SUPPORTED;
    uint *out[4] = {corrected, uncorrected, pending, failed};
    for (int i = 0; code == OK && i < 4; i++) code = tell(out[i], view.gpu.sensors.remapped[i]);
    return code;
}

int nvmlDeviceGetPcieThroughput(Device handle, uint counter, uint *out) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code == OK && counter > 1) return INVALID_ARGUMENT;
    return code == OK ? tell(out, view.gpu.sensors.pcie_kb[counter]) : code;
}

/* ---- many at once ---- */

typedef struct {
    uint field, scope;
    long long at, latency;
    uint type;
    int code;
    union {
        ull value;
        double number;
    };
} FieldValue;

enum { UNSIGNED = 1, UNSIGNED_LONG_LONG = 3 };
static const uint ALL_LINKS = ~0u;

static long long field_of_link(const Sensors *sensors, uint field, uint link) {
    if (link >= (uint)sensors->links) return -1;
    switch (field) {
    case 161: return sensors->link[link].replays;
    case 162: return sensors->link[link].recoveries;
    default: return sensors->link[link].crc;
    }
}

static long long field_of(const Gpu *gpu, const FieldValue *asked) {
    const Sensors *s = &gpu->sensors;
    uint field = asked->field;
    if (field == 1 || field == 2) return s->ecc_modes[field - 1];
    if (field >= 3 && field <= 6) return s->ecc_totals[field - 3];
    if (field == 82) return s->memory_temperature;
    if (field == 83) return s->energy_mj;
    if (field == 138 || field == 139) return asked->scope == ALL_LINKS ? s->nvlink_kib[field - 138] : -1;
    if (field >= 142 && field <= 145) return gpu->mig == 1 ? -1 : s->remapped[field - 142];
    if (field >= 161 && field <= 163) return field_of_link(s, field, asked->scope);
    return -1;
}

int nvmlDeviceGetFieldValues(Device handle, int count, FieldValue *values) {
    View view;
    int code = look_at_gpu(handle, &view);
    for (int i = 0; code == OK && i < count; i++) {
        long long value = field_of(&view.gpu, &values[i]);
        uint field = values[i].field;
        values[i].type = field <= 2 || field == 82 || (field >= 142 && field <= 145) ? UNSIGNED : UNSIGNED_LONG_LONG;
        values[i].code = value < 0 ? NOT_SUPPORTED : OK;
        values[i].value = value < 0 ? 0 : (ull)value;
    }
    return code;
}

#endif
