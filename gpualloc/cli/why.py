"""`gpualloc why`: why a workload waits, and what would help; or how it came to its place."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import nodes_seen
from gpualloc.engine.why import why as explain
from gpualloc.views.envelope import unreached
from gpualloc.views.submission import starter_text
from gpualloc.views.why import Account, why_data, why_text

app = shared.verb_app()


@app.command()
def why(
    ctx: typer.Context,
    reference: shared.OneWorkload,
    policy: shared.Policy = None,
    objective: shared.Objective = None,
) -> Answer:
    """Tell what keeps a waiting workload from each node and what would make it fit; or who placed it where."""
    with shared.open_world(ctx, shared.policy_override(policy, objective=objective)) as world:
        with nodes_seen(world) as progress:
            found = explain(world, reference, progress)
        names = {**shared.names_of(world), found.workload.id: found.workload.name}
        account = Account(
            found.workload,
            found.at_s,
            world.simulated,
            f"{world.policy.name} {world.policy.version}",
            starter_text(found.starter.kind, found.starter.last_rebalance_s) if found.starter else "",
            found.explanation,
            found.placed,
            found.snapshot,
            names,
        )
    return Answer(
        why_data(account),
        lambda look: why_text(account, look),
        errors=unreached(found.snapshot) if found.snapshot else (),
    )
