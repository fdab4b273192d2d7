"""Burn-in of a simulated node: healthy memory passes at the speed of its bus, a sick GPU fails as a real one does."""

from __future__ import annotations

from typing import Any

from gpualloc.node.wire import Refused
from gpualloc.sim.gpu import FaultKind
from gpualloc.sim.host import SimulatedHost
from gpualloc.sim.topology import LANES, pcie_generation

_COMPARED_MIB_PER_S = 2000
_LANE_BYTES_PER_S = {3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
"""What one lane of a PCIe generation carries."""
_REACHED = 0.8
"""Part of that which copies reach; assumed."""


def burnin_row(host: SimulatedHost, asked: dict[str, Any]) -> dict[str, Any]:
    """What the slice comes to; no time passes for it."""
    found = {
        "at_s": host.now_s,
        "mib": asked["mib"],
        "seconds": asked["seconds"],
        "passes": 1,
        "compared_mib": int(asked["seconds"] * _COMPARED_MIB_PER_S),
        "errors": 0,
        "first_error": None,
    }
    if asked["device"] is None:
        return found
    gpu = next((each for each in host.gpus if each.uuid == asked["device"]), None)
    if gpu is None:
        raise Refused("gone", f"there is no device {asked['device']}")
    fault = host.faults.get(gpu.index)
    if fault is not None:
        hung = fault[0] is FaultKind.HUNG
        raise Refused("unhealthy", "the check did not return, and was given up" if hung else f"it is {fault[0].value}")
    speed = _LANE_BYTES_PER_S[pcie_generation(gpu.kind)] * LANES * _REACHED
    bus = {"to_gpu_bytes_per_s": speed, "from_gpu_bytes_per_s": speed}
    return {**found, **bus, "memory_mib": gpu.kind.memory_total_mib}
