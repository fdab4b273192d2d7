"""Demand and arrivals, rebuilt from what was submitted, started and ended: series of the books, not of samples.

Only work that gpualloc was asked for counts; strangers' processes are in no books.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from gpualloc.engine.context import Context
from gpualloc.forecast.gridding import Span, counts, levels, where_known
from gpualloc.model.allocation import Share
from gpualloc.model.foresight import ANY_POOL, ARRIVALS, By, Subject
from gpualloc.model.inventory import NodeSpec
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.model.workload import Workload, WorkloadState

LOOK_HOLDS_S = 900.0
"""How long work is taken to run still after it was last seen to."""
MIG_SLICES = 7
"""Compute slices of a GPU with MIG; one with fewer (A30) counts low."""
_ON_NODES = (WorkloadState.RUNNING, WorkloadState.SUSPENDED)
"""States in which work may end without anybody of ours doing it."""
_SLICES = re.compile(r"([1-9])g\.")


def demand_at(ctx: Context, subject: Subject, times: Sequence[float], step_s: float) -> dict[str, list[float]]:
    """The demand at ascending times, or the arrivals in the step before each, by name of the series.

    NaN before anything was written to the state; demand also a while after work that runs by the books was last seen
    to run: it may have ended.
    """
    workloads = ctx.journal.workloads(ended_since_s=times[0] - step_s) if times else ()
    specs, begun_s = ctx.fleet.specs(), ctx.journal.begun_at_s()
    since_s = math.inf if begun_s is None else begun_s
    until_s = {} if subject.what == ARRIVALS else known_until(workloads, specs, subject, ctx.history.workloads_seen())
    series = series_at(workloads, specs, subject, times, step_s)
    return {name: where_known(values, times, since_s, until_s.get(name, math.inf)) for name, values in series.items()}


def series_at(
    workloads: Sequence[Workload], specs: Sequence[NodeSpec], subject: Subject, times: Sequence[float], step_s: float
) -> dict[str, list[float]]:
    """As `demand_at`, of these workloads, as if everything were known. Pure.

    Args:
        workloads: all that were submitted or not ended since a step before the first time.
        specs: the nodes, which say what lies in which pool.
        subject: demand or arrivals, and what they are told apart by.
        times: ascending.
        step_s: length of a step.
    """
    names = _namer(specs, subject)
    wanted = [(work, name) for work in workloads if work.request.gpus and (name := names(work)) is not None]
    if subject.what == ARRIVALS:
        moments: dict[str, list[float]] = {name: [] for name in _always(specs, subject)}
        for work, name in sorted(wanted, key=lambda pair: pair[0].submitted_at_s):
            moments.setdefault(name, []).append(work.submitted_at_s)
        return {name: counts(found, times, step_s) for name, found in moments.items()}
    spans: dict[str, list[Span]] = {name: [] for name in _always(specs, subject)}
    for work, name in wanted:
        spans.setdefault(name, []).append(Span(work.submitted_at_s, _until_s(work), gpu_milli(work)))
    return {name: levels(found, times) for name, found in spans.items()}


def gpu_milli(workload: Workload) -> int:
    """GPUs it holds or asks for, in 1/1000; of a MIG instance the part of a GPU that its compute slices are."""
    request = workload.request
    if request.share is not Share.MIG:
        return request.gpus * round((request.fraction or 1.0) * GPU_MILLI)
    slices = _SLICES.match(_profile(workload) or "")
    return request.gpus * (GPU_MILLI if slices is None else round(int(slices[1]) * GPU_MILLI / MIG_SLICES))


def pool_of(workload: Workload, specs: Sequence[NodeSpec]) -> str:
    """The pool it is or was in, or the only one it could be in; else `ANY_POOL`."""
    request = workload.request
    if workload.allocation is not None:
        names = set(workload.allocation.nodes)
        found = {spec.pool for spec in specs if spec.name in names}
        known = names <= {spec.name for spec in specs}
        return found.pop() if known and len(found) == 1 else ANY_POOL
    allowed = {
        spec.pool
        for spec in specs
        if (not request.nodes or spec.name in request.nodes)
        and all(spec.labels.get(name) == value for name, value in request.labels)
    }
    return allowed.pop() if len(allowed) == 1 else ANY_POOL


def known_until(
    workloads: Sequence[Workload], specs: Sequence[NodeSpec], subject: Subject, seen: Mapping[str, float]
) -> dict[str, float]:
    """Until when demand is known, by series; those without running work are not among them: nothing of it can have
    ended unseen.

    Args:
        workloads: as of `series_at`.
        specs: as of `series_at`.
        subject: as of `series_at`.
        seen: when work was last seen to run, by id.
    """
    found: dict[str, float] = {}
    names = _namer(specs, subject)
    for work in workloads:
        name = names(work) if work.request.gpus and work.state in _ON_NODES else None
        if name is not None:
            until_s = max(seen.get(work.id, -math.inf), work.started_at_s or 0.0) + LOOK_HOLDS_S
            found[name] = min(until_s, found.get(name, math.inf))
    return found


def _namer(specs: Sequence[NodeSpec], subject: Subject) -> Callable[[Workload], str | None]:
    """What names the series of a piece of work; None when it belongs to none."""
    of: Mapping[By, Callable[[Workload], str]] = {
        By.POOL: lambda work: pool_of(work, specs),
        By.TENANT: lambda work: work.owner,
        By.PROFILE: lambda work: _profile(work) or work.request.share.value,
        By.ALL: lambda _work: By.ALL.value,
    }
    name = of[subject.by]
    if not subject.pool:
        return name
    return lambda work: name(work) if pool_of(work, specs) == subject.pool else None


def _always(specs: Sequence[NodeSpec], subject: Subject) -> set[str]:
    """Series that are there although nothing was ever asked of them."""
    if subject.by is By.ALL:
        return {By.ALL.value}
    if subject.by is not By.POOL:
        return set()
    return {spec.pool for spec in specs if subject.pool in ("", spec.pool)}


def _profile(workload: Workload) -> str | None:
    """The MIG profile it has or asks for; None for other work, and where only memory was asked for."""
    if workload.request.share is not Share.MIG:
        return None
    places = [grant.place for grant in workload.allocation.grants] if workload.allocation is not None else []
    placed = next((place for place in places if place is not None), None)
    return workload.request.mig_profile or (placed.partition("@")[0] if placed else None)


def _until_s(workload: Workload) -> float:
    """When it stopped wanting anything; where nobody knows, the last moment it is known to have wanted it."""
    if not workload.state.ended:
        return math.inf
    known = (workload.ended_at_s, workload.started_at_s, workload.submitted_at_s)
    return next(at_s for at_s in known if at_s is not None)
