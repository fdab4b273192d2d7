"""`gpualloc plan`: what would be changed now, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import CHANGES, Answer
from gpualloc.cli.plan_file import write_plan
from gpualloc.cli.progress import nodes_seen
from gpualloc.engine.plan import make_plan
from gpualloc.engine.why import explained_plan
from gpualloc.errors import UsageError
from gpualloc.model.inventory import Snapshot
from gpualloc.policies.explanation import Explanation
from gpualloc.views.envelope import unreached
from gpualloc.views.look import Look
from gpualloc.views.plan import plan_data, plan_text
from gpualloc.views.why import explanation_data, explanations_text

app = shared.verb_app()


@app.command()
def plan(
    ctx: typer.Context,
    *,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Also write the plan for `gpualloc apply FILE`."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell of each waiting workload why it gets its place, or none.")
    ] = False,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Compare plans for all objectives by some policies; none is kept.")
    ] = False,
    policy: shared.Policy = None,
    policy_profile: shared.PolicyProfile = None,
    objective: shared.Objective = None,
    detailed_exitcode: shared.DetailedExitCode = False,
) -> Answer:
    """Decide places for waiting work and show the steps, with a reason for each; nothing is changed."""
    if pareto:
        if output or explain or objective:
            raise UsageError("--pareto compares plans; it takes no --output, --explain or --objective")
        return _compared(ctx, policy, policy_profile, detailed=detailed_exitcode)
    told: tuple[Explanation, ...] = ()
    seen: Snapshot | None = None
    with shared.open_world(ctx, shared.policy_override(policy, policy_profile, objective)) as world:
        with nodes_seen(world) as progress:
            if explain:
                made, told, seen = explained_plan(world, progress)
            else:
                made = make_plan(world, progress=progress)
        world.journal.save_plan(made)
        names = shared.names_of(world)
    if output:
        write_plan(made, Path(output))

    def text(look: Look) -> str:
        reasons = explanations_text(told, seen, f"{made.policy} {made.policy_version}", names, look)
        return "\n\n".join(part for part in (plan_text(made, names, look), reasons) if part)

    return Answer(
        {**plan_data(made), **(_explained(told) if explain else {})},
        text,
        messages=(f"written to {output}; `gpualloc apply {output}` carries it out",) if output else (),
        exit_code=CHANGES if detailed_exitcode and made.applyable else 0,
    )


def _compared(ctx: typer.Context, policy: str | None, profile: str | None, *, detailed: bool) -> Answer:
    from gpualloc.engine.pareto import choices
    from gpualloc.views.pareto import Comparison, comparison_data, comparison_text

    flags = [f"--policy {policy}"] if policy else []
    flags += [f"--policy-profile {profile}"] if profile else []
    with shared.open_world(ctx, shared.policy_override(policy, profile)) as world:
        with nodes_seen(world) as progress:
            found = choices(world, progress)
        comparison = Comparison(
            found.shown, found.tried, found.waiting, world.simulated, world.policy.name, " ".join(flags)
        )
    return Answer(
        comparison_data(comparison),
        lambda look: comparison_text(comparison, look),
        errors=unreached(found.snapshot),
        exit_code=CHANGES if detailed and any(choice.plan.applyable for choice in found.shown) else 0,
    )


def _explained(told: tuple[Explanation, ...]) -> Mapping[str, object]:
    return {"explanations": [explanation_data(each) for each in told]}
