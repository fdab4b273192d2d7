"""`gpualloc undo`: take a finished run back."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gpualloc.cli import shared, stopping
from gpualloc.cli.asking import confirmed
from gpualloc.cli.outcome import Answer, look, say
from gpualloc.cli.reporting import report_line, report_of, tell_step
from gpualloc.engine.apply import apply, failure
from gpualloc.engine.open_runs import LATEST
from gpualloc.engine.undo import undo_plan
from gpualloc.views.undo import undo_data, undo_text

app = shared.verb_app()


@app.command()
def undo(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Id of the run; else the last one.")] = LATEST,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be taken back; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: shared.Wait = None,
) -> Answer:
    """Take back what a finished run did, as far as that can be: show it, ask, then do it."""
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx) as world:
        found = undo_plan(world, run)
        names = shared.names_of(world)
        left = [(one.step, one.why) for one in found.stays]
        data = undo_data(found.run, found.plan, left)
        if dry_run or not found.plan.applyable:
            return Answer(
                {**data, "report": None, "confirmed": False},
                lambda look: undo_text(found.run, found.plan, left, names, look),
            )
        say(undo_text(found.run, found.plan, left, names, look(sys.stderr)))
        if not yes and not confirmed("undo"):
            return Answer({**data, "report": None, "confirmed": False}, lambda _look: "nothing was done")
        with stopping.stoppable(world) as going:
            report = apply(going, found.plan, wait_s=wait_s, on_step=tell_step)
    error = failure(report)
    return Answer(
        {**data, "report": report_of(report), "confirmed": True},
        lambda _look: report_line(report) + (" (simulated)" if found.plan.simulated else ""),
        errors=(error,) if error else (),
        exit_code=error.exit_code if error else 0,
    )
