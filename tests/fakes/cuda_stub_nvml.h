/* Keeps the NVML library of the tests (nvml_stub.c) in step: its state file is written anew when a process leaves a GPU
 * or comes back to one. Without GPUALLOC_FAKE_NVML there is nothing to keep. */
#ifndef GPUALLOC_CUDA_STUB_NVML_H
#define GPUALLOC_CUDA_STUB_NVML_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void nvml_line(FILE *out, const char *line, int here, int pid, int change_mib) {
    long long total, used;
    int who;
    if (here && sscanf(line, "memory %lld %lld", &total, &used) == 2 && used >= 0)
        fprintf(out, "memory %lld %lld\n", total, used + change_mib);
    else if (!(here && sscanf(line, "process %d", &who) == 1 && who == pid)) fputs(line, out);
}

/* Copy the file without the process on that GPU, or with it when it comes back. */
static void nvml_rewrite(const char *uuid, int pid, int change_mib, int back) {
    const char *path = getenv("GPUALLOC_FAKE_NVML");
    FILE *in = path ? fopen(path, "re") : NULL;
    if (!in) return;
    char scratch[4096], line[512], gpu[64];
    snprintf(scratch, sizeof scratch, "%s.cuda", path);
    FILE *out = fopen(scratch, "we");
    if (!out) abort();
    int here = 0;
    while (fgets(line, sizeof line, in)) {
        if (sscanf(line, "gpu %63s", gpu) != 1) {
            nvml_line(out, line, here, pid, change_mib);
            continue;
        }
        here = !strcmp(gpu, uuid);
        fputs(line, out);
        if (here && back) fprintf(out, "process %d %d 4294967295 4294967295\n", pid, change_mib);
    }
    fclose(in);
    fclose(out);
    if (rename(scratch, path)) abort();
}

static void nvml_forget(const char *uuid, int pid, int mib) { nvml_rewrite(uuid, pid, -mib, 0); }

static void nvml_remember(const char *uuid, int pid, int mib) { nvml_rewrite(uuid, pid, mib, 1); }

#endif
