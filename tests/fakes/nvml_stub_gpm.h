/* GPM: samples that a program is allotted, fills, compares and gives back. */
#ifndef GPUALLOC_NVML_STUB_GPM_H
#define GPUALLOC_NVML_STUB_GPM_H

#include <time.h>

typedef struct {
    uint version, supported;
} GpmSupport;

typedef struct {
    char uuid[64]; /* empty: not filled yet */
    int place;     /* in Sensors.activity */
    double at_s, percent[METRICS];
} Sample;

typedef struct {
    uint id;
    int code;
    double value;
    const char *texts[3];
} Metric;

typedef struct {
    uint version, count;
    const Sample *first, *second;
    Metric metric[];
} Metrics;

static const uint METRIC_IDS[METRICS] = {2, 3, 5, 10};

int nvmlGpmQueryDeviceSupport(Device handle, GpmSupport *support) {
    if (support->version != 1) return ARGUMENT_VERSION_MISMATCH;
    View view;
    int code = look_at_gpu(handle, &view);
    support->supported = 0;
    for (int i = 0; code == OK && i < ACTIVITIES; i++)
        if (view.gpu.sensors.activity[i][0] >= 0) support->supported = 1;
    return code;
}

int nvmlGpmSampleAlloc(Sample **sample) {
    *sample = calloc(1, sizeof **sample);
    return *sample ? OK : UNKNOWN;
}

int nvmlGpmSampleFree(Sample *sample) {
    free(sample);
    return OK;
}

static int fill_sample(Device handle, int place, Sample *sample) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    if (place < 0 || place >= ACTIVITIES || view.gpu.sensors.activity[place][0] < 0) return NOT_SUPPORTED;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(sample->uuid, sizeof sample->uuid, "%s", view.gpu.uuid);
    sample->place = place;
    sample->at_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    memcpy(sample->percent, view.gpu.sensors.activity[place], sizeof sample->percent);
    return OK;
}

int nvmlGpmSampleGet(Device handle, Sample *sample) { return fill_sample(handle, WHOLE, sample); }

int nvmlGpmMigSampleGet(Device handle, uint gi, Sample *sample) { return fill_sample(handle, (int)gi + 1, sample); }

int nvmlGpmMetricsGet(Metrics *metrics) {
    if (metrics->version != 1) return ARGUMENT_VERSION_MISMATCH;
    const Sample *first = metrics->first, *second = metrics->second;
    if (!first || !second || !first->uuid[0] || strcmp(first->uuid, second->uuid) || first->place != second->place ||
        second->at_s - first->at_s < 0.1)
        return INVALID_ARGUMENT;
    for (uint i = 0; i < metrics->count; i++) {
        Metric *metric = &metrics->metric[i];
        metric->code = NOT_SUPPORTED;
        for (int known = 0; known < METRICS; known++) {
            if (metric->id != METRIC_IDS[known]) continue;
            metric->code = OK;
            metric->value = second->percent[known];
        }
    }
    return OK;
}

#endif
