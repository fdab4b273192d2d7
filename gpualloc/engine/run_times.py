"""How long work of each class runs, from the books."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpualloc.engine.context import Context
from gpualloc.forecast.run_times import ClassRunTime, PastRun, RunTimes
from gpualloc.model.workload import Workload, WorkloadState

PAST_S = 90 * 86_400.0
"""Runs that ended longer ago tell little of today's."""
_NUMBER = re.compile(r"(?<=[^\W\d_])[\W_]*\d+$")
_AT_LIMIT = 0.999
"""A run that took this part of its `--at-most` was stopped by it: the node looks only now and then."""


def run_times(ctx: Context) -> RunTimes:
    """What the runs of the last months tell."""
    now_s = ctx.clock.now_s()
    return RunTimes(past_runs(ctx.journal.workloads(ended_since_s=now_s - PAST_S), now_s))


def run_times_by_class(ctx: Context) -> tuple[ClassRunTime, ...]:
    """How long the work of each class runs that was seen; empty when no run ended."""
    seen = run_times(ctx)
    told = [(*each, seen.expect(*each)) for each in seen.classes()]
    return tuple(ClassRunTime(user, label, gpus, found) for user, label, gpus, found in told if found is not None)


def past_runs(workloads: Sequence[Workload], now_s: float) -> list[PastRun]:
    """The runs of these workloads; those that never began, or of whose end nobody knows when, are left out. Pure.

    What an operator released, what was lost, and what its `--at-most` stopped would have run longer.
    """
    runs = []
    for work in workloads:
        until_s = work.ended_at_s if work.state.ended else now_s
        if work.started_at_s is None or until_s is None:
            continue
        seconds = max(0.0, until_s - work.started_at_s)
        over = work.state in (WorkloadState.FINISHED, WorkloadState.FAILED) and not _stopped(work, seconds)
        runs.append(PastRun(work.owner, label_of(work.name), work.request.gpus, seconds, over))
    return runs


def label_of(name: str) -> str:
    """What work is called apart from a number at its end: `train` of `train-17`; a name of digits stays."""
    return _NUMBER.sub("", name)


def _stopped(work: Workload, seconds: float) -> bool:
    at_most_s = work.request.at_most_s
    return at_most_s is not None and seconds >= at_most_s * _AT_LIMIT
