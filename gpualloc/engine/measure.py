"""One run of a policy for a search: which, on what, and the few figures that count. Can be sent to another process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from gpualloc.engine.simulate import PackingTrial, simulate_packing
from gpualloc.errors import BrokenInputError, UsageError
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies import registry
from gpualloc.policies.profile import Profile, profiled
from gpualloc.sim.traces.arrivals import Order, inflate
from gpualloc.sim.traces.curve import Curve
from gpualloc.sim.traces.trace import Tasks, TraceNode

LOADS_PCT = ("95", "100", "130")
"""Loads that count, where a run comes so far."""


class Run(Struct, frozen=True):
    """One order of arrival under one policy."""

    profile: Profile | None
    """What to decide by; None is the reference."""
    reference: str
    """Name of the reference policy."""
    trace: int
    """Which of the task tables."""
    seed: int
    """What the order is drawn from."""


class Figures(Struct, frozen=True):
    """What came of a run."""

    unallocated_pct: dict[str, float]
    """By load in percent: those of `LOADS_PCT` that there are."""
    failed_gangs_pct: float
    """Part of the tasks with several GPUs that got no place; 0 when there were none."""
    failed_cpu_only_pct: float
    """The same of tasks without GPU."""


class Measure(Struct, frozen=True):
    """Makes runs on one cluster."""

    nodes: tuple[TraceNode, ...]
    traces: tuple[Tasks, ...]
    load: float
    """GPU demand to draw, as a part of all GPUs."""

    def __call__(self, run: Run) -> Figures:
        """Play one run.

        Raises:
            NotFoundError, ConfigError: the reference cannot be loaded.
            BrokenInputError: the arrivals end before the first load that counts.
        """
        tasks = self.traces[run.trace]
        order = self.order(run.trace, run.seed)
        if run.profile is None:
            policy = registry.load(run.reference)
        else:
            policy = profiled(registry.load(run.profile.policy), run.profile, run.profile.name)
        trial = PackingTrial(self.nodes, tasks, order, seed=run.seed, keep_placements=True)
        result = simulate_packing(trial, policy, _no_time)
        unallocated = self._unallocated_pct(tasks, order, [bool(node) for _, node, _ in result.placements])
        if not unallocated:
            raise BrokenInputError(
                f"{tasks.source}: the arrivals end before a load of {LOADS_PCT[0]}%", hint="raise --load"
            )
        gpus = np.array([shape.gpus for shape in tasks.shapes])[tasks.shape_of[order]]
        return Figures(
            unallocated_pct=unallocated,
            failed_gangs_pct=_pct(result.failed.multi, int((gpus > 1).sum())),
            failed_cpu_only_pct=_pct(result.failed.cpu_only, int((gpus == 0).sum())),
        )

    def _unallocated_pct(self, tasks: Tasks, order: Order, placed: Sequence[bool]) -> dict[str, float]:
        """By load; on a small cluster, where no arrival has just that load, that of the next there is."""
        curve = Curve(self._capacity_milli)
        each = tasks.gpu_milli[order]
        for arrived, allocated in zip(each.cumsum().tolist(), (each * np.array(placed)).cumsum().tolist(), strict=True):
            curve.add(arrived, allocated)
        found = {}
        for load in LOADS_PCT:
            there = next((known for known in curve.loads_pct if known >= int(load)), None)
            part = None if there is None else curve.unallocated_pct(there)
            if part is not None:
                found[load] = part
        return found

    @property
    def _capacity_milli(self) -> int:
        return sum(node.gpus for node in self.nodes) * GPU_MILLI

    def order(self, trace: int, seed: int) -> Order:
        """The order of arrival of that seed."""
        return inflate(self.traces[trace], self._capacity_milli, self.load, seed)


def check_load(load: float) -> float:
    """Accept a load to draw that comes as far as the first that counts.

    Raises:
        UsageError: it does not.
    """
    if load * 100 < float(LOADS_PCT[0]):
        raise UsageError(f"--load {load:g} ends before {LOADS_PCT[0]}%, the first load that counts")
    return load


def _no_time() -> float:
    return 0.0


def _pct(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
