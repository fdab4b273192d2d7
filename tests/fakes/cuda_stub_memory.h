/* Memory of one GPU, which is memory of this process: what a check of it needs. CUDA_VISIBLE_DEVICES names the GPU. */
#ifndef GPUALLOC_CUDA_STUB_MEMORY_H
#define GPUALLOC_CUDA_STUB_MEMORY_H

#include <stdint.h>

/* However much the GPU has: it is memory of the machine that runs the tests. */
enum { MOST_TAKEN = 192 << 20 };

static Device *visible;
static size_t taken;

/* Whether the call goes wrong as the file of faults says; the pid is that of the caller. */
static int goes_wrong(const char *function, int *code, int *flip) {
    note("begun", function, getpid(), -1);
    Fault fault = fault_for(function, getpid());
    if (is(&fault, "hang"))
        for (;;) pause();
    if (is(&fault, "die-before")) kill(getpid(), SIGKILL);
    *code = fault.code;
    *flip = is(&fault, "flip");
    return is(&fault, "return");
}

int cuDeviceGet(int *device, int ordinal) {
    const char *wanted = getenv("CUDA_VISIBLE_DEVICES");
    if (!begun_cuda) return UNINITIALIZED;
    visible = wanted ? device_of(wanted) : &devices[0];
    if (ordinal || !visible) return 100;
    *device = 0;
    return OK;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    if (device || !visible) return INVALID;
    *context = visible;
    return OK;
}

int cuCtxSetCurrent(void *context) { return context == visible ? OK : 201; }

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    *free_bytes = *total = (size_t)visible->free_mib << 20;
    return OK;
}

int cuMemAllocHost_v2(void **address, size_t size) { return (*address = malloc(size)) ? OK : NO_MEMORY; }

int cuMemAlloc_v2(uint64_t *address, size_t size) {
    int code, flip;
    if (goes_wrong("memory-take", &code, &flip)) return code;
    if ((taken += size) > MOST_TAKEN) return NO_MEMORY;
    void *memory = malloc(size);
    *address = (uint64_t)(uintptr_t)memory;
    return memory ? OK : NO_MEMORY;
}

int cuMemsetD32_v2(uint64_t address, unsigned word, size_t count) {
    uint32_t *words = (uint32_t *)(uintptr_t)address;
    for (size_t i = 0; i < count; i++) words[i] = word;
    return OK;
}

int cuMemcpyHtoD_v2(uint64_t address, const void *from, size_t size) {
    memcpy((void *)(uintptr_t)address, from, size);
    return OK;
}

int cuMemcpyDtoH_v2(void *to, uint64_t address, size_t size) {
    int code, flip;
    if (goes_wrong("memory-read", &code, &flip)) return code;
    memcpy(to, (const void *)(uintptr_t)address, size);
    if (flip) ((uint32_t *)to)[size / 4 - 3] ^= 1u << 17;
    return OK;
}

#endif
