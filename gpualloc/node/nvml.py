"""NVML through nvidia-ml-py: opened once, asked with a deadline, one thread per GPU.

A call into a sick driver can block for ever and cannot be cancelled; here only the row of that GPU suffers.
"""

import os
import re
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node.worker import Hung, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpualloc.node.gpu import Gpu

DEFAULT_DEADLINE_S = 2.0

_DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND, _MISMATCH = 9, 12, 18


def deadline_s() -> float:
    """Seconds a GPU gets to answer: GPUALLOC_NVML_DEADLINE_S when that is a positive number, else 2."""
    try:
        value = float(os.environ.get("GPUALLOC_NVML_DEADLINE_S", ""))
    except ValueError:
        return DEFAULT_DEADLINE_S
    return value if 0 < value < 3600 else DEFAULT_DEADLINE_S


class Nvml:
    """The driver library of this process and the GPUs it knows. Begins to open the library when made."""

    def __init__(self, deadline: float) -> None:
        self._deadline_s = deadline
        self._opener = Worker("nvml")
        self._opening = self._opener.begin(_open)
        self._workers: "list[tuple[Worker, Gpu]]" = []

    def status(self) -> "dict[str, Any]":
        """`state` (ok, absent, mismatch, hung or failed), `reason` and the two versions, as the wire's hello tells."""
        try:
            result: "dict[str, Any]" = self._opening.result(self._until())
        except Hung as hung:
            return _status("hung", "the driver does not answer since %d s" % hung.for_s)
        return {name: result[name] for name in ("state", "reason", "driver_version", "library_version")}

    def ask(self, what: "Callable[[Gpu], dict[str, Any]]", row: "Callable[[Gpu], dict[str, Any]]") -> "list[Any]":
        """What each GPU answers, by index; a GPU that does not answer in time gives `row` with its state filled in."""
        until_s = self._until()
        asked = [(gpu, worker.begin(_bound(what, gpu))) for worker, gpu in self._gpus()]
        return [_answer(job, until_s, _bound(row, gpu)) for gpu, job in asked]

    def _gpus(self) -> "list[tuple[Worker, Gpu]]":
        if not self._workers and self.status()["state"] == "ok":
            from gpualloc.node.gpu import Gpu  # needs pynvml, which is there only now

            count = self._opening.result(self._until())["count"]
            self._workers = [(Worker("gpu-%d" % index), Gpu(index)) for index in range(count)]
        return self._workers

    def _until(self) -> float:
        return time.monotonic() + self._deadline_s


def _bound(what: "Callable[[Gpu], dict[str, Any]]", gpu: "Gpu") -> "Callable[[], dict[str, Any]]":
    return lambda: what(gpu)


def _answer(job: "Job", until_s: float, blank: "Callable[[], dict[str, Any]]") -> "dict[str, Any]":
    try:
        answer: "dict[str, Any]" = job.result(until_s)
    except Hung as hung:
        row = blank()
        missing = {name: "hung" for name, value in row.items() if value is None and name != "reason"}
        return dict(row, state="driver not answering", reason=str(hung), unavailable=missing)
    return answer


def _status(state: str, reason: "str | None") -> "dict[str, Any]":
    return {"state": state, "reason": reason, "driver_version": None, "library_version": None}


def _open() -> "dict[str, Any]":
    """Load the library and start it. Its count of GPUs comes along, since that call may hang like the others."""
    try:
        import pynvml
    except ImportError as error:
        return _status("absent", "nvidia-ml-py cannot be imported: %s" % error)
    try:
        pynvml.nvmlInit()
        return dict(
            _status("ok", None),
            count=pynvml.nvmlDeviceGetCount(),
            driver_version=pynvml.nvmlSystemGetDriverVersion(),
            library_version=pynvml.nvmlSystemGetNVMLVersion(),
        )
    except pynvml.NVMLError as error:
        return _why_not_open(error)


def _why_not_open(error: Any) -> "dict[str, Any]":
    if error.value == _LIBRARY_NOT_FOUND:
        return _status("absent", "libnvidia-ml.so.1 is not installed")
    if error.value == _DRIVER_NOT_LOADED:
        return _status("absent", "the NVIDIA kernel driver is not loaded")
    if error.value == _MISMATCH:
        driver, library = _kernel_driver_version(), _loaded_library_version()
        told = _status(
            "mismatch",
            "the kernel driver is %s and the library %s: reboot, or reload the driver"
            % (driver or "of an unknown version", library or "of an unknown version"),
        )
        return dict(told, driver_version=driver, library_version=library)
    return _status("failed", str(error))


def _kernel_driver_version() -> "str | None":
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8", errors="replace") as file:
            found = re.search(r"Kernel Module\s+(?:for \S+\s+)?(\d+(?:\.\d+)+)", file.read(4096))
    except OSError:
        return None
    return found.group(1) if found else None


def _loaded_library_version() -> "str | None":
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            found = re.search(r"/libnvidia-ml\.so\.(\d+(?:\.\d+)+)\s*$", line)
            if found:
                return found.group(1)
    return None
