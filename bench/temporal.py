"""Plans over time beside simpler packings, on demand drawn from seeds (bench/temporal_data.py). Prints Markdown tables.

.venv/bin/python bench/temporal.py peers      # GPUs of each policy, all families
.venv/bin/python bench/temporal.py small      # how far from the bound, small cases
.venv/bin/python bench/temporal.py forecast   # what is left of the gain when the future is forecast
.venv/bin/python bench/temporal.py growth     # how the time grows
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import mean, stdev

import numpy as np
from msgspec.structs import replace
from temporal_data import FAMILIES, draw

from gpualloc.engine.temporal import PEERS, TemporalTrial, known_problem, simulate_temporal
from gpualloc.forecast import registry
from gpualloc.policies.temporal import TemporalProblem, solve
from gpualloc.policies.temporal.bound import device_bound
from gpualloc.policies.temporal.genetic import solve_genetic
from gpualloc.policies.temporal.peers import pack_peaks
from gpualloc.sim.traces.demand import Demand
from gpualloc.sim.traces.temporal import TemporalResult

GPU_GIB = 80.0


def demand_of(family: str, items: int, intervals: int, step_s: float, seed: int) -> Demand:
    """The drawn items as a file would tell them."""
    drawn = draw(family, items, intervals, step_s, seed)
    there = np.where(drawn.alive, drawn.compute, np.nan)
    held = np.where(drawn.alive, drawn.memory[:, None], np.nan)
    return Demand(
        source=family,
        items=tuple(f"item-{number:05}" for number in range(items)),
        times_s=np.arange(intervals) * step_s,
        lasts_s=np.full(intervals, step_s),
        alive=drawn.alive,
        compute=there,
        memory=held,
    )


def spread(values: list[float], digits: int = 1) -> str:
    """Mean and deviation of a sample."""
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}" if len(values) > 1 else f"{values[0]:.{digits}f}"


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*titles: str) -> None:
    row(*titles)
    row(*("---" for _ in titles))


def played(trial: TemporalTrial) -> TemporalResult:
    result = simulate_temporal(trial, time.process_time)
    assert not result.played.verdict.violations, result.played.verdict.violations
    return result


def peers(families: Sequence[str], seeds: int, items: int, intervals: int) -> None:
    """GPUs as a part of those of `peak`; GPU-hours and moves of the searches."""
    head(
        "family",
        *PEERS,
        "ts-dpbp",
        "genetic",
        "bound",
        "fewer than peak",
        "to the bound",
        "hours of peak's",
        "moves",
        "CPU s",
    )
    for family in families:
        mine, bred = [], []
        for seed in range(seeds):
            demand = demand_of(family, items, intervals, 86400 / intervals, seed)
            mine.append(played(TemporalTrial(demand, GPU_GIB, "ts-dpbp", seed)))
            bred.append(solve_genetic(known_problem(demand, GPU_GIB), seed=seed).costs.needed)
        peak = [one.peers[0].verdict for one in mine]
        row(
            family,
            *(spread([one.peers[at].verdict.needed for one in mine]) for at in range(len(PEERS))),
            spread([one.played.verdict.needed for one in mine]),
            spread(bred),
            spread([one.bound for one in mine]),
            spread([100 * one.saved_ratio for one in mine]) + " %",
            spread([100 * (one.played.verdict.needed / one.bound - 1) for one in mine]) + " %",
            spread([100 * one.played.verdict.gpu_hours / all_.gpu_hours for one, all_ in zip(mine, peak, strict=True)])
            + " %",
            spread([one.played.verdict.moves for one in mine], 0),
            spread([one.played.seconds for one in mine]),
        )


def small(families: Sequence[str], seeds: int) -> None:
    """How far from the bound small cases end."""
    head("family", "items", "cases", "at the bound", "within 5 %", "worst", "mean", "genetic mean", "CPU s")
    for family in families:
        for items in (12, 24, 48):
            ratios, others, seconds = [], [], []
            for seed in range(seeds):
                demand = demand_of(family, items, 48, 1800, seed)
                result = played(TemporalTrial(demand, GPU_GIB, "ts-dpbp", seed))
                ratios.append(result.played.verdict.needed / result.bound)
                seconds.append(result.played.seconds)
                bred = solve_genetic(known_problem(demand, GPU_GIB), seed=seed)
                others.append(bred.costs.needed / result.bound)
            row(
                family,
                items,
                seeds,
                sum(ratio == 1 for ratio in ratios),
                sum(ratio <= 1.05 for ratio in ratios),
                f"{max(ratios):.3f}",
                f"{mean(ratios):.3f}",
                f"{mean(others):.3f}",
                spread(seconds),
            )


def forecast(families: Sequence[str], seeds: int, items: int, intervals: int) -> None:
    """The same demand, known beforehand or forecast."""
    head(
        "family",
        "known",
        "GPUs",
        "fewer than peak",
        "GPU-hours of peak's",
        "moves",
        "overload",
        "time of GPUs overloaded",
        "CPU s",
    )
    for family in families:
        for name in ("perfect", "auto", "last"):
            forecaster = None if name == "perfect" else registry.load(name)
            results = []
            for seed in range(seeds):
                demand = demand_of(family, items, intervals, 86400 / intervals, seed)
                results.append(played(TemporalTrial(demand, GPU_GIB, "ts-dpbp", seed, forecaster=forecaster)))
            verdicts = [one.played.verdict for one in results]
            row(
                family,
                name,
                spread([one.needed for one in verdicts]),
                spread([100 * one.saved_ratio for one in results]) + " %",
                spread([100 * one.played.verdict.gpu_hours / one.peers[0].verdict.gpu_hours for one in results]) + " %",
                spread([one.moves for one in verdicts], 0),
                spread([100 * one.overload_ratio for one in verdicts], 2) + " %",
                spread([100 * one.overload_time_ratio for one in verdicts], 2) + " %",
                spread([one.played.seconds for one in results]),
            )


def growth() -> None:
    """Time of one plan on one core."""
    head("workloads", "intervals", "GPUs there", "peak", "GPUs", "bound", "moves", "CPU s")
    for items, intervals in ((250, 48), (500, 48), (1000, 48), (2000, 48), (4000, 48), (1000, 24), (1000, 96)):
        demand = demand_of("mixed", items, intervals, 86400 / intervals, 0)
        problem = with_gpus(known_problem(demand, GPU_GIB), 8000)
        began = time.process_time()
        plan = solve(problem)
        spent = time.process_time() - began
        bound = device_bound(problem.alive, problem.compute, problem.memory / GPU_GIB, plan.costs.needed)
        row(items, intervals, 8000, pack_peaks(problem).costs.needed, plan.costs.needed, bound.devices,
            plan.costs.moves, f"{spent:.1f}")  # fmt: skip


def with_gpus(problem: TemporalProblem, count: int) -> TemporalProblem:
    """The problem with so many GPUs."""
    return replace(
        problem,
        devices=tuple(f"gpu-{number}" for number in range(count)),
        device_memory=np.full(count, GPU_GIB),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("peers", "small", "forecast", "growth"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--intervals", type=int, default=96)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    given = parser.parse_args()
    runs: dict[str, Callable[[], None]] = {
        "peers": lambda: peers(given.families, given.seeds, given.items, given.intervals),
        "small": lambda: small(given.families, given.seeds),
        "forecast": lambda: forecast(given.families, given.seeds, given.items, given.intervals),
        "growth": growth,
    }
    runs[given.what]()


if __name__ == "__main__":
    main()
