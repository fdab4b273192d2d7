"""Plans over time played against recorded demand: GPUs, GPU-hours, moves and overload, beside simpler packings.

All GPUs are alike. An item takes the most memory that it ever holds for as long as it is there; compute is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gpualloc.errors import InfeasibleError, NotFoundError
from gpualloc.policies.temporal.bound import device_bound
from gpualloc.policies.temporal.genetic import solve_genetic
from gpualloc.policies.temporal.peers import pack_lifetimes, pack_peaks, pack_series, pack_windows
from gpualloc.policies.temporal.plan import Move, TemporalPlan
from gpualloc.policies.temporal.problem import Prices, TemporalProblem
from gpualloc.policies.temporal.solve import solve
from gpualloc.sim.traces.demand import Demand
from gpualloc.sim.traces.demand_referee import check_plan
from gpualloc.sim.traces.temporal import MoveTold, Played, TemporalResult

PEERS = ("peak", "lifetime", "window-4h", "window-1h", "series")
"""Packings that take no time; every answer has them beside it."""
POLICIES = (*PEERS, "ts-dpbp", "genetic")
MOVE_HOURS = 0.1
"""GPU-hours that a move is worth: 6 minutes in which the item serves nothing."""
_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class TemporalTrial:
    """What to play."""

    demand: Demand
    gpu_memory_gib: float
    policy: str
    seed: int = 0
    deadline_s: float | None = None
    """Seconds after which the search ends with what it has; None: when it finds nothing better."""


def simulate_temporal(trial: TemporalTrial, clock: Callable[[], float]) -> TemporalResult:
    """Play a policy and its peers.

    Raises:
        NotFoundError: there is no such policy.
        InfeasibleError: an item needs more than one GPU has.
    """
    if trial.policy not in POLICIES:
        raise NotFoundError(f"there is no temporal policy {trial.policy!r}", hint="one of " + ", ".join(POLICIES))
    refuse_too_large(trial.demand, trial.gpu_memory_gib)
    problem = known_problem(trial.demand, trial.gpu_memory_gib)
    played = {name: _played(trial, problem, name, clock) for name in dict.fromkeys((*PEERS, trial.policy))}
    chosen, plan = played[trial.policy]
    fewest = min(one.verdict.needed for one, _ in played.values())
    bound = device_bound(problem.alive, problem.compute, problem.memory / trial.gpu_memory_gib, fewest)
    return TemporalResult(
        demand=trial.demand,
        gpu_memory_gib=trial.gpu_memory_gib,
        forecast="perfect",
        seed=trial.seed,
        played=chosen,
        peers=tuple(played[name][0] for name in PEERS),
        bound=bound.devices,
        bound_kind=bound.kind,
        bound_at_s=float(trial.demand.times_s[bound.interval]),
        moves=tuple(told(trial.demand, move) for move in plan.moves),
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
            others = f"; so do {len(beyond) - 1} others" if len(beyond) > 1 else ""
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


def _played(
    trial: TemporalTrial, problem: TemporalProblem, policy: str, clock: Callable[[], float]
) -> tuple[Played, TemporalPlan]:
    began_s = clock()
    plan = _plan(trial, problem, policy, clock)
    spent_s = clock() - began_s
    place = plan.place
    if policy == "peak":
        place = np.repeat(place.max(axis=1, keepdims=True), place.shape[1], axis=1)
    verdict = check_plan(trial.demand, place, trial.gpu_memory_gib)
    return Played(policy, verdict, spent_s, plan.complete), plan


def _plan(trial: TemporalTrial, problem: TemporalProblem, policy: str, clock: Callable[[], float]) -> TemporalPlan:
    peers: dict[str, Callable[[], TemporalPlan]] = {
        "peak": lambda: pack_peaks(problem),
        "lifetime": lambda: pack_lifetimes(problem),
        "window-4h": lambda: pack_windows(problem, 4.0),
        "window-1h": lambda: pack_windows(problem, 1.0),
        "series": lambda: pack_series(problem),
    }
    if policy in peers:
        return peers[policy]()
    search = solve_genetic if policy == "genetic" else solve
    deadline = None if trial.deadline_s is None else clock() + trial.deadline_s
    return search(problem, deadline=deadline, clock=clock, seed=trial.seed)
