"""Results of plans over time: GPUs on against the demand, the simpler packings beside it, and why items move."""

from __future__ import annotations

import math
from collections import Counter

from gpualloc.sim.traces.temporal import MoveTold, Played, TemporalResult
from gpualloc.views.chart import chart
from gpualloc.views.look import Look, Role
from gpualloc.views.simulation import rounded
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, duration, escape, plural

_HEIGHT = 5
_SHOWN_MOVES = 3
_CAUSES = {
    "overload": "the GPU left would be asked for more than it has",
    "memory": "the GPU left would lack memory",
    "emptied": "the GPU left is empty then",
    "room": "room for an item that comes",
    "cheaper": "the whole costs less",
}


def temporal_data(result: TemporalResult) -> dict[str, object]:
    """`data` of `simulate temporal --json`."""
    demand, verdict = result.demand, result.played.verdict
    return {
        "simulated": True,
        **_played_data(result.played),
        "bound": result.bound,
        "bound_kind": result.bound_kind,
        "bound_at_s": rounded(result.bound_at_s),
        "forecast": result.forecast,
        "plans": result.plans,
        "seed": result.seed,
        "items": len(demand.items),
        "intervals": len(demand.times_s),
        "gpu_memory_gib": result.gpu_memory_gib,
        "saved_ratio": rounded(result.saved_ratio),
        "peers": [_played_data(peer) for peer in result.peers],
        "timeline": [
            {"at_s": rounded(at_s), "gpus_on": on, "compute": rounded(compute)}
            for at_s, on, compute in zip(demand.times_s.tolist(), verdict.on.tolist(), _asked(result), strict=True)
        ],
        "why": [_move_data(move) for move in result.moves],
    }


def temporal_text(result: TemporalResult, look: Look) -> str:
    """The comparison, GPUs on and compute asked for over time, and the reasons of the moves."""
    demand, verdict = result.demand, result.played.verdict
    times = demand.times_s.tolist()
    span = duration(times[-1] - times[0]) if len(times) > 1 else "one moment"
    on = [(at, float(count)) for at, count in zip(times, verdict.on.tolist(), strict=True)]
    asked = list(zip(times, _asked(result), strict=True))
    parts = [
        f"{result.played.policy}, {look.paint('simulated', Role.WARN)}: {plural(len(demand.items), 'item')} over {span}"
        f" in {plural(len(times), 'interval')}, GPUs of {result.gpu_memory_gib:g} GiB, forecast {result.forecast}",
        table(_COLUMNS, [_row(one, result) for one in _beside(result)], look),
        f"no plan does with fewer than {plural(result.bound, 'GPU')} (bound by {result.bound_kind}, "
        f"at {result.bound_at_s:g} s)",
        look.paint("GPUs on", Role.STRONG),
        *chart(on, look.width, _HEIGHT, lambda value: f"{value:.0f}"),
        look.paint("compute asked for, in GPUs", Role.STRONG),
        *chart(asked, look.width, _HEIGHT, lambda value: f"{value:.1f}"),
        *_reasons(result),
    ]
    if not result.played.complete:
        parts.append("the deadline ended the search; this is the best plan found until then")
    return "\n".join([*parts, *(f"violation: {escape(told)}" for told in verdict.violations)])


_COLUMNS = [
    Column("policy"),
    *(Column(title, right=True) for title in ("GPUs", "of peak", "GPU-hours", "moves", "overload", "time")),
]


def _beside(result: TemporalResult) -> list[Played]:
    return [*(peer for peer in result.peers if peer.policy != result.played.policy), result.played]


def _row(one: Played, result: TemporalResult) -> tuple[Cell | str, ...]:
    peak = next(peer.verdict.needed for peer in result.peers if peer.policy == "peak")
    verdict, chosen = one.verdict, one is result.played
    hours = UNKNOWN if math.isnan(verdict.gpu_hours) else f"{verdict.gpu_hours:.1f}"
    return (
        Cell(one.policy, Role.STRONG if chosen else None),
        str(verdict.needed),
        f"{100 * verdict.needed / peak:.0f} %",
        hours,
        str(verdict.moves),
        f"{100 * verdict.overload_ratio:.2f} %",
        f"{one.seconds:.1f} s",
    )


def _reasons(result: TemporalResult) -> list[str]:
    if not result.moves:
        return []
    counted = Counter(move.cause for move in result.moves)
    lines = [f"{plural(count, 'move')}: {_CAUSES[cause]}" for cause, count in counted.most_common()]
    lines += ["  " + _move_text(move) for move in result.moves[:_SHOWN_MOVES]]
    left = len(result.moves) - _SHOWN_MOVES
    return [*lines, f"  and {left} more, all with their reasons in --json"] if left > 0 else lines


def _move_text(move: MoveTold) -> str:
    went = f"{move.at_s:g} s: {escape(move.item)} from GPU {move.source} to {move.target}"
    because = f", for {escape(move.forecast)} at {move.when_s:g} s" if move.forecast is not None else ""
    load = f" ({100 * move.load:.0f} % asked)" if move.cause == "overload" else ""
    return f"{went}, {move.cause}{because}{load}"


def _asked(result: TemporalResult) -> list[float]:
    """Compute that all items use together; what is not known of it is not in it."""
    demand = result.demand
    return [math.fsum(value for value in column if not math.isnan(value)) for column in demand.compute.T.tolist()]


def _played_data(one: Played) -> dict[str, object]:
    verdict = one.verdict
    return {
        "policy": one.policy,
        "gpus_needed": verdict.needed,
        "gpu_hours": None if math.isnan(verdict.gpu_hours) else rounded(verdict.gpu_hours),
        "moves": verdict.moves,
        "overload_ratio": rounded(verdict.overload_ratio),
        "overload_time_ratio": rounded(verdict.overload_time_ratio),
        "violations": list(verdict.violations),
        "complete": one.complete,
    }


def _move_data(move: MoveTold) -> dict[str, object]:
    return {
        "at_s": rounded(move.at_s),
        "item": move.item,
        "from": move.source,
        "to": move.target,
        "cause": move.cause,
        "forecast_of": move.forecast,
        "when_s": rounded(move.when_s),
        "load": rounded(move.load),
    }
