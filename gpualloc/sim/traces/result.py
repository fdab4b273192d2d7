"""What came of a simulated run, in the figures that are reported together."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.sim.traces.power import Power

KINDS = ("cpu_only", "fractional", "single", "multi")
"""Kinds of tasks, as results tell them apart."""


class Failures(Struct, frozen=True):
    """Tasks that got no place, by kind."""

    cpu_only: int = 0
    fractional: int = 0
    single: int = 0
    multi: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.cpu_only + self.fractional + self.single + self.multi


class DecisionTimes(Struct, frozen=True):
    """How long decisions took, in microseconds."""

    mean_us: float
    p50_us: float
    p99_us: float

    @property
    def per_s(self) -> float | None:
        """Decisions in a second; None when the clock was too coarse to tell."""
        return 1e6 / self.mean_us if self.mean_us > 0 else None


class PackingResult(Struct, frozen=True):
    """What came of one run."""

    policy: str
    profile: str | None
    """Name of the saved weights that the policy used; None when it used its own."""
    seed: int
    arrivals: int
    """Tasks that came."""
    capacity_milli: int
    """Compute of all GPUs, 1/1000 of a GPU."""
    unallocated_pct: dict[str, float | None]
    """By load in percent; None where the run never was."""
    curve: tuple[tuple[int, float], ...]
    """Load in percent, ascending, and the unallocated part there in percent."""
    fragmentation_pct: float | None
    """Expected fragment in percent of all GPUs, when the load was 100 %; None when it never was."""
    failed: Failures
    violations: int
    """Answers that broke the cluster's limits; they are not carried out."""
    violations_told: tuple[str, ...]
    """The first of them in words."""
    refusals_that_fitted: int
    """Tasks that got no place although there was one."""
    model_use: dict[str, float]
    """Allocated part of the GPUs of each model at the end, 0..1."""
    power: Power | None
    """When the load was 100 %; None when it never was."""
    power_at_end: Power
    without_figures: tuple[str, ...]
    """GPU models of which nobody told what they draw."""
    decision_us: NDArray[np.float64]
    """Time of each decision in microseconds, in the order of arrival."""
    placements: tuple[tuple[int, str, tuple[int, ...]], ...] = ()
    """Task row, node (empty: no place) and GPU indices of each arrival; empty unless asked for."""

    @property
    def times(self) -> DecisionTimes:
        """How long decisions took."""
        p50, p99 = np.percentile(self.decision_us, (50, 99)).tolist()
        return DecisionTimes(float(self.decision_us.mean()), p50, p99)


def kind_of(shape: Shape) -> str:
    """Which of `KINDS` a task is of."""
    if not shape.gpus:
        return "cpu_only"
    if shape.gpus > 1:
        return "multi"
    return "single" if shape.milli == GPU_MILLI else "fractional"
