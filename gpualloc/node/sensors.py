"""The load of one GPU: memory, use, power, heat and clocks. Cheap, and read at each look."""

import time
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node.batch import ALL_LINKS, Batch
from gpualloc.node.reading import Reading

if TYPE_CHECKING:
    from gpualloc.node.driver import Driver

MIB = 1 << 20
MAX_POWER_W = 10_000.0
_MAX_CELSIUS = 150
_MAX_MHZ = 20_000
_MAX_ENERGY_J = 1e13
_MAX_BYTES_PER_S = 1e14
_MIN_WINDOW_S = 0.05
"""A rate over less than this would be noise."""

_MEMORY_TEMPERATURE = pynvml.NVML_FI_DEV_MEMORY_TEMP
_ENERGY = pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION
_NVLINK_KIB = {
    "nvlink_rx_bytes_per_s": (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, ALL_LINKS),
    "nvlink_tx_bytes_per_s": (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, ALL_LINKS),
}
_THROTTLES = (
    "idle",
    "clock setting",
    "power cap",
    "hardware slowdown",
    "sync boost",
    "thermal slowdown",
    "hardware thermal slowdown",
    "power brake",
    "display clock",
)
"""Why clocks are held down, by the bits of the driver from the lowest."""
_OTHER_THROTTLE = "another reason"

FIELDS = (
    "memory_used_mib",
    "gpu_utilization_ratio",
    "memory_utilization_ratio",
    "power_w",
    "power_limit_w",
    "temperature_c",
    "sm_clock_mhz",
    "memory_temperature_c",
    "memory_clock_mhz",
    "fan_ratio",
    "energy_j",
    "performance_state",
    "encoder_utilization_ratio",
    "decoder_utilization_ratio",
    "throttles",
    "nvlink_rx_bytes_per_s",
    "nvlink_tx_bytes_per_s",
)
"""Names of what is read here."""

WITHOUT_MIG = frozenset(
    (
        "gpu_utilization_ratio",
        "memory_utilization_ratio",
        "encoder_utilization_ratio",
        "decoder_utilization_ratio",
    )
)
"""Those of them that no driver tells in MIG mode."""


