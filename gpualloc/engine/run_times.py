"""How long work of each class runs, from the books."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.score import scores_of
from gpualloc.forecast.run_times import ClassRunTime, PastRun, RunTimes
from gpualloc.model.forecast import Band
from gpualloc.model.foresight import RUN_TIME, By, KeptForecast, Score, Subject
from gpualloc.model.workload import Workload, WorkloadState

PAST_S = 90 * 86_400.0
"""Runs that ended longer ago tell little of today's."""
MOST_SCORED = 200
"""Runs that are looked back at to see how well run times were told: each takes all that was known before it."""
_SUBJECT = Subject(RUN_TIME, By.ALL)
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


def score_run_times(ctx: Context) -> tuple[Score, ...]:
    """How run times would have been told when the newest runs began, by what was known then, beside what came."""
    now_s = ctx.clock.now_s()
    return scores_of(told_before(ctx.journal.workloads(ended_since_s=now_s - PAST_S)))


def told_before(workloads: Sequence[Workload]) -> list[tuple[KeptForecast, float]]:
    """What would have been told of each of the newest runs when it began, with how long it took. Pure.

    Only runs that came to their end, and of which a whole band could be told.
    """
    runs = [(work.started_at_s or 0.0, run) for work in workloads for run in past_runs([work], math.inf)]
    runs.sort(key=lambda begun: begun[0])
    pairs = []
    for begun_s, run in [begun for begun in runs if begun[1].ended][-MOST_SCORED:]:
        told = RunTimes(_as_of(runs, begun_s)).expect(run.user, run.label, run.gpus)
        if told is not None and told.median is not None and told.high is not None:
            band = Band(told.low, told.median, told.high)
            last = _last_ended(runs, begun_s)
            pairs.append((KeptForecast(_SUBJECT, run.label, round(begun_s), 0, 0, "class", band, last), run.seconds))
    return pairs


def _as_of(runs: Sequence[tuple[float, PastRun]], at_s: float) -> list[PastRun]:
    """The runs that had begun before then, as they stood."""
    begun = [(since_s, run) for since_s, run in runs if since_s < at_s]
    return [
        run if since_s + run.seconds <= at_s else replace(run, seconds=at_s - since_s, ended=False)
        for since_s, run in begun
    ]


def _last_ended(runs: Sequence[tuple[float, PastRun]], at_s: float) -> float | None:
    """How long the run took that came to its end last before then."""
    ends = [(since_s + run.seconds, run.seconds) for since_s, run in runs if run.ended]
    return max((end for end in ends if end[0] <= at_s), default=(0.0, None))[1]


def _stopped(work: Workload, seconds: float) -> bool:
    at_most_s = work.request.at_most_s
    return at_most_s is not None and seconds >= at_most_s * _AT_LIMIT
