"""Plans over time played against recorded demand: GPUs, GPU-hours, moves and overload, beside simpler packings.

All GPUs are alike. An item takes the most memory that it ever holds for as long as it is there; compute is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

import numpy as np
from msgspec import Struct

from gpualloc.engine.temporal_rolling import Rolled, roll
from gpualloc.errors import InfeasibleError, NotFoundError, UsageError
from gpualloc.policies.temporal.bound import device_bound
from gpualloc.policies.temporal.genetic import solve_genetic
from gpualloc.policies.temporal.peers import pack_lifetimes, pack_peaks, pack_series, pack_windows
from gpualloc.policies.temporal.plan import Move, TemporalPlan
from gpualloc.policies.temporal.problem import Prices, TemporalProblem
from gpualloc.policies.temporal.ts_dpbp import solve
from gpualloc.ports import Forecaster
from gpualloc.sim.traces.demand import Demand
from gpualloc.sim.traces.demand_referee import check_plan
from gpualloc.sim.traces.temporal import MoveTold, Played, TemporalResult

PEERS = ("peak", "lifetime", "window-4h", "window-1h", "series")
"""Packings that take no time; every answer has them beside it."""
POLICIES = (*PEERS, "ts-dpbp", "genetic")
MOVE_HOURS = 0.1
"""GPU-hours that a move is worth: 6 minutes in which the item serves nothing."""
_TINY = 1e-9


class TemporalTrial(Struct, frozen=True, eq=False):
    """What to play."""

    demand: Demand
    gpu_memory_gib: float
    policy: str
    seed: int = 0
    deadline_s: float | None = None
    """Seconds after which the search ends with what it has; None: when it finds nothing better."""
    forecaster: Forecaster | None = None
    """Plans are made as time goes on, from what it makes of what was seen; None: all is known beforehand."""


def simulate_temporal(
    trial: TemporalTrial, clock: Callable[[], float], progress: Callable[[int], None] | None = None
) -> TemporalResult:
    """Play a policy and its peers.

    Args:
        trial: what to play.
        clock: seconds, for the deadline and to tell how long policies think.
        progress: told how many intervals are done when plans are made as time goes on, else how many percent of the
            longest search.

    Raises:
        NotFoundError: there is no such policy.
        UsageError: the policy does not plan from forecasts.
        InfeasibleError: an item needs more than one GPU has.
    """
    _check(trial)
    refuse_too_large(trial.demand, trial.gpu_memory_gib)
    problem = known_problem(trial.demand, trial.gpu_memory_gib)
    peers = {name: _played(trial, name, clock, partial(_peer, name, problem)) for name in PEERS}
    course = _rolled if trial.forecaster is not None else _planned
    mine = peers.get(trial.policy) or _played(
        trial, trial.policy, clock, partial(course, trial, problem, clock, progress)
    )
    fewest = min(one.verdict.needed for one, _ in (mine, *peers.values()) if not one.verdict.violations)
    bound = device_bound(problem.alive, problem.compute, problem.memory / trial.gpu_memory_gib, fewest)
    return TemporalResult(
        demand=trial.demand,
        gpu_memory_gib=trial.gpu_memory_gib,
        forecast="perfect" if trial.forecaster is None else trial.forecaster.name,
        seed=trial.seed,
        played=mine[0],
        peers=tuple(one for one, _ in peers.values()),
        bound=bound.devices,
        bound_kind=bound.kind,
        bound_at_s=float(trial.demand.times_s[bound.interval]),
        moves=tuple(told(trial.demand, move) for move in mine[1].moves),
        plans=mine[1].plans,
    )


def told(demand: Demand, move: Move) -> MoveTold:
    """A move as results have it."""
    return MoveTold(
        at_s=float(demand.times_s[move.interval]),
        item=demand.items[move.item],
        source=move.source,
        target=move.target,
        cause=move.cause.value,
        forecast=None if move.forecast is None else demand.items[move.forecast],
        when_s=float(demand.times_s[move.when]),
        load=move.load,
    )


def refuse_too_large(demand: Demand, gpu_memory_gib: float) -> None:
    """Raise InfeasibleError when an item needs more than one GPU has."""
    for grid, most, unit in ((demand.memory, gpu_memory_gib, " GiB"), (demand.compute, 1.0, " GPU of compute")):
        peaks = np.nanmax(grid, axis=1)
        beyond = np.flatnonzero(peaks > most + _TINY)
        if len(beyond):
            item = int(beyond[0])
            more = len(beyond) - 1
            others = "" if not more else "; so does 1 other" if more == 1 else f"; so do {more} others"
            raise InfeasibleError(
                f"{demand.source}: {demand.items[item]} needs {peaks[item]:g}{unit} at "
                f"{demand.times_s[int(np.nanargmax(grid[item]))]:g} s, more than the {most:g} of one GPU{others}",
                hint="an item is on one GPU at a time: split it, or take larger GPUs with --gpu-memory-gib",
            )


def known_problem(demand: Demand, gpu_memory_gib: float) -> TemporalProblem:
    """The demand as if all of it were known beforehand: one GPU for each item, of which as few as possible are wanted.

    Compute that is not known counts as the most that the item is known to use.
    """
    count, alive = len(demand.items), demand.alive
    compute = np.where(np.isnan(demand.compute), np.nanmax(demand.compute, axis=1)[:, None], demand.compute)
    memory = np.nanmax(demand.memory, axis=1)[:, None]
    hours = np.where(np.isnan(demand.lasts_s), 1.0, demand.lasts_s / 3600)
    horizon = float(hours.sum()) + MOVE_HOURS * alive.shape[1]
    return TemporalProblem(
        items=demand.items,
        hours=hours,
        alive=alive,
        compute=np.where(alive, compute, 0.0),
        memory=np.where(alive, memory, 0.0),
        devices=tuple(f"gpu-{number}" for number in range(count)),
        device_memory=np.full(count, float(gpu_memory_gib)),
        move_price=np.full(count, MOVE_HOURS),
        prices=Prices(overload=np.inf, needed=count * horizon),
    )


def _check(trial: TemporalTrial) -> None:
    if trial.policy not in POLICIES:
        near = get_close_matches(trial.policy, POLICIES, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise NotFoundError(
            f"there is no temporal policy {trial.policy!r}", hint=f"{meant}known: {', '.join(POLICIES)}"
        )
    if trial.forecaster is not None and trial.policy != "ts-dpbp":
        raise UsageError(
            f"the policy {trial.policy} knows the demand beforehand, and plans from no forecast",
            hint="leave --forecast out, or take --policy ts-dpbp",
        )


def _played(
    trial: TemporalTrial, policy: str, clock: Callable[[], float], play: Callable[[], Rolled]
) -> tuple[Played, Rolled]:
    began_s = clock()
    rolled = play()
    spent_s = clock() - began_s
    verdict = check_plan(trial.demand, rolled.place, trial.gpu_memory_gib)
    return Played(policy, verdict, spent_s, rolled.complete), rolled


def _peer(policy: str, problem: TemporalProblem) -> Rolled:
    if policy == "peak":
        plan = pack_peaks(problem)
        place = np.repeat(plan.place.max(axis=1, keepdims=True), plan.place.shape[1], axis=1)
        return Rolled(place, (), 1, complete=True)
    if policy == "lifetime":
        return _whole(pack_lifetimes(problem))
    if policy == "series":
        return _whole(pack_series(problem))
    return _whole(pack_windows(problem, float(policy.removeprefix("window-").removesuffix("h"))))


def _planned(
    trial: TemporalTrial,
    problem: TemporalProblem,
    clock: Callable[[], float],
    progress: Callable[[int], None] | None,
) -> Rolled:
    """One plan for everything."""
    search = solve_genetic if trial.policy == "genetic" else solve
    deadline = None if trial.deadline_s is None else clock() + trial.deadline_s
    return _whole(search(problem, deadline=deadline, clock=clock, seed=trial.seed, tell=progress))


def _rolled(
    trial: TemporalTrial,
    problem: TemporalProblem,
    clock: Callable[[], float],
    progress: Callable[[int], None] | None,
) -> Rolled:
    """Plan after plan."""
    assert trial.forecaster is not None
    deadline = None if trial.deadline_s is None else clock() + trial.deadline_s
    solver = partial(solve, deadline=deadline, clock=clock, seed=trial.seed)
    return roll(problem, trial.demand, trial.forecaster, solver, progress)


def _whole(plan: TemporalPlan) -> Rolled:
    return Rolled(plan.place, plan.moves, 1, plan.complete)