def memory(driver: "Driver") -> "Reading":
    """`memory_used_mib`."""
    piece = Reading()
    info: "list[Any]" = []

    def used() -> int:
        info.append(memory_info(driver, driver.handle))
        return int(info[0].used // MIB)

    piece.number("memory_used_mib", used, 0, 1 << 32)
    if info and info[0].used > info[0].total:
        piece.miss("memory_used_mib", "implausible")
    return piece


def memory_total_mib(driver: "Driver") -> int:
    """All memory of the GPU; raises NVMLError."""
    return int(memory_info(driver, driver.handle).total // MIB)


def memory_info(driver: "Driver", handle: Any) -> Any:
    """Memory of the device or an instance: version 2, which leaves out what the driver reserves, else version 1.

    Raises NVMLError.
    """
    ask = driver.ask if handle is driver.handle else _of(driver, handle)
    try:
        return ask("memory", "nvmlDeviceGetMemoryInfo", pynvml.nvmlMemory_v2)
    except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_NotSupported):
        return ask("memory", "nvmlDeviceGetMemoryInfo")


def utilization(driver: "Driver") -> "Reading":
    """Shares of time: kernels, memory bus, encoders and decoders."""
    piece = Reading()
    told: "dict[str, Any]" = {}

    def rates(part: str) -> float:
        if not told:
            told["rates"] = driver.ask("utilization", "nvmlDeviceGetUtilizationRates")
        return float(getattr(told["rates"], part) / 100.0)

    piece.number("gpu_utilization_ratio", lambda: rates("gpu"), 0, 1)
    piece.number("memory_utilization_ratio", lambda: rates("memory"), 0, 1)
    for engine in ("Encoder", "Decoder"):
        name = "nvmlDeviceGet%sUtilization" % engine
        piece.number(
            engine.lower() + "_utilization_ratio",
            lambda name=name: driver.ask("utilization", name)[0] / 100.0,  # type: ignore[misc]
            0,
            1,
        )
    return piece


def power(driver: "Driver") -> "Reading":
    """Power drawn, in watts."""
    piece = Reading()
    piece.number("power_w", lambda: driver.ask("power", "nvmlDeviceGetPowerUsage") / 1000.0, 0, MAX_POWER_W)
    return piece


def power_limit(driver: "Driver") -> "Reading":
    """The limit that is enforced, in watts."""
    piece = Reading()
    piece.number(
        "power_limit_w", lambda: driver.ask("power limit", "nvmlDeviceGetEnforcedPowerLimit") / 1000.0, 0, MAX_POWER_W
    )
    return piece


def temperature(driver: "Driver") -> "Reading":
    """`temperature_c`, and how fast the fan turns."""
    piece = Reading()
    piece.number("temperature_c", lambda: _celsius(driver), -50, _MAX_CELSIUS)
    piece.number("fan_ratio", lambda: driver.ask("temperature", "nvmlDeviceGetFanSpeed") / 100.0, 0, 2)
    return piece


def clocks(driver: "Driver") -> "Reading":
    """Clocks in MHz, the performance state, and what holds the clocks down."""
    piece = Reading()
    for name, clock in (("sm_clock_mhz", pynvml.NVML_CLOCK_SM), ("memory_clock_mhz", pynvml.NVML_CLOCK_MEM)):
        piece.number(name, lambda c=clock: driver.ask("clocks", "nvmlDeviceGetClockInfo", c), 0, _MAX_MHZ)  # type: ignore[misc]
    piece.number("performance_state", lambda: driver.ask("clocks", "nvmlDeviceGetPerformanceState"), 0, 15)
    piece.value("throttles", lambda: _throttles(driver))
    return piece


class Counters:
    """What one batch tells: memory temperature, energy, and NVLink traffic as rates between looks."""

    def __init__(self) -> None:
        self._before: "dict[str, tuple[int, float]]" = {}

    def read(self, driver: "Driver") -> "Reading":
        """Ask for all of them; a rate is `not yet` at the first look."""
        piece = Reading()
        at_s = time.monotonic()
        batch = Batch(driver, "counters", (_MEMORY_TEMPERATURE, _ENERGY, *_NVLINK_KIB.values()))
        piece.number("memory_temperature_c", lambda: batch.value(_MEMORY_TEMPERATURE), -50, _MAX_CELSIUS)
        piece.number(
            "energy_j",
            lambda: (
                batch.value(_ENERGY, lambda: driver.ask("counters", "nvmlDeviceGetTotalEnergyConsumption")) / 1000.0
            ),
            0,
            _MAX_ENERGY_J,
        )
        for name, field in _NVLINK_KIB.items():
            try:
                self._rate(piece, name, batch.value(field), at_s)
            except pynvml.NVMLError as error:
                piece.failed(name, error)
        return piece

    def _rate(self, piece: "Reading", name: str, kib: int, at_s: float) -> None:
        before, before_s = self._before.get(name, (None, 0.0))
        if before is None:
            self._before[name] = kib, at_s
            piece.miss(name, "not yet")
        elif kib < before:
            # The driver or the link began anew.
            self._before[name] = kib, at_s
            piece.miss(name, "implausible")
        elif at_s - before_s < _MIN_WINDOW_S:
            piece.miss(name, "not yet")
        else:
            self._before[name] = kib, at_s
            piece.number(name, lambda: (kib - before) * 1024 / (at_s - before_s), 0, _MAX_BYTES_PER_S)


def _of(driver: "Driver", handle: Any) -> Any:
    return lambda group, function, *arguments: driver.ask_of(handle, group, function, *arguments)


def _celsius(driver: "Driver") -> int:
    sensor = pynvml.NVML_TEMPERATURE_GPU
    try:
        degrees: int = driver.ask("temperature", "nvmlDeviceGetTemperatureV", sensor)
    except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_NotSupported):
        degrees = driver.ask("temperature", "nvmlDeviceGetTemperature", sensor)
    return degrees


def _throttles(driver: "Driver") -> "list[str]":
    try:
        bits = driver.ask("clocks", "nvmlDeviceGetCurrentClocksEventReasons")
    except pynvml.NVMLError_FunctionNotFound:
        bits = driver.ask("clocks", "nvmlDeviceGetCurrentClocksThrottleReasons")
    words = [word for bit, word in enumerate(_THROTTLES) if bits & 1 << bit]
    return [*words, _OTHER_THROTTLE] if bits >> len(_THROTTLES) else words
