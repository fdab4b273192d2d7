"""Scaling policies over recorded demand: the same decisions that `scale` makes, on a virtual clock."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray

from gpualloc.engine.scale_pilots import Foreseeing, Reacting
from gpualloc.model.forecast import Grid
from gpualloc.model.scaling import ScalingName, ScalingSettings
from gpualloc.model.spot import PriceHistory
from gpualloc.sim.scaling import Pilot, PoolTrial, play
from gpualloc.sim.scaling_figures import figures
from gpualloc.sim.scaling_result import PoolResult, ScaleResult

Floats = NDArray[np.float64]


class ScaleTrial(Struct, frozen=True):
    """What is to be simulated."""

    demand: Grid
    """GPUs in use and waited for; each series is a pool of its own."""
    settings: ScalingSettings
    gpus_per_node: int = 8
    bounded: bool = False
    """Whether the settings' ceiling holds as it is; else it is raised until a pool's highest demand fits."""
    match: ScalingSettings | None = None
    """For the predictive policy: take the risk with which it has spent as many GPU-hours as these settings by now
    would have; None: the risk of its own settings."""
    prices: PriceHistory = field(default_factory=PriceHistory)
    per_gpu_hour: float | None = None
    """Price of a GPU that stays; None is unknown."""
    seed: int = 0
    """Of the interruptions."""
    slo_s: float = 300.0
    """Longest time to capacity that is no miss."""


def simulate_scale(trial: ScaleTrial, progress: Callable[[int], None] | None = None) -> ScaleResult:
    """Let each pool follow its demand.

    Args:
        trial: what to simulate.
        progress: told how many pools are done.
    """
    pools = []
    for number in range(len(trial.demand.names)):
        pools.append(_played(trial, number))
        if progress is not None:
            progress(number + 1)
    predictive = trial.settings.policy is ScalingName.PREDICTIVE
    return ScaleResult(
        policy=trial.settings.policy.value,
        gpus_per_node=trial.gpus_per_node,
        provision_s=trial.settings.warmup_s,
        risk=trial.settings.risk if predictive and trial.match is None else None,
        spends_as=trial.match.policy.value if predictive and trial.match is not None else None,
        slo_s=trial.slo_s,
        start_s=trial.demand.start_s,
        step_s=trial.demand.step_s,
        pools=tuple(pools),
    )


def fitting(settings: ScalingSettings, series: Floats, gpus_per_node: int) -> ScalingSettings:
    """The settings with a ceiling under which the highest demand of the series fits."""
    highest = float(np.nanmax(series, initial=0.0))
    return replace(settings, max_nodes=max(settings.max_nodes, math.ceil(highest / gpus_per_node)))


def _played(trial: ScaleTrial, number: int) -> PoolResult:
    grid = trial.demand
    series = np.frombuffer(grid.values, dtype=np.float64)[number * grid.ticks : (number + 1) * grid.ticks]
    settings = trial.settings if trial.bounded else fitting(trial.settings, series, trial.gpus_per_node)
    known = series[~np.isnan(series)]
    first = math.ceil((float(known[0]) if len(known) else 0.0) / trial.gpus_per_node - 1e-9)
    pool = PoolTrial(
        demand=tuple(series.tolist()),
        start_s=grid.start_s,
        step_s=grid.step_s,
        gpus_per_node=trial.gpus_per_node,
        provision_s=settings.warmup_s,
        first_nodes=min(max(first, settings.min_nodes), settings.max_nodes),
        prices=trial.prices,
        per_gpu_hour=trial.per_gpu_hour,
        seed=trial.seed + number,
    )
    played = play(pool, _pilot(trial, settings, pool))
    came = figures(pool.demand, played.nodes, trial.gpus_per_node, grid.step_s)
    return PoolResult(grid.names[number], settings, tuple(pool.demand), played, came)


def _pilot(trial: ScaleTrial, settings: ScalingSettings, pool: PoolTrial) -> Pilot:
    if settings.policy is not ScalingName.PREDICTIVE:
        return Reacting(settings, pool)
    if trial.match is None:
        return Foreseeing(settings, pool, None)
    other = replace(trial.match, min_nodes=settings.min_nodes, max_nodes=settings.max_nodes)
    return Foreseeing(settings, pool, play(pool, Reacting(other, pool)).nodes)
