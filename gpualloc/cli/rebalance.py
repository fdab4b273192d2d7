"""`gpualloc rebalance`: plan and apply once without asking, or whenever something happens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from gpualloc.cli import shared, stopping
from gpualloc.cli.outcome import CHANGES, Answer, say, write
from gpualloc.cli.reporting import report_line, report_of, tell_step
from gpualloc.engine.apply import failure
from gpualloc.engine.rebalance import Cycle, watch
from gpualloc.engine.rebalance import rebalance as rebalance_once
from gpualloc.errors import GpuallocError, UsageError
from gpualloc.views.assess_data import size_data
from gpualloc.views.envelope import error_data, line
from gpualloc.views.look import Look
from gpualloc.views.moves import better_data, better_text, move_line, sizes_text
from gpualloc.views.plan import plan_data, plan_text

if TYPE_CHECKING:
    from gpualloc.engine.context import Context

app = shared.verb_app()


@app.command()
def rebalance(
    ctx: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing, take no lock.")] = False,
    until_stopped: Annotated[
        bool, typer.Option("--watch", help="Go on: again whenever work ends or is submitted, or a node is back.")
    ] = False,
    policy: shared.Policy = None,
    policy_profile: shared.PolicyProfile = None,
    objective: shared.Objective = None,
    max_disturbed: shared.MaxDisturbed = None,
    deadline: Annotated[
        str | None,
        typer.Option("--deadline", metavar="DURATION", help="How long it may take to decide. [default: 60s]"),
    ] = None,
    wait: shared.Wait = None,
    detailed_exitcode: shared.DetailedExitCode = False,
) -> Answer | int:
    """Do the whole cycle once and never ask; says nothing when nothing changes, which suits cron."""
    if dry_run and until_stopped:
        raise UsageError("--dry-run and --watch exclude each other")
    wait_s = shared.wait_s(wait)
    overrides = shared.policy_override(policy, policy_profile, objective, max_disturbed)
    if deadline:
        overrides["rebalance.deadline"] = deadline
    with shared.open_world(ctx, overrides) as world:
        if until_stopped:
            return _watch(world, as_json=bool(shared.given(ctx)["json"]))
        with stopping.stoppable(world) as going:
            cycle = rebalance_once(going, dry_run=dry_run, wait_s=wait_s, on_step=tell_step, timer=time.monotonic)
        names = shared.names_of(world)
    return _answer(cycle, names, dry_run=dry_run, detailed=detailed_exitcode)


def _answer(cycle: Cycle, names: dict[str, str], *, dry_run: bool, detailed: bool) -> Answer:
    error = _failure(cycle)

    def text(look: Look) -> str:
        if dry_run:
            told = (
                plan_text(cycle.plan, names, look),
                _moves_text(cycle, names, look),
                sizes_text(cycle.right_sizes, look),
            )
            return "\n".join(filter(None, told))
        return _said(cycle)

    changes = CHANGES if detailed and not cycle.quiet else 0
    return Answer(
        _data(cycle, dry_run=dry_run),
        text,
        errors=(error,) if error else (),
        exit_code=error.exit_code if error else changes,
    )


def _watch(world: Context, *, as_json: bool) -> int:
    def tell(cycle: Cycle) -> None:
        said = line("rebalance", _data(cycle, dry_run=False)) if as_json else _said(cycle)
        if said and not cycle.quiet:
            write(said + "\n")
        error = _failure(cycle)
        if error is not None:
            trouble(error)

    def trouble(error: GpuallocError) -> None:
        if as_json:
            write(line("rebalance", {"errors": [error_data(error)]}) + "\n")
        else:
            say(f"error: {error.message}")

    with stopping.on_signal() as stop:
        watch(replace(world, stopped=stop.asked), stop.asked, tell, trouble, time.monotonic)
    return stop.exit_code or 0


def _failure(cycle: Cycle) -> GpuallocError | None:
    reports = [*cycle.recovered, *([cycle.report] if cycle.report else [])]
    return next((error for error in map(failure, reports) if error is not None), None)


def _said(cycle: Cycle) -> str:
    """A line for each run that was brought to its end; nothing when nothing changed."""
    mark = " (simulated)" if cycle.plan.simulated else ""
    lines = [f"interrupted run {report.run_id}: {report_line(report)}{mark}" for report in cycle.recovered]
    if cycle.report is not None:
        bound = "" if cycle.bound_after_s is None else f", {cycle.bound_after_s:.2f} s after the change was seen"
        lines.append(f"plan {cycle.plan.id}: {report_line(cycle.report)}{bound}{mark}")
    lines += [move_line(move) for move in cycle.better.moves] if cycle.better is not None else []
    return "\n".join(lines)


def _data(cycle: Cycle, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "plan": plan_data(cycle.plan),
        "report": report_of(cycle.report) if cycle.report else None,
        "recovered": [report_of(report) for report in cycle.recovered],
        "bound_after_s": cycle.bound_after_s,
        **_moves_data(cycle),
        "right_sizes": [size_data(one) for one in cycle.right_sizes],
    }


def _moves_text(cycle: Cycle, names: dict[str, str], look: Look) -> str:
    return "" if cycle.better is None else better_text(cycle.better.moves, cycle.better.held_back, names, look)


def _moves_data(cycle: Cycle) -> dict[str, object]:
    better = cycle.better
    return better_data(better.moves, better.held_back, cut=better.cut) if better is not None else {}
