"""MIG mode of a GPU, on or off.

The driver answers a change with two codes: one of the call, and one that says whether the mode is in force, which
nvidia-ml-py gives as a plain number. A mode that is only pending would come into force at any later reset, so what
cannot be done now is taken back.
"""

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node import holders, instances
from gpualloc.node.booked import check_free
from gpualloc.node.quiesce import Quiesce
from gpualloc.node.refusals import told, users
from gpualloc.node.settings import Remembered
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpualloc.node.gpu import Gpu
    from gpualloc.node.parts import Parts

_NEEDS = "root (CAP_SYS_ADMIN)"
_WITHIN_S = 50.0
"""Seconds the driver gets: a change may reset the GPU. Less than a controller waits for a step."""
_LET_GO_S = 5.0
"""How long other node programs get to let go of the driver."""
_POLL_S = 0.1
_NO_RESET_SINCE = pynvml.NVML_DEVICE_ARCH_HOPPER


class ModeSwitch:
    """Switches MIG mode, with every node program of the host out of the way where that is needed."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._nvml = parts.nvml
        self._quiesce = Quiesce(parts.state_dir, parts.claim_folders is not None)

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse a GPU that has no MIG, or is used, given away, or holds instances that would go."""
        if self._modes(step)[0] == step["mig_enabled"]:
            return
        if os.geteuid() != 0:
            raise Refused("not-permitted", "the MIG mode of %s needs %s" % (step["device"], _NEEDS))
        check_free(self._parts, step["device"])
        self._nvml.change(step["device"], _check_idle, _WITHIN_S)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Bring the mode about, unless it is in force."""
        enabled, pending = self._modes(step)
        if enabled != step["mig_enabled"]:
            self.preflight(step)
            if self._nvml.change(step["device"], _resets, _WITHIN_S):
                with self._alone(step["device"]):
                    self._switch(step)
                Remembered(self._parts.state_dir, self._parts.boot_id).keep(step["device"], None)
            else:
                self._switch(step)
        elif pending != enabled:
            self._ask(step["device"], enabled)
        return _facts(self._modes(step))

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Holds when the mode is in force and no other one is pending."""
        modes = self._modes(step)
        return dict(_facts(modes), holds=modes == (step["mig_enabled"], step["mig_enabled"]))

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Bring the other mode about."""
        return self.do(dict(step, mig_enabled=not step["mig_enabled"]))

    def _modes(self, step: "dict[str, Any]") -> "tuple[bool, bool]":
        """The mode in force and the pending one."""

        def act(gpu: "Gpu") -> "list[int]":
            with told(gpu, "read the MIG mode", _NEEDS):
                modes: "list[int]" = pynvml.nvmlDeviceGetMigMode(gpu.opened())
                return modes

        enabled, pending = self._nvml.change(step["device"], act, _WITHIN_S)
        return bool(enabled), bool(pending)

    def _ask(self, device: str, enabled: bool) -> int:
        """The activation code of one attempt."""

        def act(gpu: "Gpu") -> int:
            with told(gpu, "switch MIG mode %s" % _word(enabled), _NEEDS):
                code: int = pynvml.nvmlDeviceSetMigMode(gpu.opened(), int(enabled))
                return code

        code: int = self._nvml.change(device, act, _WITHIN_S)
        return code

    def _switch(self, step: "dict[str, Any]") -> None:
        device, wanted = step["device"], step["mig_enabled"]
        until_s = time.monotonic() + _LET_GO_S
        code = self._ask(device, wanted)
        while code == pynvml.NVML_ERROR_IN_USE and time.monotonic() < until_s:
            time.sleep(_POLL_S)
            code = self._ask(device, wanted)
        if code == pynvml.NVML_SUCCESS and self._modes(step)[0] == wanted:
            return
        by = self._nvml.change(device, users, _WITHIN_S)
        back = self._ask(device, not wanted)
        message = "device %s: MIG mode cannot be switched %s now" % (device, _word(wanted))
        if code == pynvml.NVML_ERROR_IN_USE:
            message += ": %s" % by
        else:
            message += ": it needs reset (%s)" % pynvml.NVMLError(code or pynvml.NVML_ERROR_RESET_REQUIRED)
        if back != pynvml.NVML_SUCCESS:
            message += "; it stays pending and comes into force at the next reset"
        raise Refused("in-use" if code == pynvml.NVML_ERROR_IN_USE else "unhealthy", message)

    @contextmanager
    def _alone(self, device: str) -> "Iterator[None]":
        """No other node program has the GPU open, and this one holds no handle from before or after the change."""
        with self._quiesce.asking(device):
            self._nvml.reopen()
            try:
                yield
            finally:
                self._nvml.reopen()


def _check_idle(gpu: "Gpu") -> None:
    with told(gpu, "look for its users", _NEEDS):
        pids = holders.on_device(gpu.opened())
        lying = []
        if pynvml.nvmlDeviceGetMigMode(gpu.opened())[0] == pynvml.NVML_DEVICE_MIG_ENABLE:
            lying = [found.place for found in instances.every(gpu)]
    if pids:
        raise Refused("in-use", "device %s is used by %s" % (gpu.uuid, holders.named(pids)))
    if lying:
        raise Refused("in-use", "device %s still has %s" % (gpu.uuid, ", ".join(lying)))


def _resets(gpu: "Gpu") -> bool:
    """Whether a change of the mode resets the GPU, which no other program may have open then."""
    try:
        return bool(pynvml.nvmlDeviceGetArchitecture(gpu.opened()) < _NO_RESET_SINCE)
    except pynvml.NVMLError:
        return True  # too much care does no harm


def _word(enabled: bool) -> str:
    return "on" if enabled else "off"


def _facts(modes: "tuple[bool, bool]") -> "dict[str, Any]":
    return {"mig_enabled": modes[0], "mig_pending": modes[1]}
