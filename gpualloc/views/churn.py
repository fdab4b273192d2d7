"""Results of a simulation with arrivals and departures: waits by kind, use and waiting over time."""

from __future__ import annotations

from gpualloc.sim.traces.churn import ChurnResult, Moment, Waits
from gpualloc.sim.traces.result import KINDS
from gpualloc.views.chart import chart
from gpualloc.views.look import Look, Role
from gpualloc.views.simulation import checked, failed_data, rounded, times_data
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, duration, escape, plural

_HEIGHT = 4
_NAMES = dict(zip(KINDS, ("CPU only", "part of a GPU", "one GPU", "several GPUs"), strict=True))


def churn_data(result: ChurnResult) -> dict[str, object]:
    """`data` of `simulate churn --json`, without `added`."""
    moved, (from_s, to_s) = result.migrations, result.measured_s
    return {
        "simulated": True,
        "policy": result.policy,
        "profile": result.profile,
        "seed": result.seed,
        "load": result.load,
        "offered_pct": rounded(result.offered_pct),
        "rounds": result.rounds,
        "time_factor": result.factor,
        "arrivals": result.arrivals,
        "without_times": result.without_times,
        "gpus": result.capacity_milli // 1000,
        "measured": {"from_s": rounded(from_s), "to_s": rounded(to_s)},
        "makespan_s": rounded(result.makespan_s),
        "allocated_pct": rounded(result.allocated_pct),
        "fragmentation_pct": rounded(result.fragmentation_pct),
        "waits": {kind: _waits_data(waits) for kind, waits in result.waits.items()},
        "waiting_at_end": result.waiting_at_end,
        "never_placed": failed_data(result.never_placed),
        "migrations": {"moves": moved.moves, "helped": moved.helped, "stranded": moved.stranded},
        "violations": result.violations,
        "violations_told": list(result.violations_told),
        "refusals_that_fitted": result.refusals_that_fitted,
        "decision_us": times_data(result.times),
        "timeline": [_moment_data(moment) for moment in result.timeline],
    }


def churn_text(result: ChurnResult, look: Look) -> str:
    """The figures as tables, and what was in use and waited over time; 24 lines on a usual terminal."""
    used = [(moment.at_s, moment.allocated_pct) for moment in result.timeline]
    waiting = [(moment.at_s, moment.waiting) for moment in result.timeline]
    parts = [
        *_head(result, look),
        table(_WAIT_COLUMNS, [_wait_row(result, kind) for kind in KINDS], look),
        *_facts(result, look),
        look.paint(f"GPUs in use over {duration(result.measured_s[1])}", Role.STRONG),
        *chart(used, look.width, _HEIGHT, lambda value: f"{value:.0f} %"),
        look.paint("tasks waiting", Role.STRONG),
        *chart(waiting, look.width, _HEIGHT, lambda value: f"{value:.0f}"),
    ]
    return "\n".join([*parts, *(f"violation: {escape(told)}" for told in result.violations_told)])


def churn_added_text(before: ChurnResult, after: ChurnResult, look: Look) -> str:
    """What the added nodes change, side by side."""
    columns = [Column(""), Column("as it is", right=True), Column("with added", right=True)]
    rows: list[tuple[Cell | str, ...]] = [
        ("GPUs", str(before.capacity_milli // 1000), str(after.capacity_milli // 1000)),
        ("in use in the mean", f"{before.allocated_pct:.1f} %", f"{after.allocated_pct:.1f} %"),
    ]
    for kind in KINDS:
        one, other = before.waits[kind], after.waits[kind]
        rows.append((f"mean wait, {_NAMES[kind]}", _time(one.mean_s), _time(other.mean_s)))
        rows.append((f"longest wait, {_NAMES[kind]}", _time(one.longest_s), _time(other.longest_s)))
    rows.append(("waiting at the last arrival", str(before.waiting_at_end), str(after.waiting_at_end)))
    rows.append(("never got a place", str(before.never_placed.total), str(after.never_placed.total)))
    rows.append(("violations", str(before.violations), str(after.violations)))
    refused = before.refusals_that_fitted, after.refusals_that_fitted
    rows.append(("refusals of what fitted", *map(str, refused)))
    return "\n".join([*_head(before, look), table(columns, rows, look)])


_WAIT_COLUMNS = [
    Column("wait"),
    *(Column(name, right=True) for name in ("tasks", "at once", "mean", "50 %", "90 %", "99 %", "longest", "never")),
]


def _head(result: ChurnResult, look: Look) -> list[str]:
    using = f" with profile {result.profile}" if result.profile else ""
    times = "recorded times" if result.load is None else f"load {result.load:g}"
    drawn = "" if result.seed is None else f", seed {result.seed}"
    head = f"{result.policy}{using}, {look.paint('simulated', Role.WARN)}: {times}{drawn}, "
    head += plural(result.arrivals, "task")
    if result.load is None:
        return [head]
    scaled = f"times between arrivals x {result.factor:.3g}, {plural(result.rounds, 'round')}; "
    return [head, scaled + f"the last {duration(result.measured_s[1] - result.measured_s[0])} are measured"]


def _wait_row(result: ChurnResult, kind: str) -> tuple[Cell | str, ...]:
    waits, never = result.waits[kind], getattr(result.never_placed, kind)
    share = f"{100 * waits.at_once / waits.tasks:.0f} %" if waits.tasks else UNKNOWN
    figures = (waits.mean_s, waits.p50_s, waits.p90_s, waits.p99_s, waits.longest_s)
    lost = Cell(str(never), Role.BAD if never else None)
    return (_NAMES[kind], str(waits.tasks), share, *map(_time, figures), lost)


def _facts(result: ChurnResult, look: Look) -> list[str]:
    moved, times = result.migrations, result.times
    fragment = UNKNOWN if result.fragmentation_pct is None else f"{result.fragmentation_pct:.1f} %"
    use = f"{result.allocated_pct:.1f} % of the GPUs, {result.offered_pct:.1f} % offered; {fragment} fragmented"
    left = f"the last left after {duration(result.makespan_s)}"
    helped = f"so that {moved.helped} fitted; {moved.stranded} then had to wait"
    facts: list[tuple[Cell | str, ...]] = [
        ("in use", use),
        ("waiting", f"{plural(result.waiting_at_end, 'task')} at the last arrival; {left}"),
        ("moved", f"{plural(moved.moves, 'task')}, {helped}"),
        ("checked", checked(result.violations, result.refusals_that_fitted)),
        ("decisions", f"mean {times.mean_us:.0f} µs, 99 % within {times.p99_us:.0f} µs"),
    ]
    return [table([Column(""), Column("")], facts, look).partition("\n")[2]]


def _time(seconds: float | None) -> str:
    return f"{seconds:.1f}s" if seconds is not None and 0 < seconds < 10 else duration(seconds)


def _waits_data(waits: Waits) -> dict[str, object]:
    return {
        "tasks": waits.tasks,
        "at_once": waits.at_once,
        "mean_s": rounded(waits.mean_s),
        "p50_s": rounded(waits.p50_s),
        "p90_s": rounded(waits.p90_s),
        "p99_s": rounded(waits.p99_s),
        "longest_s": rounded(waits.longest_s),
    }


def _moment_data(moment: Moment) -> dict[str, object]:
    return {
        "at_s": rounded(moment.at_s),
        "allocated_pct": rounded(moment.allocated_pct),
        "waiting": rounded(moment.waiting),
        "fragmentation_pct": rounded(moment.fragmentation_pct),
    }
