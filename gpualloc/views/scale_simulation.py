"""What scaling policies make of a recorded demand: figures beside each other, demand and capacity over time."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.sim.scaling_figures import Times
from gpualloc.sim.scaling_result import PoolResult, ScaleResult
from gpualloc.views.chart import chart
from gpualloc.views.look import Look, Role
from gpualloc.views.simulation import rounded
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, duration, plural

MOMENTS = 120
"""Most points of a timeline."""
_HEIGHT = 4
_COLUMNS = (
    Column("policy"),
    *(Column(name, right=True) for name in ("GPU-hours", "unmet", "mean", "95 %", "late", "shortfalls", "up", "down")),
)


def scale_data(results: Sequence[ScaleResult]) -> dict[str, object]:
    """`data` of `simulate scale --json`: of one policy, or of several under `policies`."""
    if len(results) == 1:
        return {"simulated": True, **_result_data(results[0])}
    return {
        "simulated": True,
        "policies": [_result_data(result) for result in results],
        "against_first": [_against(results[0], result) for result in results[1:]],
    }


def scale_text(results: Sequence[ScaleResult], look: Look) -> str:
    """The figures in a row for each policy, then demand and capacity as charts."""
    first = results[0]
    pools = plural(len(first.pools), "pool")
    head = f"{pools}, {look.paint('simulated', Role.WARN)}: {first.gpus_per_node} GPUs per node, "
    head += f"{duration(first.provision_s)} until a node serves, {_bounds(first)}"
    lines = [head, table(_COLUMNS, [_row(result) for result in results], look), *_words(results)]
    levels = first.levels(MOMENTS)
    over = duration(len(first.pools[0].demand) * first.step_s)
    lines += [look.paint(f"GPUs wanted over {over}", Role.STRONG)]
    lines += chart([(level.at_s, level.demand_gpus) for level in levels], look.width, _HEIGHT, _whole)
    for result in results:
        capacity = [(level.at_s, level.capacity_gpus) for level in result.levels(MOMENTS)]
        lines += [look.paint(f"GPUs in service, {result.policy}", Role.STRONG)]
        lines += chart(capacity, look.width, _HEIGHT, _whole)
    return "\n".join(lines)


def _row(result: ScaleResult) -> list[str | Cell]:
    figures = result.figures
    waits, shortfalls = figures.time_to_capacity, figures.shortfall
    return [
        result.policy,
        f"{figures.gpu_hours:.0f}",
        Cell(f"{figures.unmet_gpu_hours:.1f}", Role.BAD if figures.unmet_gpu_hours else None),
        f"{waits.mean_s:.1f}s",
        f"{waits.p95_s:.0f}s",
        str(figures.misses(result.slo_s)),
        str(shortfalls.count),
        str(result.ups),
        str(result.downs),
    ]


def _words(results: Sequence[ScaleResult]) -> list[str]:
    """What the columns are, and how the policies compare."""
    figures = results[0].figures
    lines = [
        f"mean, 95 %: time to capacity of {plural(figures.time_to_capacity.count, 'rise')} "
        f"of a demand of {figures.demand_gpu_hours:.0f} GPU-hours",
        f"late: not within {duration(results[0].slo_s)}",
    ]
    for result in results:
        if result.spends_as is not None:
            lines.append(f"{result.policy} risks as much as spends what {result.spends_as} would have by then")
        elif result.risk is not None:
            lines.append(f"{result.policy} takes a risk of {result.risk:g}")
        if result.interruptions or result.cost:
            cost = UNKNOWN if result.cost is None else f"{result.cost:.2f}"
            lines.append(f"{result.policy}: {plural(result.interruptions, 'node')} taken away, cost {cost}")
    for result in results[1:]:
        against = _against(results[0], result)
        sooner, hours = against["sooner_pct"], against["gpu_hours_pct"]
        if isinstance(sooner, float) and isinstance(hours, float):
            lines.append(f"{result.policy}: capacity {_percent(-sooner)} time, {_percent(hours)} GPU-hours")
    return lines


def _percent(change: float) -> str:
    return f"in {abs(change):.1f} % {'more' if change > 0 else 'less'}"


def _bounds(result: ScaleResult) -> str:
    most = sorted({pool.settings.max_nodes for pool in result.pools})
    least = sorted({pool.settings.min_nodes for pool in result.pools})
    return f"{least[0]} to {most[0]}{f'..{most[-1]}' if len(most) > 1 else ''} nodes"


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _result_data(result: ScaleResult) -> dict[str, object]:
    figures = result.figures
    return {
        "policy": result.policy,
        "gpus_per_node": result.gpus_per_node,
        "provision_s": result.provision_s,
        "risk": result.risk,
        "spends_as": result.spends_as,
        "gpu_hours": rounded(figures.gpu_hours),
        "demand_gpu_hours": rounded(figures.demand_gpu_hours),
        "unmet_gpu_hours": rounded(figures.unmet_gpu_hours),
        "time_to_capacity_s": _wait_data(figures.time_to_capacity),
        "slo_s": rounded(result.slo_s),
        "slo_misses": figures.misses(result.slo_s),
        "shortfalls": _times_data(figures.shortfall),
        "scale_ups": result.ups,
        "scale_downs": result.downs,
        "interruptions": result.interruptions,
        "cost": rounded(result.cost),
        "pools": [_pool_data(pool) for pool in result.pools],
        "timeline": [
            {
                "at_s": rounded(level.at_s),
                "demand_gpus": rounded(level.demand_gpus),
                "capacity_gpus": rounded(level.capacity_gpus),
            }
            for level in result.levels(MOMENTS)
        ],
    }


def _pool_data(pool: PoolResult) -> dict[str, object]:
    return {
        "name": pool.name,
        "min_nodes": pool.settings.min_nodes,
        "max_nodes": pool.settings.max_nodes,
        "gpu_hours": rounded(pool.figures.gpu_hours),
        "unmet_gpu_hours": rounded(pool.figures.unmet_gpu_hours),
        "time_to_capacity_s": _wait_data(pool.figures.time_to_capacity),
        "shortfalls": _times_data(pool.figures.shortfall),
        "scale_ups": pool.played.ups,
        "scale_downs": pool.played.downs,
    }


def _wait_data(times: Times) -> dict[str, object]:
    return {
        "mean": rounded(times.mean_s),
        "p95": rounded(times.p95_s),
        "longest": rounded(times.longest_s),
        "rises": times.count,
    }


def _times_data(times: Times) -> dict[str, object]:
    return {
        "count": times.count,
        "mean_s": rounded(times.mean_s),
        "p95_s": rounded(times.p95_s),
        "longest_s": rounded(times.longest_s),
    }


def _against(first: ScaleResult, other: ScaleResult) -> dict[str, object]:
    """How another policy compares; None where the first has nothing to be compared with."""
    one, two = first.figures, other.figures
    return {
        "policy": other.policy,
        "first": first.policy,
        "sooner_pct": _share(one.time_to_capacity.mean_s, two.time_to_capacity.mean_s, -1.0),
        "gpu_hours_pct": _share(one.gpu_hours, two.gpu_hours, 1.0),
        "unmet_less_pct": _share(one.unmet_gpu_hours, two.unmet_gpu_hours, -1.0),
    }


def _share(one: float, two: float, sign: float) -> float | None:
    return rounded(sign * 100.0 * (two / one - 1.0)) if one else None
