"""What a driver's refusal of a change means on the wire."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node import holders
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpualloc.node.gpu import Gpu

_REASONS = {
    pynvml.NVML_ERROR_NO_PERMISSION: "not-permitted",
    pynvml.NVML_ERROR_NOT_SUPPORTED: "not-supported",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "not-supported",
    pynvml.NVML_ERROR_IN_USE: "in-use",
    pynvml.NVML_ERROR_GPU_IS_LOST: "unhealthy",
    pynvml.NVML_ERROR_RESET_REQUIRED: "unhealthy",
}


@contextmanager
def told(gpu: "Gpu", what: str, needs: str) -> "Iterator[None]":
    """Turn an NVMLError of the block into a refusal that says what could not be done.

    Args:
        gpu: the GPU concerned.
        what: the change, such as `make 2g.10gb@4`.
        needs: the right that it takes.
    """
    try:
        yield
    except pynvml.NVMLError as error:
        reason = _REASONS.get(error.value, "failed")
        message = "device %s: cannot %s: %s" % (gpu.uuid, what, error)
        if reason == "not-permitted":
            message += "; it needs %s" % needs
        if reason == "in-use":
            message += "; %s" % users(gpu)
        raise Refused(reason, message) from error


def users(gpu: "Gpu") -> str:
    """Who uses the GPU or has it open, for a message; says so when nobody is seen."""
    pids: "set[int]" = set()
    minor: "Any" = None
    try:
        handle = gpu.opened()
        pids.update(holders.on_device(handle))
        minor = pynvml.nvmlDeviceGetMinorNumber(handle)
    except pynvml.NVMLError:
        pass  # the refusal itself is what matters
    pids.update(holders.having_open(minor))
    if not pids:
        return "no process that uses it can be seen by this account"
    return "used by %s" % holders.named(sorted(pids))
