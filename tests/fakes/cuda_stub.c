/* A small libcuda.so.1 for tests: the checkpoint functions over a state machine in files, without any driver.
 *
 * The folder is named by FAKE_CUDA (tests/fakes/cuda_stub.py writes it):
 *
 *   driver         `cuda 13000`, `init 0`, and a line `device UUID CHIP FREE-MIB` for each GPU of the machine
 *   process.PID    `state 0`, `host 0` (MiB), `start TICKS`, and a line `gpu UUID MIB` for each GPU the process uses
 *   faults         lines `FUNCTION PID|* NTH ACTION [CODE]`; the NTH call of that function for that pid
 *   frozen         when it is there, no process answers; those in a frozen control group never do
 *   calls          written here: `FUNCTION PID CODE`, one line for each call that was answered
 *   begun          written here: `FUNCTION PID`, one line for each call that was made
 *
 * Whatever is not allowed is refused: a process without a file 1, a wrong order 401, a reserved byte that is not zero 1,
 * pairs before CUDA 13.0 1, pairs that are not a bijection over every GPU of the machine 1, another chip 1, too little
 * free memory 2 and from then on 304, as the real one does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cuda_stub_nvml.h"

enum { OK = 0, INVALID = 1, NO_MEMORY = 2, UNINITIALIZED = 3, OS_ERROR = 304, ILLEGAL = 401, NOT_READY = 600 };
enum { RUNNING, LOCKED, CHECKPOINTED, FAILED };

typedef struct {
    char uuid[64], chip[32];
    int free_mib;
} Device;

typedef struct {
    int pid, state, host, gpus, stuck;
    long long start;
    char uuid[16][64];
    int mib[16];
} Process;

static Device devices[64];
static int device_count, cuda_version, init_code, begun_cuda;

/* ---- files ---- */

static FILE *open_file(const char *mode, const char *format, ...) {
    char name[128], path[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const char *folder = getenv("FAKE_CUDA");
    if (!folder) return NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, mode);
}

static void note(const char *file, const char *function, int pid, int code) {
    char line[128];
    int length = code < 0 ? snprintf(line, sizeof line, "%s %d\n", function, pid)
                          : snprintf(line, sizeof line, "%s %d %d\n", function, pid, code);
    FILE *out = open_file("ae", "%s", file);
    if (!out) return;
    setvbuf(out, NULL, _IONBF, 0);
    fwrite(line, 1, (size_t)length, out);
    fclose(out);
}

static int take_lock(void) {
    FILE *file = open_file("ae", "lock");
    if (!file) return -1;
    int fd = dup(fileno(file));
    fclose(file);
    flock(fd, LOCK_EX);
    return fd;
}

static int read_driver(void) {
    FILE *file = open_file("re", "driver");
    if (!file) return 0;
    char line[256];
    device_count = 0;
    while (fgets(line, sizeof line, file)) {
        Device *device = &devices[device_count];
        if (sscanf(line, "cuda %d", &cuda_version) == 1 || sscanf(line, "init %d", &init_code) == 1) continue;
        if (sscanf(line, "device %63s %31s %d", device->uuid, device->chip, &device->free_mib) == 3) device_count++;
    }
    fclose(file);
    return 1;
}

static void write_driver(void) {
    FILE *file = open_file("we", "driver.new");
    if (!file) abort();
    fprintf(file, "cuda %d\ninit %d\n", cuda_version, init_code);
    for (int i = 0; i < device_count; i++)
        fprintf(file, "device %s %s %d\n", devices[i].uuid, devices[i].chip, devices[i].free_mib);
    fclose(file);
    char from[4096], to[4096];
    snprintf(from, sizeof from, "%s/driver.new", getenv("FAKE_CUDA"));
    snprintf(to, sizeof to, "%s/driver", getenv("FAKE_CUDA"));
    if (rename(from, to)) abort();
}

static long long start_ticks(int pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file) return -1;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    char *rest = strrchr(text, ')');
    long long ticks = -1;
    char letter;
    if (!rest || sscanf(rest + 1, " %c", &letter) != 1 || letter == 'Z' || letter == 'X') return -1;
    sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld", &ticks);
    return ticks;
}

static int read_process(int pid, Process *process) {
    memset(process, 0, sizeof *process);
    process->pid = pid;
    FILE *file = open_file("re", "process.%d", pid);
    if (!file) return 0;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        int i = process->gpus;
        if (sscanf(line, "state %d", &process->state) == 1 || sscanf(line, "host %d", &process->host) == 1) continue;
        if (sscanf(line, "start %lld", &process->start) == 1 || sscanf(line, "stuck %d", &process->stuck) == 1) continue;
        if (sscanf(line, "gpu %63s %d", process->uuid[i], &process->mib[i]) == 2) process->gpus++;
    }
    fclose(file);
    return start_ticks(pid) == process->start;
}

