/* Which processes have the library open: a file per pid in the folder `<state>.clients`. */
#ifndef GPUALLOC_NVML_STUB_CLIENTS_H
#define GPUALLOC_NVML_STUB_CLIENTS_H

#include "nvml_stub_state.h"
#include <dirent.h>

static void client_path(char *out, size_t length, const char *name) {
    const char *path = getenv("GPUALLOC_FAKE_NVML");
    snprintf(out, length, "%s.clients%s%s", path ? path : "", name[0] ? "/" : "", name);
}

static void become_client(void) {
    char path[4200], name[32];
    client_path(path, sizeof path, "");
    mkdir(path, 0777);
    snprintf(name, sizeof name, "%d", (int)getpid());
    client_path(path, sizeof path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0) close(fd);
}

static void be_no_client(void) {
    char path[4200], name[32];
    snprintf(name, sizeof name, "%d", (int)getpid());
    client_path(path, sizeof path, name);
    unlink(path);
}

/* Whether a living process other than this one has the library open. */
static int others_have_it_open(void) {
    char path[4200];
    client_path(path, sizeof path, "");
    DIR *folder = opendir(path);
    int found = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        int pid = atoi(entry->d_name);
        if (pid > 0 && pid != (int)getpid() && (kill(pid, 0) == 0 || errno == EPERM)) found = 1;
    }
    if (folder) closedir(folder);
    return found;
}

#endif
