/* What a GPU tells beside its load, as lines of the state file (tests/fakes/nvml_stub_lines.py). */
#ifndef GPUALLOC_NVML_STUB_SENSORS_STATE_H
#define GPUALLOC_NVML_STUB_SENSORS_STATE_H

enum { MAX_LINKS = 18, MAX_USE = 64, METRICS = 4 };
enum { WHOLE = 0, ACTIVITIES = 16 }; /* by id of a GPU instance, one higher; 0 is the whole GPU */

typedef struct {
    int up;
    char remote[32]; /* `-` is not told, `switch`, or a PCI address */
    long long replays, recoveries, crc, flit_crc, data_crc;
} Link;

typedef struct {
    int pid, percent;
    unsigned long long at_us;
} Use;

typedef struct {
    long long memory_temperature, memory_clock, fan, energy_mj, performance_state, encoder, decoder, throttle;
    long long pcie_replays, near, over_nvlink;
    long long ecc_modes[2], ecc_totals[4], remapped[4], pcie_link[4], pcie_kb[2], nvlink_kib[2];
    double activity[ACTIVITIES][METRICS]; /* first below 0: not told */
    int links, uses;
    Link link[MAX_LINKS];
    Use use[MAX_USE];
    char serial[30], vbios[32], inforom[16], pci_bus_id[32];
} Sensors;

static const struct {
    const char *name;
    size_t at;
    int count;
} NUMBERS[] = {
    {"memory_temperature", offsetof(Sensors, memory_temperature), 1},
    {"memory_clock", offsetof(Sensors, memory_clock), 1},
    {"fan", offsetof(Sensors, fan), 1},
    {"energy_mj", offsetof(Sensors, energy_mj), 1},
    {"performance_state", offsetof(Sensors, performance_state), 1},
    {"encoder", offsetof(Sensors, encoder), 1},
    {"decoder", offsetof(Sensors, decoder), 1},
    {"throttle", offsetof(Sensors, throttle), 1},
    {"pcie_replays", offsetof(Sensors, pcie_replays), 1},
    {"near", offsetof(Sensors, near), 1},
    {"over_nvlink", offsetof(Sensors, over_nvlink), 1},
    {"ecc_modes", offsetof(Sensors, ecc_modes), 2},
    {"ecc_totals", offsetof(Sensors, ecc_totals), 4},
    {"remapped", offsetof(Sensors, remapped), 4},
    {"pcie_link", offsetof(Sensors, pcie_link), 4},
    {"pcie_kb", offsetof(Sensors, pcie_kb), 2},
    {"nvlink_kib", offsetof(Sensors, nvlink_kib), 2},
};
enum { NUMBER_KINDS = sizeof NUMBERS / sizeof *NUMBERS };

static long long *numbers_of(Sensors *sensors, int kind) { return (long long *)((char *)sensors + NUMBERS[kind].at); }

static void new_sensors(Sensors *sensors) {
    for (int kind = 0; kind < NUMBER_KINDS; kind++)
        for (int i = 0; i < NUMBERS[kind].count; i++) numbers_of(sensors, kind)[i] = -1;
    for (int i = 0; i < ACTIVITIES; i++) sensors->activity[i][0] = -1;
}

static void read_activity(Sensors *sensors, const char *rest) {
    int gi;
    double percent[METRICS];
    if (sscanf(rest, "%d %lf %lf %lf %lf", &gi, &percent[0], &percent[1], &percent[2], &percent[3]) != 5) return;
    if (gi >= -1 && gi + 1 < ACTIVITIES) memcpy(sensors->activity[gi + 1], percent, sizeof percent);
}

static void read_link(Sensors *sensors, const char *rest) {
    if (sensors->links == MAX_LINKS) return;
    Link *link = &sensors->link[sensors->links++];
    sscanf(rest, "%d %31s %lld %lld %lld %lld %lld", &link->up, link->remote, &link->replays, &link->recoveries,
           &link->crc, &link->flit_crc, &link->data_crc);
}

static void read_sensor(Sensors *sensors, const char *key, const char *rest) {
    for (int kind = 0; kind < NUMBER_KINDS; kind++) {
        if (strcmp(key, NUMBERS[kind].name)) continue;
        char *next = (char *)rest;
        for (int i = 0; i < NUMBERS[kind].count; i++) numbers_of(sensors, kind)[i] = strtoll(next, &next, 10);
    }
    if (!strcmp(key, "activity")) read_activity(sensors, rest);
    else if (!strcmp(key, "nvlink")) read_link(sensors, rest);
    else if (!strcmp(key, "use") && sensors->uses < MAX_USE) {
        Use *use = &sensors->use[sensors->uses++];
        sscanf(rest, "%d %d %llu", &use->pid, &use->percent, &use->at_us);
    } else if (!strcmp(key, "serial")) snprintf(sensors->serial, sizeof sensors->serial, "%s", rest);
    else if (!strcmp(key, "vbios")) snprintf(sensors->vbios, sizeof sensors->vbios, "%s", rest);
    else if (!strcmp(key, "inforom")) snprintf(sensors->inforom, sizeof sensors->inforom, "%s", rest);
    else if (!strcmp(key, "pci_bus_id")) snprintf(sensors->pci_bus_id, sizeof sensors->pci_bus_id, "%s", rest);
}

static void write_sensors(FILE *file, const Sensors *sensors) {
    for (int kind = 0; kind < NUMBER_KINDS; kind++) {
        const long long *numbers = numbers_of((Sensors *)sensors, kind);
        fprintf(file, "%s", NUMBERS[kind].name);
        for (int i = 0; i < NUMBERS[kind].count; i++) fprintf(file, " %lld", numbers[i]);
        fprintf(file, "\n");
    }
    for (int i = 0; i < ACTIVITIES; i++) {
        const double *percent = sensors->activity[i];
        if (percent[0] >= 0)
            fprintf(file, "activity %d %.17g %.17g %.17g %.17g\n", i - 1, percent[0], percent[1], percent[2], percent[3]);
    }
    for (int i = 0; i < sensors->links; i++) {
        const Link *l = &sensors->link[i];
        fprintf(file, "nvlink %d %s %lld %lld %lld %lld %lld\n", l->up, l->remote, l->replays, l->recoveries, l->crc,
                l->flit_crc, l->data_crc);
    }
    for (int i = 0; i < sensors->uses; i++)
        fprintf(file, "use %d %d %llu\n", sensors->use[i].pid, sensors->use[i].percent, sensors->use[i].at_us);
    if (sensors->serial[0]) fprintf(file, "serial %s\n", sensors->serial);
    if (sensors->vbios[0]) fprintf(file, "vbios %s\n", sensors->vbios);
    if (sensors->inforom[0]) fprintf(file, "inforom %s\n", sensors->inforom);
    if (sensors->pci_bus_id[0]) fprintf(file, "pci_bus_id %s\n", sensors->pci_bus_id);
}

#endif
