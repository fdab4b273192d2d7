"""`gpualloc suspend`: free the devices of running work without ending it."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.reporting import tell_step
from gpualloc.cli.stopping import stoppable
from gpualloc.engine.suspend import suspend as suspend_workload
from gpualloc.views.workloads import workload_in_full, workload_text

app = shared.verb_app()


@app.command()
def suspend(ctx: typer.Context, reference: shared.OneWorkload, wait: shared.Wait = None) -> Answer:
    """Move a workload's GPU memory to its host and let it stand still; its devices are free until it is resumed."""
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx) as world:
        with stoppable(world) as going:
            workload = suspend_workload(going, reference, wait_s=wait_s, on_step=tell_step)
        simulated, now_s = world.simulated, world.clock.now_s()
    return Answer(
        workload_in_full(workload, simulated=simulated),
        lambda _look: workload_text(workload, now_s, simulated=simulated),
    )
