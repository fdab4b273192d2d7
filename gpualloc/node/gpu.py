"""One GPU read through nvidia-ml-py; runs in that GPU's own thread (`node.nvml`).

Each reading stands alone: what cannot be read is None with its reason, and never a made-up 0.
"""

import glob
import re
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node import mig, nearness, profiles, settings
from gpualloc.node.holders import running

if TYPE_CHECKING:
    from collections.abc import Callable

_MIB = 1 << 20

_REASONS = {
    pynvml.NVML_ERROR_NOT_SUPPORTED: "not supported",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "not supported",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission",
    pynvml.NVML_ERROR_GPU_IS_LOST: "lost",
}
_STATES = {
    pynvml.NVML_ERROR_GPU_IS_LOST: "GPU lost",
    pynvml.NVML_ERROR_RESET_REQUIRED: "needs reset",
}
_HANDLE_STATES = {pynvml.NVML_ERROR_NO_PERMISSION: "no permission"}
_HANDLE_STATES.update(_STATES)

_ARCHITECTURES = {
    getattr(pynvml, "NVML_DEVICE_ARCH_" + name.upper()): name
    for name in ("kepler", "maxwell", "pascal", "volta", "turing", "ampere", "ada", "hopper", "blackwell", "rubin")
    if hasattr(pynvml, "NVML_DEVICE_ARCH_" + name.upper())
}
_MAX_POWER_W = 100_000
_POWER_LIMITS: "tuple[tuple[str, Callable[[Any], float]], ...]" = (
    ("power_limit_default_w", settings.power_default_w),
    ("power_limit_min_w", lambda handle: settings.power_range_w(handle)[0]),
    ("power_limit_max_w", lambda handle: settings.power_range_w(handle)[1]),
)

STATIC = (
    "uuid",
    "index",
    "minor",
    "model",
    "architecture",
    "cpus",
    "numa_node",
    "memory_total_mib",
    "mig_enabled",
    "mig_pending",
    *(name for name, _ in _POWER_LIMITS),
)
READINGS = (
    "memory_used_mib",
    "gpu_utilization_ratio",
    "memory_utilization_ratio",
    "power_w",
    "power_limit_w",
    "temperature_c",
    "sm_clock_mhz",
)


class Reading:
    """The row of one GPU while it is filled in."""

    def __init__(self, row: "dict[str, Any]") -> None:
        self.row = dict(row, state="ok", reason=None, unavailable={})
        self._known = 0

    def fail(self, error: Any) -> None:
        """Take over what an error says about the whole GPU, if it does."""
        state = _STATES.get(error.value)
        if state is not None:
            self.row.update(state=state, reason=str(error))

    def read(self, name: str, function: "Callable[[], Any]", low: float, high: float) -> None:
        """Fill one number in, or the reason why it is None."""
        try:
            value = _once_more(function)
        except pynvml.NVMLError as error:
            self.fail(error)
            self.miss(name, _REASONS.get(error.value, "failed"))
            return
        if low <= value <= high:
            self.row[name] = value
            self._known += 1
        else:
            self.miss(name, "failed")

    def fill(self, row: "dict[str, Any]", name: str, function: "Callable[[], Any]", label: "str | None" = None) -> None:
        """Fill one value that is no number into a row, or the reason why it is None."""
        try:
            row[name] = _once_more(function)
        except pynvml.NVMLError as error:
            self.fail(error)
            row[name] = None
            self.row["unavailable"][label or name] = _REASONS.get(error.value, "failed")

    def judge(self) -> None:
        """Once all is read: a GPU that told nothing for want of permission is in that state."""
        reasons = set(self.row["unavailable"].values()) - {"not supported"}
        if self.row["state"] == "ok" and not self._known and reasons == {"no permission"}:
            self.row.update(state="no permission", reason="the driver tells this account nothing of it")

    def miss(self, name: str, reason: str) -> None:
        """Leave a reading out for that reason."""
        self.row[name] = None
        self.row["unavailable"][name] = reason


