"""The calls of the Python-backed driver library about NVLinks and the ways between GPUs."""

from __future__ import annotations

import ctypes

import pynvml
from fakes.nvml_library_base import Code, Handles, known, write
from fakes.nvml_sensors import SWITCH, Link


class LinkCalls(Handles):
    """Tells of `Sensors.nvlinks`, `near` and `over_nvlink`."""

    def _nvmlDeviceGetNvLinkState(self, handle: int, link: int, out: int) -> None:
        write(ctypes.c_uint, out, int(self._link(handle, link).up))

    def _nvmlDeviceGetNvLinkRemoteDeviceType(self, handle: int, link: int, out: int) -> None:
        remote = self._up(handle, link).remote
        if remote is None:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        kind = pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH if remote == SWITCH else pynvml.NVML_NVLINK_DEVICE_TYPE_GPU
        write(ctypes.c_uint, out, kind)

    def _nvmlDeviceGetNvLinkRemotePciInfo_v2(self, handle: int, link: int, out: int) -> None:
        remote = self._up(handle, link).remote
        if remote in (None, SWITCH):
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        pynvml.nvmlPciInfo_t.from_address(out).busId = remote.encode()

    def _nvmlDeviceGetNvLinkErrorCounter(self, handle: int, link: int, counter: int, out: int) -> None:
        found = self._link(handle, link)
        flit = found.crc if found.flit_crc is None else found.flit_crc
        counts = (found.replays, found.recoveries, flit, found.data_crc)
        if counter >= len(counts):
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        write(ctypes.c_ulonglong, out, int(known(counts[counter])))

    def _nvmlDeviceGetTopologyCommonAncestor(self, handle: int, other: int, out: int) -> None:
        self._whole(other)
        write(ctypes.c_uint, out, int(known(self._sensors(handle).near)))

    def _nvmlDeviceGetP2PStatus(self, handle: int, other: int, index: int, out: int) -> None:
        self._whole(other)
        if index != pynvml.NVML_P2P_CAPS_INDEX_NVLINK:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        over = self._sensors(handle).over_nvlink
        write(ctypes.c_uint, out, pynvml.NVML_P2P_STATUS_OK if over else pynvml.NVML_P2P_STATUS_NOT_SUPPORTED)

    def _link(self, handle: int, link: int) -> Link:
        links = self._sensors(handle).nvlinks
        if not links:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        if link >= len(links):
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return links[link]

    def _up(self, handle: int, link: int) -> Link:
        found = self._link(handle, link)
        if not found.up:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return found
