"""The phases of a workload: a chart with each phase below it, what they are like, and what comes next."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from statistics import fmean, median

from gpualloc.forecast.phases import Phase, PhaseName
from gpualloc.forecast.profile import Demand
from gpualloc.forecast.workload import WorkloadPhases
from gpualloc.model.forecast import Band, Grid
from gpualloc.views.chart import chart
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, duration, escape, memory, percent, plural, stamp

_HEIGHT = 6
_MARKS = {
    PhaseName.WARM_UP: "w",
    PhaseName.STEADY: "=",
    PhaseName.EPOCH: "e",
    PhaseName.STALL: "!",
    PhaseName.DIP: "v",
    PhaseName.IDLE: ".",
    PhaseName.TAIL: "t",
    PhaseName.UNKNOWN: "?",
}
_ROLES = {
    PhaseName.STEADY: Role.GOOD,
    PhaseName.EPOCH: Role.STRONG,
    PhaseName.STALL: Role.BAD,
    PhaseName.DIP: Role.WARN,
    PhaseName.IDLE: Role.BAD,
    PhaseName.UNKNOWN: Role.QUIET,
}
_SEEN_PART = 0.2
"""A phase that takes that part of a column may stand for it."""
_CLEAR, _LIKELY = 5.0, 3.0
"""Widths of the noise from which a change is clear, or likely."""
_COLUMNS = (
    Column(""),
    Column("phase"),
    Column("times", right=True),
    Column("of time", right=True),
    Column("lasts", right=True),
    Column("use", right=True),
    Column("GPU memory", right=True),
    Column("change"),
)
_NEXT = (
    Column("next, if it runs on"),
    Column("use"),
    Column("says"),
    Column("GPU memory up to", right=True),
    Column("say"),
)


def phases_data(found: WorkloadPhases, *, simulated: bool) -> dict[str, object]:
    """`data` of `phases --json`."""
    return {
        "simulated": simulated,
        "id": found.workload.id,
        "name": found.workload.name,
        "state": found.workload.state.value,
        "from_s": found.grid.start_s,
        "to_s": found.grid.start_s + found.grid.ticks * found.grid.step_s,
        "step_s": found.grid.step_s,
        "from_start": found.from_start,
        "period_s": found.found.period_s,
        "unexplained_ratio": found.found.unexplained,
        "earlier_runs": found.others,
        "phases": [_phase_data(phase) for phase in found.found.phases],
        "demand": [_demand_data(demand) for demand in found.demand],
    }


def _phase_data(phase: Phase) -> dict[str, object]:
    return {
        "phase": phase.name.value,
        "from_s": phase.start_s,
        "to_s": phase.end_s,
        "gpu_utilization_ratio": phase.use,
        "gpu_memory_used_mib": phase.memory_mib,
        "power_w": phase.power_w,
        "effect": phase.effect,
    }


def _demand_data(demand: Demand) -> dict[str, object]:
    return {
        "start_s": demand.start_s,
        "end_s": demand.end_s,
        "gpu_utilization_ratio": _band_data(demand.use),
        "says": None if demand.use_source is None else demand.use_source.value,
        "gpu_memory_used_mib": _band_data(demand.memory_mib),
        "memory_say": [source.value for source in demand.memory_sources],
    }


def _band_data(band: Band | None) -> dict[str, float] | None:
    return None if band is None else {"low": band.low, "median": band.median, "high": band.high}


def phases_text(found: WorkloadPhases, look: Look, *, simulated: bool) -> str:
    """Chart, phases below it, what they are like and what comes next, on one screen."""
    workload, phases = found.workload, found.found.phases
    head = f"{look.paint(escape(workload.name), Role.STRONG)} {workload.id}, {workload.state.value}: GPU use"
    parts = [head + (", " + look.paint("simulated", Role.WARN) if simulated else ""), *_drawn(found, look), ""]
    rows = [
        _kind_row(name, [phase for phase in phases if phase.name is name], found.grid)
        for name in PhaseName
        if any(phase.name is name for phase in phases)
    ]
    parts += [table(_COLUMNS, rows, look), *textwrap.wrap(_told(found), look.width)]
    if found.demand:
        parts += ["", table(_NEXT, [_next_row(demand) for demand in found.demand], look)]
    return "\n".join(parts)


def _drawn(found: WorkloadPhases, look: Look) -> list[str]:
    grid = found.grid
    use = grid.values[: grid.ticks]
    points = [(grid.start_s + at * grid.step_s, None if math.isnan(value) else value) for at, value in enumerate(use)]
    drawn = chart(points, look.width, _HEIGHT, percent)
    end_s = grid.start_s + grid.ticks * grid.step_s
    axis = f"{stamp(grid.start_s)} … {stamp(end_s)} ({duration(end_s - grid.start_s)})"
    margin = drawn[0].find("┤") + 1
    if not margin:
        return [*drawn, axis]
    return [*drawn, " " * margin + _ribbon(found.found.phases, grid, look.width - margin - 1, look), axis]


def _ribbon(phases: Sequence[Phase], grid: Grid, width: int, look: Look) -> str:
    """A mark for each column: the shortest phase that takes a good part of it."""
    column_s = grid.ticks * grid.step_s / width
    names = []
    for column in range(width):
        first_s, end_s = (grid.start_s + (column + edge) * column_s for edge in (0, 1))
        inside = [(min(one.end_s, end_s) - max(one.start_s, first_s), one) for one in phases]
        seen = [one for overlap_s, one in inside if overlap_s >= _SEEN_PART * column_s]
        # Where no phase takes a good part, many short ones do: the one that takes most stands for them.
        shown = min(seen, key=_length_s) if seen else max(inside, key=itemgetter(0))[1]
        names.append(shown.name)
    return "".join(look.paint(_MARKS[name] * len(list(run)), _ROLES.get(name)) for name, run in groupby(names))


def _length_s(phase: Phase) -> float:
    return phase.end_s - phase.start_s


def _kind_row(name: PhaseName, phases: Sequence[Phase], grid: Grid) -> list[str | Cell]:
    """All phases of one name in a line."""
    lengths = [_length_s(phase) for phase in phases]
    used = [phase.use for phase in phases if phase.use is not None]
    held = [phase.memory_mib for phase in phases if phase.memory_mib is not None]
    effects = [phase.effect for phase in phases if phase.effect is not None]
    return [
        Cell(_MARKS[name], _ROLES.get(name)),
        Cell(name.value, _ROLES.get(name)),
        str(len(phases)),
        percent(sum(lengths) / (grid.ticks * grid.step_s)),
        duration(median(lengths)),
        percent(fmean(used)) if used else UNKNOWN,
        memory(max(held)) if held else UNKNOWN,
        _sure(median(effects)) if effects else "",
    ]


def _sure(effect: float) -> str:
    word = "clear" if effect >= _CLEAR else "likely" if effect >= _LIKELY else "faint"
    return f"{word}, {effect:.0f} σ"


def _told(found: WorkloadPhases) -> str:
    """How well the phases tell what was seen."""
    parts = [f"now: {found.found.phases[-1].name.value}"]
    if len(found.found.phases) > 1:
        parts.append(f"the phases tell {percent(1 - found.found.unexplained)} of the spread")
    if found.found.period_s is not None:
        parts.append(f"an epoch is {duration(found.found.period_s)}")
    if found.others:
        parts.append(plural(found.others, "earlier run"))
    if not found.from_start:
        parts.append("its beginning was not sampled")
    return "; ".join(parts)


def _next_row(demand: Demand) -> list[str | Cell]:
    use, held = demand.use, demand.memory_mib
    return [
        f"{duration(demand.start_s)} to {duration(demand.end_s)}",
        UNKNOWN if use is None else f"{percent(use.median)} ({use.low * 100:.0f} to {percent(use.high)})",
        "" if demand.use_source is None else demand.use_source.value,
        UNKNOWN if held is None else memory(held.high),
        ", ".join(source.value for source in demand.memory_sources),
    ]
