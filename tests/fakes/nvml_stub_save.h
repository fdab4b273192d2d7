/* Writes the state as nvml_stub_state.h reads it. */
#ifndef GPUALLOC_NVML_STUB_SAVE_H
#define GPUALLOC_NVML_STUB_SAVE_H

#include "nvml_stub_state.h"

static void write_mig(FILE *file, const Gpu *gpu) {
    fprintf(file, "mig %d %d %d\n", gpu->mig, gpu->mig_pending, gpu->max_instances);
    fprintf(file, "mode %d %d\n", gpu->needs_reset, gpu->passed_through);
    fprintf(file, "engines %d %d %d %d %d\n", gpu->engines[0], gpu->engines[1], gpu->engines[2], gpu->engines[3],
            gpu->engines[4]);
    for (int i = 0; i < gpu->gi_ids; i++) fprintf(file, "gi %d %s\n", gpu->gi_id[i], gpu->gi_uuid[gpu->gi_id[i]]);
    for (int i = 0; i < gpu->profiles; i++) {
        const Profile *p = &gpu->profile[i];
        fprintf(file, "profile %d %d %d %d %d %d %d %d %d %d %d %s\n", p->index, p->id, p->slices, p->instances, p->sm,
                p->memory_mib, p->copy, p->decoders, p->encoders, p->jpeg, p->ofa, p->name);
        for (int n = 0; n < p->placements; n++) fprintf(file, "placement %d %d\n", p->start[n], p->size[n]);
    }
    for (int i = 0; i < gpu->instances; i++) {
        const Instance *one = &gpu->instance[i];
        fprintf(file, "instance %s %d %d %d %d %d %lld %lld %d\n", one->uuid, one->gi, one->ci, one->profile, one->start,
                one->size, one->total_mib, one->used_mib, one->complete);
    }
}

static void write_gpu(FILE *file, const Gpu *gpu) {
    fprintf(file, "gpu %s\nname %s\nminor %d\n", gpu->uuid, gpu->name, gpu->minor);
    fprintf(file, "memory %lld %lld\n", gpu->total_mib, gpu->used_mib);
    fprintf(file, "utilization %d %d\n", gpu->utilization, gpu->memory_utilization);
    fprintf(file, "power_mw %lld %lld\n", gpu->power_mw, gpu->power_limit_mw);
    fprintf(file, "power_range_mw %lld %lld %lld\n", gpu->power_default_mw, gpu->power_min_mw, gpu->power_max_mw);
    fprintf(file, "temperature %d\nsm_clock %d\n", gpu->temperature, gpu->sm_clock);
    fprintf(file, "locked %d %d\n", gpu->locked_low, gpu->locked_high);
    fprintf(file, "architecture %d\n", gpu->architecture);
    fprintf(file, "compute_mode %d\npersistence %d\n", gpu->compute_mode, gpu->persistence);
    fprintf(file, "delay_us %d\nfault %s\n", gpu->delay_us, gpu->fault);
    write_mig(file, gpu);
    for (int i = 0; i < gpu->processes; i++) {
        const Process *p = &gpu->process[i];
        fprintf(file, "process %d %lld %u %u\n", p->pid, p->used_mib, p->gi, p->ci);
    }
    write_sensors(file, &gpu->sensors);
}

/* Replace the state file by the state in memory. Returns 0 when that fails. Call with the locks held. */
static int save_state(void) {
    const char *path = getenv("GPUALLOC_FAKE_NVML");
    char scratch[4200];
    snprintf(scratch, sizeof scratch, "%s.%d.new", path, (int)getpid());
    FILE *file = fopen(scratch, "we");
    if (!file) return 0;
    fprintf(file, "driver %s\nlibrary %s\ncuda %d\ninit_code %d\n", state.driver, state.library, state.cuda,
            state.init_code);
    fprintf(file, "privileged %d\nlong_processes %d\n", state.privileged, state.long_processes);
    for (int i = 0; i < state.plans; i++)
        fprintf(file, "plan %s %d %s\n", state.plan[i].function, state.plan[i].nth, state.plan[i].what);
    for (int g = 0; g < state.gpus; g++) write_gpu(file, &state.gpu[g]);
    return fclose(file) == 0 && rename(scratch, path) == 0 && refresh();
}

#endif
