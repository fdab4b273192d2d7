/* What nvtop 3.0 asks of NVML beyond the library of tests/fakes: the first versions of two calls, and two limits.
   Built as libnvidia-ml.so beside that library, which it needs and which has everything else. */

enum { OK = 0, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, MOST = 1024 };

typedef struct {
    unsigned pid;
    unsigned long long used;
} Short;

typedef struct {
    unsigned pid;
    unsigned long long used;
    unsigned gi, ci;
} Whole;

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, Whole *out);

int nvmlDeviceGetComputeRunningProcesses(void *device, unsigned *count, Short *out) {
    Whole found[MOST];
    unsigned room = *count;
    *count = MOST;
    int code = nvmlDeviceGetComputeRunningProcesses_v3(device, count, found);
    if (code != OK) return code;
    if (*count > room) return INSUFFICIENT_SIZE;
    for (unsigned at = 0; at < *count; at++) out[at] = (Short){found[at].pid, found[at].used};
    return OK;
}

int nvmlDeviceGetGraphicsRunningProcesses(void *device, unsigned *count, Short *out) {
    (void)device, (void)out;
    *count = 0;
    return OK;
}

int nvmlDeviceGetTemperatureThreshold(void *device, int kind, unsigned *out) {
    (void)device, (void)kind, (void)out;
    return NOT_SUPPORTED;
}

int nvmlDeviceGetMaxClockInfo(void *device, int kind, unsigned *out) {
    (void)device, (void)kind, (void)out;
    return NOT_SUPPORTED;
}
