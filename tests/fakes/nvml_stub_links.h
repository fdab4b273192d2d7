/* The calls of nvml_stub.c about NVLinks and the ways between GPUs. */
#ifndef GPUALLOC_NVML_STUB_LINKS_H
#define GPUALLOC_NVML_STUB_LINKS_H

static int look_at_link(Device handle, uint number, int up, Link *out) {
    View view;
    int code = look_at_gpu(handle, &view);
    if (code != OK) return code;
    if (!view.gpu.sensors.links) return NOT_SUPPORTED;
    if (number >= (uint)view.gpu.sensors.links) return INVALID_ARGUMENT;
    *out = view.gpu.sensors.link[number];
    return up && !out->up ? NOT_SUPPORTED : OK;
}

int nvmlDeviceGetNvLinkState(Device handle, uint number, uint *up) {
    Link link;
    int code = look_at_link(handle, number, 0, &link);
    if (code == OK) *up = (uint)link.up;
    return code;
}

int nvmlDeviceGetNvLinkRemoteDeviceType(Device handle, uint number, uint *type) {
    Link link;
    int code = look_at_link(handle, number, 1, &link);
    if (code == OK && !strcmp(link.remote, "-")) return NOT_SUPPORTED;
    if (code == OK) *type = strcmp(link.remote, "switch") ? 0 : 2;
    return code;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(Device handle, uint number, PciInfo *pci) {
    Link link;
    int code = look_at_link(handle, number, 1, &link);
    if (code != OK) return code;
    if (!strcmp(link.remote, "-") || !strcmp(link.remote, "switch")) return NOT_SUPPORTED;
    memset(pci, 0, sizeof *pci);
    snprintf(pci->bus_id, sizeof pci->bus_id, "%s", link.remote);
    return OK;
}

int nvmlDeviceGetNvLinkErrorCounter(Device handle, uint number, uint counter, ull *out) {
    Link link;
    int code = look_at_link(handle, number, 0, &link);
    if (code != OK) return code;
    const long long counts[] = {link.replays, link.recoveries, link.flit_crc, link.data_crc};
    return counter < 4 ? tell_long(out, counts[counter]) : INVALID_ARGUMENT;
}

/* Where GPUs are does not change: drivers answer it at once. */
static int two_gpus(Device handle, Device other, View *view) {
    View beside;
    int code = identify(other, &beside);
    return code == OK ? identify(handle, view) : code;
}

int nvmlDeviceGetTopologyCommonAncestor(Device handle, Device other, uint *level) {
    View view;
    int code = two_gpus(handle, other, &view);
    return code == OK ? tell(level, view.gpu.sensors.near) : code;
}

int nvmlDeviceGetP2PStatus(Device handle, Device other, uint index, uint *status) {
    View view;
    int code = two_gpus(handle, other, &view);
    if (code != OK) return code;
    if (index != 2) return NOT_SUPPORTED; /* NVLink alone is modelled */
    *status = view.gpu.sensors.over_nvlink == 1 ? 0 : 5;
    return OK;
}

#endif