static void write_process(const Process *process) {
    char from[4096], to[4096];
    FILE *file = open_file("we", "new.%d", process->pid);
    if (!file) abort();
    fprintf(file, "state %d\nhost %d\nstart %lld\nstuck %d\n", process->state, process->host, process->start,
            process->stuck);
    for (int i = 0; i < process->gpus; i++) fprintf(file, "gpu %s %d\n", process->uuid[i], process->mib[i]);
    fclose(file);
    snprintf(from, sizeof from, "%s/new.%d", getenv("FAKE_CUDA"), process->pid);
    snprintf(to, sizeof to, "%s/process.%d", getenv("FAKE_CUDA"), process->pid);
    if (rename(from, to)) abort();
}

/* ---- a frozen process cannot answer ---- */

static int group_says(const char *root, const char *path, const char *name, const char *word) {
    char file[4096], text[256];
    snprintf(file, sizeof file, "%s%s/%s", root, path, name);
    FILE *in = fopen(file, "re");
    if (!in) return 0;
    size_t length = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    text[length] = 0;
    return strstr(text, word) != NULL;
}

static int is_frozen(int pid) {
    char path[64], line[4096];
    snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
    FILE *file = fopen(path, "re");
    int frozen = 0;
    FILE *marker = open_file("re", "frozen");
    if (marker) frozen = 1, fclose(marker);
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *below = strstr(line, ":freezer:");
        if (below) frozen |= group_says("/sys/fs/cgroup/freezer", below + 9, "freezer.state", "FR");
        if (strncmp(line, "0::", 3)) continue;
        frozen |= group_says("/sys/fs/cgroup/unified", line + 3, "cgroup.freeze", "1");
        frozen |= group_says("/sys/fs/cgroup", line + 3, "cgroup.freeze", "1");
    }
    if (file) fclose(file);
    return frozen;
}

/* ---- faults ---- */

typedef struct {
    char action[24];
    int code;
} Fault;

static Fault fault_for(const char *function, int pid) {
    Fault found = {"", 0};
    char line[256], name[64], whose[24], action[24];
    int count = 0, of, code, nth;
    FILE *begun = open_file("re", "begun");
    while (begun && fgets(line, sizeof line, begun))
        if (sscanf(line, "%63s %d", name, &of) == 2 && !strcmp(name, function) && of == pid) count++;
    if (begun) fclose(begun);
    FILE *faults = open_file("re", "faults");
    while (faults && fgets(line, sizeof line, faults)) {
        code = 0;
        if (sscanf(line, "%63s %23s %d %23s %d", name, whose, &nth, action, &code) < 4 || strcmp(name, function)) continue;
        if (nth != count || (strcmp(whose, "*") && atoi(whose) != pid)) continue;
        snprintf(found.action, sizeof found.action, "%s", action);
        found.code = code;
    }
    if (faults) fclose(faults);
    return found;
}

static int is(const Fault *fault, const char *action) { return !strcmp(fault->action, action); }

/* What a call does between being made and being answered; `change` is the state machine. */
static int run(const char *function, int pid, int (*change)(Process *, void *), void *args) {
    if (!begun_cuda) return UNINITIALIZED;
    while (is_frozen(pid)) usleep(5000);
    note("begun", function, pid, -1);
    Fault fault = fault_for(function, pid);
    if (is(&fault, "hang"))
        for (;;) pause();
    if (is(&fault, "die-before")) kill(getpid(), SIGKILL);
    if (is(&fault, "end-process")) {
        kill(pid, SIGKILL);
        while (start_ticks(pid) >= 0) usleep(1000);
    }
    int lock = take_lock();
    Process process = {0};
    int code = OK;
    if (is(&fault, "return")) code = fault.code;
    else if (!read_driver() || !read_process(pid, &process)) code = INVALID;
    else if (is(&fault, "fail")) {
        process.state = FAILED;
        code = fault.code;
    } else code = change(&process, args);
    if (is(&fault, "fail") || code == OK || process.stuck) write_process(&process);
    close(lock);
    if (is(&fault, "die-after")) kill(getpid(), SIGKILL);
    note("calls", function, pid, code);
    return code;
}

/* ---- the functions ---- */

static int all_zero(const void *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (((const unsigned char *)bytes)[i]) return 0;
    return 1;
}

