"""`gpualloc plan`: what would be changed now, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import CHANGES, Answer
from gpualloc.cli.plan_file import write_plan
from gpualloc.cli.progress import nodes_seen
from gpualloc.engine.plan import make_plan
from gpualloc.views.plan import plan_data, plan_text

app = shared.verb_app()


@app.command()
def plan(
    ctx: typer.Context,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Also write the plan for `gpualloc apply FILE`."),
    ] = None,
    policy: shared.Policy = None,
    policy_profile: shared.PolicyProfile = None,
    detailed_exitcode: shared.DetailedExitCode = False,
) -> Answer:
    """Decide places for waiting work and show the steps, with a reason for each; nothing is changed."""
    with shared.open_world(ctx, shared.policy_override(policy, policy_profile)) as world:
        with nodes_seen(world) as progress:
            made = make_plan(world, progress=progress)
        world.journal.save_plan(made)
        names = shared.names_of(world)
    if output:
        write_plan(made, Path(output))
    return Answer(
        plan_data(made),
        lambda look: plan_text(made, names, look),
        messages=(f"written to {output}; `gpualloc apply {output}` carries it out",) if output else (),
        exit_code=CHANGES if detailed_exitcode and made.applyable else 0,
    )
