"""The calls of the Python-backed driver library about sensors, counters and errors of a whole GPU."""

from __future__ import annotations

import ctypes
from typing import Any

import pynvml
from fakes.nvml_library_base import Code, Handles, known, write, write_text
from fakes.nvml_sensors import Link, Sensors

_ALL_LINKS = 0xFFFFFFFF
_ULL, _UINT = pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, pynvml.NVML_VALUE_TYPE_UNSIGNED_INT


def told(values: tuple[Any, ...] | None, place: int) -> Any:
    """One value of several; NOT_SUPPORTED when there are none."""
    if values is None:
        raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return known(values[place])


class SensorCalls(Handles):
    """Tells what `Sensors` of a GPU hold."""

    def _nvmlDeviceGetFieldValues(self, handle: int, count: int, out: int) -> None:
        sensors, mig = self._sensors(handle), self._gpu(handle).mig_enabled
        for row in (pynvml.c_nvmlFieldValue_t * count).from_address(out):
            try:
                row.valueType, value = _field(sensors, row.fieldId, row.scopeId, mig=mig)
            except Code as code:
                row.nvmlReturn = code.code
            else:
                row.nvmlReturn = pynvml.NVML_SUCCESS
                row.value.ullVal = value % (1 << 64)

    def _nvmlDeviceGetTotalEnergyConsumption(self, handle: int, out: int) -> None:
        write(ctypes.c_ulonglong, out, int(known(self._sensors(handle).energy_mj)))

    def _nvmlDeviceGetFanSpeed(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, int(known(self._sensors(handle).fan_percent)))

    def _nvmlDeviceGetPerformanceState(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, int(known(self._sensors(handle).performance_state)))

    def _nvmlDeviceGetEncoderUtilization(self, handle: int, out: int, period: int) -> None:
        self._engine(handle, self._sensors(handle).encoder_percent, out, period)

    def _nvmlDeviceGetDecoderUtilization(self, handle: int, out: int, period: int) -> None:
        self._engine(handle, self._sensors(handle).decoder_percent, out, period)

    def _nvmlDeviceGetCurrentClocksEventReasons(self, handle: int, out: int) -> None:
        write(ctypes.c_ulonglong, out, int(known(self._sensors(handle).throttle_bits)))

    _nvmlDeviceGetCurrentClocksThrottleReasons = _nvmlDeviceGetCurrentClocksEventReasons

    def _nvmlDeviceGetEccMode(self, handle: int, current: int, pending: int) -> None:
        modes = self._sensors(handle).ecc_modes
        write(ctypes.c_uint, current, told(modes, 0))
        write(ctypes.c_uint, pending, told(modes, 1))

    def _nvmlDeviceGetTotalEccErrors(self, handle: int, kind: int, counter: int, out: int) -> None:
        if kind > 1 or counter > 1:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        write(ctypes.c_ulonglong, out, told(self._sensors(handle).ecc_totals, 2 * counter + kind))

    def _nvmlDeviceGetRemappedRows(self, handle: int, *out: int) -> None:
        sensors = self._sensors(handle)
        if self._gpu(handle).mig_enabled:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        for place, address in enumerate(out):
            write(ctypes.c_uint, address, told(sensors.remapped, place))

    def _nvmlDeviceGetCurrPcieLinkGeneration(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, told(self._sensors(handle).pcie_link, 0))

    def _nvmlDeviceGetCurrPcieLinkWidth(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, told(self._sensors(handle).pcie_link, 1))

    def _nvmlDeviceGetMaxPcieLinkGeneration(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, told(self._sensors(handle).pcie_link, 2))

    def _nvmlDeviceGetMaxPcieLinkWidth(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, told(self._sensors(handle).pcie_link, 3))

    def _nvmlDeviceGetPcieReplayCounter(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, int(known(self._sensors(handle).pcie_replays)))

    def _nvmlDeviceGetPcieThroughput(self, handle: int, counter: int, out: int) -> None:
        if counter > 1:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        write(ctypes.c_uint, out, told(self._sensors(handle).pcie_kb, counter))

    def _nvmlDeviceGetSerial(self, handle: int, out: int, length: int) -> None:
        _tell(self._sensors(handle).serial, out, length)

    def _nvmlDeviceGetVbiosVersion(self, handle: int, out: int, length: int) -> None:
        _tell(self._sensors(handle).vbios, out, length)

    def _nvmlDeviceGetInforomImageVersion(self, handle: int, out: int, length: int) -> None:
        _tell(self._sensors(handle).inforom, out, length)

    def _engine(self, handle: int, percent: int | None, out: int, period: int) -> None:
        if self._gpu(handle).mig_enabled:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        write(ctypes.c_uint, out, int(known(percent)))
        write(ctypes.c_uint, period, 167_000)


def _tell(text: str | None, out: int, length: int) -> None:
    if text is None:
        raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
    write_text(out, length, text)


def _field(sensors: Sensors, field: int, scope: int, *, mig: bool) -> tuple[int, int]:
    """Type and value of a field; raises Code."""
    if field in (pynvml.NVML_FI_DEV_ECC_CURRENT, pynvml.NVML_FI_DEV_ECC_PENDING):
        return _UINT, told(sensors.ecc_modes, field - pynvml.NVML_FI_DEV_ECC_CURRENT)
    if pynvml.NVML_FI_DEV_ECC_SBE_VOL_TOTAL <= field <= pynvml.NVML_FI_DEV_ECC_DBE_AGG_TOTAL:
        return _ULL, told(sensors.ecc_totals, field - pynvml.NVML_FI_DEV_ECC_SBE_VOL_TOTAL)
    if pynvml.NVML_FI_DEV_REMAPPED_COR <= field <= pynvml.NVML_FI_DEV_REMAPPED_FAILURE and not mig:
        return _UINT, told(sensors.remapped, field - pynvml.NVML_FI_DEV_REMAPPED_COR)
    if field == pynvml.NVML_FI_DEV_MEMORY_TEMP:
        return _UINT, int(known(sensors.memory_temperature_c))
    if field == pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION:
        return _ULL, int(known(sensors.energy_mj))
    if field in (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX):
        if scope != _ALL_LINKS:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return _ULL, told(sensors.nvlink_kib, field - pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX)
    if field in _OF_A_LINK and scope < len(sensors.nvlinks):
        return _ULL, int(known(getattr(sensors.nvlinks[scope], _OF_A_LINK[field])))
    raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)


_OF_A_LINK = {
    pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY: "replays",
    pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY: "recoveries",
    pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_CRC: "crc",
}
assert all(name in Link.__struct_fields__ for name in _OF_A_LINK.values())