int cuInit(unsigned int flags) {
    if (flags || !read_driver()) return INVALID;
    begun_cuda = !init_code;
    return init_code;
}

int cuDriverGetVersion(int *version) {
    if (!read_driver()) return INVALID;
    *version = cuda_version;
    return OK;
}

static int change_nothing(Process *process, void *state) {
    *(int *)state = process->state;
    return OK;
}

int cuCheckpointProcessGetState(int pid, int *state) { return run("state", pid, change_nothing, state); }

typedef struct { unsigned timeout_ms, reserved0; unsigned long long reserved1[7]; } LockArgs;

static int change_lock(Process *process, void *raw) {
    LockArgs *args = raw;
    if (args && (args->reserved0 || !all_zero(args->reserved1, sizeof args->reserved1))) return INVALID;
    if (process->state != RUNNING) return ILLEGAL;
    process->state = LOCKED;
    return OK;
}

int cuCheckpointProcessLock(int pid, void *args) { return run("lock", pid, change_lock, args); }

static Device *device_of(const char *uuid) {
    for (int i = 0; i < device_count; i++)
        if (!strcmp(devices[i].uuid, uuid)) return &devices[i];
    return NULL;
}

static int change_checkpoint(Process *process, void *args) {
    if (args && !all_zero(args, 64)) return INVALID;
    if (process->state != LOCKED) return ILLEGAL;
    process->state = CHECKPOINTED;
    for (int i = 0; i < process->gpus; i++) {
        process->host += process->mib[i];
        device_of(process->uuid[i])->free_mib += process->mib[i];
        nvml_forget(process->uuid[i], process->pid, process->mib[i]);
    }
    write_driver();
    return OK;
}

int cuCheckpointProcessCheckpoint(int pid, void *args) { return run("checkpoint", pid, change_checkpoint, args); }

typedef struct { unsigned char from[16], to[16]; } Pair;
typedef struct { Pair *pairs; unsigned count, padding; void *storage; unsigned char reserved[40]; } RestoreArgs;

static int has_bytes(const Device *device, const unsigned char *bytes) {
    char text[64];
    snprintf(text, sizeof text,
             "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2],
             bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8], bytes[9], bytes[10], bytes[11], bytes[12],
             bytes[13], bytes[14], bytes[15]);
    return !strcmp(text, device->uuid);
}

/* Where each device goes; 0 when the pairs are not a bijection over all devices. */
static int map_devices(const RestoreArgs *args, int *to) {
    int used[64] = {0};
    if (args->count != (unsigned)device_count) return 0;
    for (int i = 0; i < device_count; i++) {
        to[i] = -1;
        for (unsigned p = 0; p < args->count; p++)
            for (int j = 0; j < device_count; j++)
                if (has_bytes(&devices[i], args->pairs[p].from) && has_bytes(&devices[j], args->pairs[p].to)) to[i] = j;
        if (to[i] < 0 || used[to[i]]++ || strcmp(devices[i].chip, devices[to[i]].chip)) return 0;
    }
    return 1;
}

static int change_restore(Process *process, void *raw) {
    RestoreArgs *args = raw;
    int to[64], moves = args && args->count;
    Device *target[16];
    if (args && (args->padding || args->storage || !all_zero(args->reserved, sizeof args->reserved))) return INVALID;
    if (process->state != CHECKPOINTED) return ILLEGAL;
    if (moves && (cuda_version < 13000 || !map_devices(args, to))) return INVALID;
    if (process->stuck) return OS_ERROR;
    for (int i = 0; i < process->gpus; i++) {
        target[i] = device_of(process->uuid[i]);
        if (moves) target[i] = &devices[to[target[i] - devices]];
        if (target[i]->free_mib < process->mib[i]) return process->stuck = 1, NO_MEMORY;
    }
    process->state = LOCKED;
    process->host = 0;
    for (int i = 0; i < process->gpus; i++) {
        snprintf(process->uuid[i], sizeof process->uuid[i], "%s", target[i]->uuid);
        target[i]->free_mib -= process->mib[i];
        nvml_remember(process->uuid[i], process->pid, process->mib[i]);
    }
    write_driver();
    return OK;
}

int cuCheckpointProcessRestore(int pid, void *args) { return run("restore", pid, change_restore, args); }

static int change_unlock(Process *process, void *args) {
    if (args && !all_zero(args, 64)) return INVALID;
    if (process->state != LOCKED) return ILLEGAL;
    process->state = RUNNING;
    return OK;
}

int cuCheckpointProcessUnlock(int pid, void *args) { return run("unlock", pid, change_unlock, args); }

#include "cuda_stub_memory.h"
