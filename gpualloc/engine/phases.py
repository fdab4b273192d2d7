"""The phases of a workload so far, and what it will use next, from the samples that were kept of it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

from gpualloc.engine.context import Context
from gpualloc.errors import NotFoundError
from gpualloc.forecast.phases import MEMORY, POWER, USE, find_phases
from gpualloc.forecast.profile import Demand, demand_profile
from gpualloc.forecast.regime import Past
from gpualloc.forecast.workload import WorkloadPhases
from gpualloc.model.forecast import Grid
from gpualloc.model.sample import METRICS, Series
from gpualloc.model.workload import Workload

HORIZONS_S = (900.0, 3600.0, 3 * 3600.0, 6 * 3600.0)
"""Ends of the intervals for which the next use is told."""
MOST_TICKS = 40_000
"""Of a longer time only the newest part is looked at."""
_BEGIN_TICKS = 2
"""Samples that begin at most so many ticks after the work are from its start."""
_MOST_OTHERS = 8
"""Earlier runs that are looked at."""


def phases_of(ctx: Context, reference: str, since_s: float | None = None) -> WorkloadPhases:
    """Find the phases of a workload's latest start.

    Args:
        ctx: the ports.
        reference: id, unique prefix or name.
        since_s: look only at the last so many seconds; None is all that is kept of it.

    Raises:
        NotFoundError: there is no such workload, or no sample of it.
    """
    workload = ctx.journal.find(reference)
    grid = _grid(ctx, workload, since_s)
    if grid is None:
        raise NotFoundError(
            f"nothing was sampled of {workload.id} in this time; it is {workload.state.value}",
            hint="`gpualloc sample --every` keeps what running work uses",
        )
    own = _past(workload, grid)
    others = () if workload.state.ended else earlier_runs(ctx, workload)
    demand = () if workload.state.ended else _demand(workload, own, others, HORIZONS_S)
    found = find_phases(grid, from_start=own.from_age_s == 0.0)
    return WorkloadPhases(workload, grid, own.from_age_s == 0.0, found, demand, len(others))


def demand_of(ctx: Context, workload: Workload, horizons: Sequence[float] = HORIZONS_S) -> tuple[Demand, ...]:
    """What work that waits or runs is expected to use, from its start or from its last sample on.

    Args:
        ctx: the ports.
        workload: the work; nothing needs to have been sampled of it.
        horizons: ends of the intervals in seconds, ascending.
    """
    grid = None if workload.started_at_s is None else _grid(ctx, workload, None)
    return _demand(workload, None if grid is None else _past(workload, grid), earlier_runs(ctx, workload), horizons)


def earlier_runs(ctx: Context, workload: Workload) -> tuple[Past, ...]:
    """What was sampled of the newest other runs of that owner and name, oldest first."""
    alike = [
        other
        for other in ctx.journal.workloads()
        if (other.owner, other.name) == (workload.owner, workload.name) and other.id != workload.id
    ]
    newest = sorted((other for other in alike if other.started_at_s), key=lambda other: other.started_at_s or 0.0)
    seen = [(other, _grid(ctx, other, None)) for other in newest[-_MOST_OTHERS:]]
    return tuple(_past(other, grid) for other, grid in seen if grid is not None)


def _past(workload: Workload, grid: Grid) -> Past:
    age_s = grid.start_s - (workload.started_at_s or grid.start_s)
    return Past(grid, age_s if age_s >= _BEGIN_TICKS * grid.step_s else 0.0)


def _demand(
    workload: Workload, own: Past | None, others: Sequence[Past], horizons: Sequence[float]
) -> tuple[Demand, ...]:
    request = workload.request
    return demand_profile(own, others, request.declared, horizons, gpus=request.gpus)


def _grid(ctx: Context, workload: Workload, since_s: float | None) -> Grid | None:
    """The samples of its latest start; None when there are none."""
    now_s = ctx.clock.now_s()
    begin_s = max(workload.started_at_s or workload.submitted_at_s, 0.0 if since_s is None else now_s - since_s)
    end_s = (workload.ended_at_s or now_s) + 1
    names = (USE, MEMORY, POWER)
    # A sample stands at the beginning of its tick, which may lie just before the start.
    since = begin_s - ctx.settings.sample_every_s
    read = {name: list(ctx.history.read(METRICS[name], since, end_s, key=workload.id)) for name in names}
    times = sorted({at_s for series in read[USE] for at_s, _ in series.points})
    if not times:
        return None
    step_s = median(later - one for one, later in pairwise(times)) if len(times) > 1 else ctx.settings.sample_every_s
    ticks = min(MOST_TICKS, round((times[-1] - times[0]) / step_s) + 1)
    start_s = times[-1] - (ticks - 1) * step_s
    values = array("d")
    for name in names:
        values.extend(_together(read[name], start_s, step_s, ticks, mean=name == USE))
    return Grid(names, start_s, step_s, ticks, values)


def _together(series: Sequence[Series], start_s: float, step_s: float, ticks: int, *, mean: bool) -> list[float]:
    """One value for each tick: the mean or the sum over the nodes; unknown where it is so of one of them."""
    columns = [_placed(one.points, start_s, step_s, ticks) for one in series]
    together = []
    for tick in range(ticks):
        told = [column.get(tick) for column in columns]
        known = [value for value in told if value is not None]
        whole = sum(known) / (len(known) if mean and known else 1)
        together.append(whole if known and len(known) == len(told) else math.nan)
    return together


def _placed(
    points: Sequence[tuple[float, float | None]], start_s: float, step_s: float, ticks: int
) -> Mapping[int, float | None]:
    placed = {round((at_s - start_s) / step_s): value for at_s, value in points}
    return {tick: value for tick, value in placed.items() if 0 <= tick < ticks}
