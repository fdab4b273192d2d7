"""`gpualloc submit`: ask for devices and limits for a command."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.request import COMMAND_SETTINGS, OPTIONS, request_of
from gpualloc.engine.submit import submit as submit_request
from gpualloc.views.submission import starter_text, submission_data, submission_text

app = shared.verb_app()
DECLARED_BY = OPTIONS


@app.command(context_settings=COMMAND_SETTINGS)
def submit(ctx: typer.Context) -> Answer:
    """Leave a request for a command; says who will start it."""
    with shared.open_world(ctx) as world:
        name, request = request_of(ctx, world)
        taken = submit_request(world, name, request)
        simulated = world.simulated
    starter = starter_text(taken.starter.kind, taken.starter.last_rebalance_s)
    return Answer(
        submission_data(taken.workload, taken.starter.kind, starter, taken.unseen, simulated=simulated),
        lambda _look: submission_text(taken.workload, simulated=simulated),
        messages=(
            starter,
            *(f"{node} did not answer; whether the request fits it is not known" for node in taken.unseen),
        ),
    )
