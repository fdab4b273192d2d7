"""What came of a run with arrivals and departures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.sim.traces.result import DecisionTimes, Failures


class Waits(Struct, frozen=True):
    """How long the tasks of one kind waited for their place, in seconds."""

    tasks: int
    """Those that arrived in the measured time and got a place in the end; all figures but the longest are of them."""
    at_once: int
    """How many of them got it when they came."""
    mean_s: float | None
    """None, as are the others, when there were no such tasks."""
    p50_s: float | None
    p90_s: float | None
    p99_s: float | None
    longest_s: float | None
    """Of all tasks of the kind whenever they arrived; one that never got a place counts until the last task left."""


class Moment(Struct, frozen=True):
    """The means of a part of the time from the first to the last arrival."""

    at_s: float
    """Where the part ends."""
    allocated_pct: float
    """Of all GPUs."""
    waiting: float
    """Tasks."""
    fragmentation_pct: float | None
    """Expected fragment in percent of all GPUs, at the end of the part; None when nothing happened in it."""


class Migrations(Struct, frozen=True):
    """What was moved."""

    moves: int
    """Running tasks that were moved; each pauses for the stated time."""
    helped: int
    """Waiting tasks that got a place by it."""
    stranded: int
    """Moved tasks for which the policy had no other place, so that they waited."""


class ChurnResult(Struct, frozen=True):
    """What came of one run."""

    policy: str
    profile: str | None
    """Name of the saved weights that the policy used; None when it used its own."""
    seed: int | None
    """None: the tasks come in the recorded order."""
    load: float | None
    """The stated load; None: recorded times as they are."""
    offered_pct: float
    """Mean GPU demand in use in the measured time if nothing had to wait, in percent of all GPUs."""
    rounds: int
    factor: float
    """What the recorded times between arrivals were multiplied by."""
    arrivals: int
    without_times: int
    """Tasks left out since the trace does not tell when they came and left."""
    capacity_milli: int
    """Compute of all GPUs, 1/1000 of a GPU."""
    measured_s: tuple[float, float]
    """The measured time, from and to; it ends with the last arrival."""
    makespan_s: float
    """From the first arrival until the last task left."""
    allocated_pct: float
    """Mean in the measured time, of all GPUs."""
    fragmentation_pct: float | None
    """Mean in the measured time of the expected fragment in percent of all GPUs."""
    timeline: tuple[Moment, ...]
    waits: dict[str, Waits]
    """By kind, in the order of `KINDS`."""
    waiting_at_end: int
    """Tasks that waited when the last one arrived."""
    never_placed: Failures
    """Tasks that had no place even when all others had left."""
    migrations: Migrations
    violations: int
    """Answers that broke the cluster's limits; they are not carried out, and the task is dropped."""
    violations_told: tuple[str, ...]
    """The first of them in words."""
    refusals_that_fitted: int
    """Answers that there is no place although there was one."""
    decision_us: NDArray[np.float64]
    """Time of each decision in microseconds, refusals included."""

    @property
    def times(self) -> DecisionTimes:
        """How long decisions took."""
        p50, p99 = np.percentile(self.decision_us, (50, 99)).tolist()
        return DecisionTimes(float(self.decision_us.mean()), p50, p99)


def waits_of(measured: Sequence[float], longest_s: float | None) -> Waits:
    """The figures of one kind.

    Args:
        measured: waits in seconds of the tasks that arrived in the measured time and got a place.
        longest_s: the longest of all tasks of the kind; None when there was no task.
    """
    if not measured:
        return Waits(0, 0, None, None, None, None, longest_s)
    p50, p90, p99 = np.percentile(measured, (50, 90, 99)).tolist()
    at_once = sum(not wait for wait in measured)
    return Waits(len(measured), at_once, float(np.mean(measured)), p50, p90, p99, longest_s)
