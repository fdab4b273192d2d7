"""The step `set` on a simulated node: power limit, locked clocks, compute mode and persistence."""

from __future__ import annotations

from typing import Any

from gpualloc.node.wire import Refused
from gpualloc.sim.gpu import GpuModel, GpuRefusal, GpuSettings
from gpualloc.sim.host import HANDLERS, SimulatedHost
from gpualloc.sim.partitioning import REASONS, healthy
from gpualloc.sim.rows import settings_row

_POWER_STEP_W = 1.0


class SettingSteps:
    """Sets what is wanted, all of it or nothing."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse what is out of range or not to be had in the GPU's mode."""
        _set(GpuModel.from_plain(healthy(host, step).to_plain()), step["wanted"])

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Set what is wanted."""
        gpu = healthy(host, step)
        _set(gpu, step["wanted"])
        return {"settings": settings_row(gpu)}

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Holds when everything wanted is set."""
        told = settings_row(healthy(host, step))
        holds = all(_same(told[name], value) for name, value in step["wanted"].items())
        return {"holds": holds, "settings": told}

    def undo(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Set what was there before; what is not told of it becomes what a loaded driver has, persistence stays."""
        gpu = healthy(host, step)
        fresh = {name: getattr(GpuSettings(), name) for name in step["wanted"] if name != "persistence"}
        if "power_limit_w" in fresh:
            fresh["power_limit_w"] = gpu.kind.power_limit_w
        target = fresh | {name: value for name, value in step["before"].items() if name in step["wanted"]}
        if gpu.mig_enabled:
            target.pop("compute_mode", None)
        _set(gpu, target)
        return {"settings": settings_row(gpu)}


def _set(gpu: GpuModel, wanted: dict[str, Any]) -> None:
    try:
        gpu.change_settings(**wanted)
    except GpuRefusal as refusal:
        raise Refused(REASONS[refusal.reason], f"GPU {gpu.index}: {refusal}") from refusal


def _same(known: Any, wanted: Any) -> bool:
    if isinstance(wanted, float):
        return known is not None and abs(known - wanted) <= _POWER_STEP_W
    return bool(known == wanted)


HANDLERS["set"] = SettingSteps()
