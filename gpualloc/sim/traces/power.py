"""What a simulated cluster would draw, by the power model of PWR (Lettich et al., CCGrid 2025, arXiv 2412.17484).

A GPU with anything on it draws its most, an idle one its idle power. Two CPUs of a trace are the threads of one core;
the cores in use are thought together in as few sockets as hold them, and a socket in use draws its most. Every node is
taken to have the sockets that PWR falls back to, since traces do not name CPUs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from gpualloc.model.shapes import GPU_MILLI
from gpualloc.sim.traces.referee import Referee
from gpualloc.sim.traces.trace import TraceNode


class Watts(Struct, frozen=True):
    """What one part draws."""

    idle: int
    full: int


GPU_WATTS = {
    "T4": Watts(10, 70),
    "A10": Watts(30, 150),
    "P100": Watts(25, 250),
    "V100M16": Watts(30, 300),
    "V100M32": Watts(30, 300),
    "A100": Watts(50, 400),
    "G2": Watts(30, 150),
    "G3": Watts(50, 400),
}
"""By the model names of openb. G2 and G3 are hidden names; PWR takes them for A10 and A100."""
SOCKET_WATTS = Watts(15, 120)
"""Intel Xeon E5-2682 v4."""
SOCKET_CORES = 16
CORE_CPU_MILLI = 2000
"""CPU of a trace that is one core, in 1/1000 of a CPU."""


class Power(Struct, frozen=True):
    """What the whole cluster draws at one moment, in kW."""

    gpus_kw: float | None
    """None when there are GPUs of a model without figures."""
    cpus_kw: float

    @property
    def all_kw(self) -> float | None:
        """GPUs and CPUs together; None when that of the GPUs is not known."""
        return None if self.gpus_kw is None else self.gpus_kw + self.cpus_kw


def models_without_figures(nodes: Sequence[TraceNode]) -> tuple[str, ...]:
    """The GPU models, by name, of which nobody told what they draw."""
    return tuple(sorted({node.model for node in nodes if node.gpus} - GPU_WATTS.keys()))


def power_of(nodes: Sequence[TraceNode], cluster: Referee) -> Power:
    """What the nodes draw as they are in the referee's books, which were begun with these nodes."""
    gpus_kw = None if models_without_figures(nodes) else _gpus_w(nodes, cluster) / 1000
    return Power(gpus_kw, _cpus_w(nodes, cluster) / 1000)


def _gpus_w(nodes: Sequence[TraceNode], cluster: Referee) -> int:
    there = np.array([node.gpus for node in nodes], np.int64)
    idle = (cluster.free == GPU_MILLI).sum(axis=1)
    watts = [GPU_WATTS.get(node.model, Watts(0, 0)) for node in nodes]
    idle_w = np.array([one.idle for one in watts], np.int64)
    full_w = np.array([one.full for one in watts], np.int64)
    return int((idle * idle_w + (there - idle) * full_w).sum())


def _cpus_w(nodes: Sequence[TraceNode], cluster: Referee) -> int:
    cores = -(-np.array([node.cpu_milli for node in nodes], np.int64) // CORE_CPU_MILLI)
    busy = cores - cluster.cpu // CORE_CPU_MILLI
    sockets, active = -(-cores // SOCKET_CORES), -(-busy // SOCKET_CORES)
    return int((active * SOCKET_WATTS.full + (sockets - active) * SOCKET_WATTS.idle).sum())
