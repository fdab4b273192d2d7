"""The step `set`: power limit, locked clocks, compute mode and persistence of a GPU.

Either all that is wanted is set, or what was set already is put back. The range of locked clocks cannot be read from
the driver: what was set here is remembered for this boot (`settings.Remembered`).
"""

from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node.refusals import told
from gpualloc.node.settings import CLOCKS, MODES, READ, Remembered, power_default_w, power_range_w
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpualloc.node.gpu import Gpu
    from gpualloc.node.parts import Parts

_NEEDS = "root"
_WITHIN_S = 20.0
_POWER_STEP_W = 1.0
"""Drivers round power limits."""
_UNLOCKED = dict.fromkeys(CLOCKS, 0)
_MODE_NUMBERS = {word: number for number, word in MODES.items()}


class Handler:
    """Sets what differs from what is wanted."""

    def __init__(self, parts: "Parts") -> None:
        self._nvml = parts.nvml
        self._remembered = Remembered(parts.state_dir, parts.boot_id)

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse what is out of range or cannot be set in the GPU's present mode."""
        self._nvml.change(step["device"], lambda gpu: _check(gpu, step["wanted"]), _WITHIN_S)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Set what is wanted, as far as it is not so already."""
        return {"settings": self._set(step["device"], lambda _gpu: dict(step["wanted"]))}

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Holds when the driver tells what is wanted, and the clock range was set so in this boot."""
        settings = self._nvml.change(step["device"], self._settings, _WITHIN_S)
        return {"holds": all(_same(settings, part) for part in _parts(step["wanted"])), "settings": settings}

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Set what was there before; what is not known of that becomes what it is after a reboot."""
        return {"settings": self._set(step["device"], lambda gpu: _before(gpu, step))}

    def _set(self, device: str, target: "Callable[[Gpu], dict[str, Any]]") -> "dict[str, Any]":
        def act(gpu: "Gpu") -> "dict[str, Any]":
            wanted = target(gpu)
            _check(gpu, wanted)
            before = self._settings(gpu)
            done: "list[dict[str, Any]]" = []
            try:
                for part in _parts(wanted):
                    if not _same(before, part):
                        self._write(gpu, part)
                        done.append(part)
            except Refused:
                for part in done:
                    back = {name: before.get(name, 0) for name in part}
                    if None not in back.values():
                        self._write(gpu, back)
                raise
            return self._settings(gpu)

        settings: "dict[str, Any]" = self._nvml.change(device, act, _WITHIN_S)
        return settings

    def _settings(self, gpu: "Gpu") -> "dict[str, Any]":
        """Every setting that the driver tells, and the clock range that was set here."""
        found: "dict[str, Any]" = {}
        for name, function in READ.items():
            try:
                found[name] = function(gpu.opened())
            except pynvml.NVMLError_NotSupported:
                found[name] = None
            except pynvml.NVMLError as error:
                raise Refused("unhealthy", "device %s: cannot read its %s: %s" % (gpu.uuid, name, error)) from error
        found.update(self._remembered.clocks(gpu.uuid))
        return found

    def _write(self, gpu: "Gpu", part: "dict[str, Any]") -> None:
        handle = gpu.opened()
        with told(gpu, "set %s" % ", ".join("%s to %s" % item for item in sorted(part.items())), _NEEDS):
            if "power_limit_w" in part:
                pynvml.nvmlDeviceSetPowerManagementLimit(handle, round(part["power_limit_w"] * 1000))
            elif "compute_mode" in part:
                pynvml.nvmlDeviceSetComputeMode(handle, _MODE_NUMBERS[part["compute_mode"]])
            elif "persistence" in part:
                pynvml.nvmlDeviceSetPersistenceMode(handle, int(part["persistence"]))
            elif part == _UNLOCKED:
                pynvml.nvmlDeviceResetGpuLockedClocks(handle)
            else:
                pynvml.nvmlDeviceSetGpuLockedClocks(handle, *(part[name] for name in CLOCKS))
        if part.keys() == _UNLOCKED.keys():
            self._remembered.keep(gpu.uuid, part)


def _parts(wanted: "dict[str, Any]") -> "list[dict[str, Any]]":
    """What is set by one call each: both ends of the clock range go together."""
    single: "list[dict[str, Any]]" = [
        {name: wanted[name]} for name in ("power_limit_w", "compute_mode", "persistence") if name in wanted
    ]
    return single + ([{name: wanted[name] for name in CLOCKS}] if CLOCKS[0] in wanted else [])


def _same(settings: "dict[str, Any]", part: "dict[str, Any]") -> bool:
    if "power_limit_w" in part:
        known = settings["power_limit_w"]
        return known is not None and abs(known - part["power_limit_w"]) <= _POWER_STEP_W
    return all(settings.get(name) == value for name, value in part.items())


def _check(gpu: "Gpu", wanted: "dict[str, Any]") -> None:
    """Refuse a power limit out of range, a clock range that is none, and a compute mode of a GPU in MIG mode."""
    with told(gpu, "look at its settings", _NEEDS):
        if "power_limit_w" in wanted:
            low, high = power_range_w(gpu.opened())
            if not low <= wanted["power_limit_w"] <= high:
                raise Refused(
                    "bad-request",
                    "device %s: a power limit of %g W is not in %g..%g W"
                    % (gpu.uuid, wanted["power_limit_w"], low, high),
                )
        if CLOCKS[0] in wanted and wanted[CLOCKS[0]] > wanted[CLOCKS[1]]:
            raise Refused("bad-request", "the lower clock %d MHz is above the upper one" % wanted[CLOCKS[0]])
        if "compute_mode" in wanted and _in_mig_mode(gpu):
            raise Refused("not-supported", "device %s is in MIG mode: its compute mode cannot be set" % gpu.uuid)


def _in_mig_mode(gpu: "Gpu") -> bool:
    try:
        return bool(pynvml.nvmlDeviceGetMigMode(gpu.opened())[0] == pynvml.NVML_DEVICE_MIG_ENABLE)
    except pynvml.NVMLError_NotSupported:
        return False


def _before(gpu: "Gpu", step: "dict[str, Any]") -> "dict[str, Any]":
    """For everything that was wanted: what it was before, else what a reboot would make of it."""
    target = {name: value for name, value in step["before"].items() if name in step["wanted"]}
    with told(gpu, "look at its settings", _NEEDS):
        if "power_limit_w" in step["wanted"] and "power_limit_w" not in target:
            target["power_limit_w"] = power_default_w(gpu.opened())
    if CLOCKS[0] in step["wanted"] and CLOCKS[0] not in target:
        target.update(_UNLOCKED)
    if "compute_mode" in step["wanted"]:
        target.setdefault("compute_mode", "default")
    if _in_mig_mode(gpu):
        target.pop("compute_mode", None)  # the GPU as a whole has none now
    return target
