"""`gpualloc enforce`: processes on devices they were not given, and what the rules do about them."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.reporting import report_line, report_of, tell_step
from gpualloc.cli.stopping import stoppable
from gpualloc.engine.apply import failure
from gpualloc.engine.enforce import enforce as enforce_rules
from gpualloc.views.enforcement import finding_data, findings_text

app = shared.verb_app()


@app.command()
def enforce(
    ctx: typer.Context,
    apply: Annotated[bool, typer.Option("--apply", help="Count this look and carry the rules out.")] = False,
    wait: shared.Wait = None,
) -> Answer:
    """Show processes on GPUs they were not given, and with --apply do what `[enforce]` says about them."""
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx, looks=True) as world:
        with stoppable(world) as going:
            found = enforce_rules(going, apply=apply, wait_s=wait_s, on_step=tell_step)
        simulated, now_s = world.simulated, world.clock.now_s()
    error = None if found.report is None else failure(found.report)
    done = "" if found.report is None else f"\n\n{report_line(found.report)}"
    mark = "simulated\n" if simulated else ""
    return Answer(
        {
            "simulated": simulated,
            "mode": found.mode.value,
            "applied": found.applied,
            "findings": [finding_data(finding, found.mode) for finding in found.findings],
            "report": None if found.report is None else report_of(found.report),
        },
        lambda look: mark + findings_text(found.findings, found.mode, now_s, look, applied=found.applied) + done,
        errors=(error,) if error else (),
        exit_code=error.exit_code if error else 0,
    )
