"""`gpualloc status`: when work was last placed, what waits, who holds the lock."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.engine.status import status as read_status
from gpualloc.views.status import Standing, status_data, status_text

app = shared.verb_app()


@app.command()
def status(ctx: typer.Context) -> Answer:
    """Say how gpualloc itself stands, from its own state; no node is asked."""
    with shared.open_world(ctx) as world:
        found = read_status(world)
        standing = Standing(
            workloads=found.workloads,
            starter=found.starter.kind,
            last_rebalance_at_s=found.last_rebalance_at_s,
            last_rebalance_s=found.starter.last_rebalance_s,
            last_rebalance=found.last_rebalance,
            open_runs=tuple((run.id, run.actor, run.started_at_s) for run in found.open_runs),
            held_by=found.held_by,
            cordons=found.cordons,
            policy=world.policy.name,
            simulated=world.simulated,
        )
    return Answer(status_data(standing), lambda look: status_text(standing, look))
