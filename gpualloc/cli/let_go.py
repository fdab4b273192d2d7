"""`gpualloc let-go`: let an adopted process run on without gpualloc."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.reporting import tell_step
from gpualloc.cli.stopping import stoppable
from gpualloc.engine.adopt import let_go as let_process_go
from gpualloc.views.workloads import workloads_data, workloads_text

app = shared.verb_app()


@app.command()
def let_go(ctx: typer.Context, reference: shared.OneWorkload, wait: shared.Wait = None) -> Answer:
    """Take adopted work out of its group, back to where it came from, and give up its claims; it runs on."""
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx) as world:
        with stoppable(world) as going:
            workload = let_process_go(going, reference, wait_s=wait_s, on_step=tell_step)
        simulated, now_s = world.simulated, world.clock.now_s()
    return Answer(
        workloads_data([workload], simulated=simulated),
        lambda look: workloads_text([workload], now_s, look, simulated=simulated),
    )