class Gpu:
    """A GPU at one index of the driver's list. What once was learnt of it names it even when it hangs or is lost."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._handle: Any = None
        self._profiles: "list[dict[str, Any]]" = []
        self._known: "dict[str, Any]" = dict.fromkeys(STATIC)
        self._known.update(index=index, uuid=None, model="unknown")
        self._mig_on = False

    @property
    def uuid(self) -> str:
        """Full UUID; when the driver never told it, from /proc, else a name by the index."""
        # Not kept: another thread may be learning the real one at this moment.
        known: str = self._known["uuid"] or _uuid_from_proc(self._index) or "GPU-unknown-%d" % self._index
        return known

    def blank_inventory(self) -> "dict[str, Any]":
        """The inventory row of a GPU that says nothing."""
        row = dict(self._known, uuid=self.uuid, mig_instances=[], mig_profiles=self._profiles)
        row["settings"] = dict.fromkeys(settings.FIELDS)
        return row

    def blank_sample(self) -> "dict[str, Any]":
        """The sample row of a GPU that says nothing."""
        return dict(dict.fromkeys(READINGS), uuid=self.uuid, mig_instances=[])

    def inventory(self) -> "dict[str, Any]":
        """The row of `inventory` in docs/wire.md."""
        reading = Reading(self.blank_inventory())
        handle = self._open(reading)
        if handle is None:
            return reading.row
        reading.read("minor", lambda: pynvml.nvmlDeviceGetMinorNumber(handle), 0, 1 << 20)
        reading.read("memory_total_mib", lambda: _memory(handle).total // _MIB, 1, 1 << 32)
        self._read_mig_mode(reading, handle)
        self._read_instances(reading, mig.inventory, handle)
        self._read_constants(reading, handle)
        self._read_settings(reading, handle)
        if reading.row["state"] == "ok":
            self._known = {name: reading.row[name] for name in STATIC}
        return self._closed(reading)

    def sample(self) -> "dict[str, Any]":
        """The row of `sample` in docs/wire.md."""
        reading = Reading(self.blank_sample())
        handle = self._open(reading)
        if handle is None:
            return reading.row
        self._read_load(reading, handle)
        for name, function, scale, high in (
            ("power_w", pynvml.nvmlDeviceGetPowerUsage, 0.001, _MAX_POWER_W),
            ("power_limit_w", pynvml.nvmlDeviceGetEnforcedPowerLimit, 0.001, _MAX_POWER_W),
        ):
            reading.read(name, lambda f=function, s=scale: f(handle) * s, 0, high)  # type: ignore[misc]
        reading.read("temperature_c", lambda: _temperature(handle), -100, 250)
        reading.read("sm_clock_mhz", lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM), 0, 100_000)
        self._read_instances(reading, mig.sample, handle)
        return self._closed(reading)

    def processes(self) -> "dict[str, Any]":
        """`uuid` and `processes`: (pid, MIG instance, MiB used or None) of everything the driver sees here."""
        reading = Reading({"uuid": self.uuid, "processes": []})
        handle = self._open(reading)
        if handle is None:
            return reading.row
        self._read_mig_mode(Reading({}), handle)
        try:
            if self._mig_on:
                for uuid, instance in mig.handles(handle):
                    reading.row["processes"] += [(pid, uuid, used) for pid, used in running(instance)]
            else:
                reading.row["processes"] = [(pid, None, used) for pid, used in running(handle)]
        except pynvml.NVMLError as error:
            reading.fail(error)
        return self._closed(reading)

    def is_known_as(self, uuid: str) -> bool:
        """Whether the driver itself told that this is the GPU of that UUID."""
        return bool(self._known["uuid"] == uuid)

    def opened(self) -> Any:
        """The handle, looked up anew after any trouble; raises NVMLError."""
        if self._handle is None:
            handle = pynvml.nvmlDeviceGetHandleByIndex(self._index)
            self._known["uuid"] = pynvml.nvmlDeviceGetUUID(handle)
            self._known["model"] = pynvml.nvmlDeviceGetName(handle)
            self._handle = handle
        return self._handle

    def profiles(self) -> "list[dict[str, Any]]":
        """The MIG profiles as `mig_profiles` of docs/wire.md, asked once; empty without MIG; raises NVMLError."""
        if not self._profiles:
            handle = self.opened()
            self._profiles = profiles.of_device(handle, _memory(handle).total // _MIB)
        return self._profiles

    def _read_constants(self, reading: "Reading", handle: Any) -> None:
        """What stays the same while the driver is loaded."""
        row = reading.row
        reading.fill(row, "architecture", lambda: _ARCHITECTURES.get(pynvml.nvmlDeviceGetArchitecture(handle)))
        reading.fill(row, "cpus", lambda: nearness.cpus(handle))
        reading.fill(row, "numa_node", lambda: nearness.numa_node(handle))
        for name, function in _POWER_LIMITS:
            reading.read(name, lambda f=function: f(handle), 0, _MAX_POWER_W)  # type: ignore[misc]
        if row["mig_enabled"] is not None:
            reading.fill(row, "mig_profiles", self.profiles)
            row["mig_profiles"] = row["mig_profiles"] or []

    def _read_settings(self, reading: "Reading", handle: Any) -> None:
        told, unavailable = reading.row["settings"], reading.row["unavailable"]
        for name, function in settings.READ.items():
            reading.fill(told, name, lambda f=function: f(handle), "settings." + name)  # type: ignore[misc]
        if self._mig_on and unavailable.get("settings.compute_mode") == "not supported":
            unavailable["settings.compute_mode"] = "mig"

    def _open(self, reading: "Reading") -> Any:
        """The handle; None when the driver gives none (the row says why)."""
        try:
            handle = self.opened()
        except pynvml.NVMLError as error:
            state = _HANDLE_STATES.get(error.value, "failed")
            reason = "lost" if state == "GPU lost" else _REASONS.get(error.value, "failed")
            names = [name for name, value in reading.row.items() if value is None and name != "reason"]
            reading.row.update(uuid=self.uuid, state=state, reason=str(error), unavailable=dict.fromkeys(names, reason))
            return None
        reading.row["uuid"] = self._known["uuid"]
        if "model" in reading.row:
            reading.row["model"] = self._known["model"]
        return handle

    def _closed(self, reading: "Reading") -> "dict[str, Any]":
        reading.judge()
        if reading.row["state"] != "ok":
            self._handle = None
        return reading.row

    def _read_mig_mode(self, reading: "Reading", handle: Any) -> None:
        modes: "list[int]" = []

        def current() -> int:
            modes[:] = pynvml.nvmlDeviceGetMigMode(handle)
            return modes[0]

        reading.read("mig_enabled", current, 0, 1)
        self._mig_on = bool(reading.row["mig_enabled"])
        if modes:
            reading.row.update(mig_enabled=bool(modes[0]), mig_pending=bool(modes[1]))
        else:
            reading.miss("mig_pending", reading.row["unavailable"]["mig_enabled"])

    def _read_instances(self, reading: "Reading", function: "Callable[[Any], list[Any]]", handle: Any) -> None:
        if not self._mig_on:
            return
        try:
            reading.row["mig_instances"] = function(handle)
        except pynvml.NVMLError as error:
            reading.fail(error)
            reading.row["unavailable"]["mig_instances"] = _REASONS.get(error.value, "failed")

    def _read_load(self, reading: "Reading", handle: Any) -> None:
        self._read_mig_mode(Reading({}), handle)
        total = self._known["memory_total_mib"] or 1 << 32
        reading.read("memory_used_mib", lambda: _memory(handle).used // _MIB, 0, total)
        rates = ("gpu_utilization_ratio", "gpu"), ("memory_utilization_ratio", "memory")
        for name, part in rates:
            reading.read(
                name,
                lambda p=part: getattr(pynvml.nvmlDeviceGetUtilizationRates(handle), p) / 100.0,  # type: ignore[misc]
                0,
                1,
            )
            if self._mig_on and reading.row["unavailable"].get(name) == "not supported":
                reading.miss(name, "mig")


def _memory(handle: Any) -> Any:
    """Memory of a device or instance: version 2, which leaves out what the driver reserves, else version 1."""
    try:
        return pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLLibraryMismatchError, pynvml.NVMLError_NotSupported):
        return pynvml.nvmlDeviceGetMemoryInfo(handle)


def _temperature(handle: Any) -> int:
    sensor = pynvml.NVML_TEMPERATURE_GPU
    newer = getattr(pynvml, "nvmlDeviceGetTemperatureV", None)
    if newer is not None:
        try:
            degrees: int = newer(handle, sensor)
        except pynvml.NVMLError as error:
            if error.value not in (pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, pynvml.NVML_ERROR_NOT_SUPPORTED):
                raise
        else:
            return degrees
    older: int = pynvml.nvmlDeviceGetTemperature(handle, sensor)
    return older


def _once_more(function: "Callable[[], Any]") -> Any:
    """An UNKNOWN error is often over at the next call."""
    try:
        return function()
    except pynvml.NVMLError_Unknown:
        return function()


def _uuid_from_proc(index: int) -> "str | None":
    """The kernel driver lists GPUs by PCI address, the order NVML counts in."""
    paths = sorted(glob.glob("/proc/driver/nvidia/gpus/*/information"))
    if index >= len(paths):
        return None
    try:
        with open(paths[index], encoding="utf-8", errors="replace") as file:
            found = re.search(r"GPU UUID:\s+(GPU-[0-9a-f-]{36})\s", file.read(4096))
    except OSError:
        return None
    return found.group(1) if found else None
