"""`gpualloc release`: end workloads and give their devices back."""

from __future__ import annotations

import typer

from gpualloc.cli import shared, stopping
from gpualloc.cli.outcome import Answer
from gpualloc.cli.reporting import tell_step
from gpualloc.engine.release import release as release_workloads
from gpualloc.views.workloads import workloads_data, workloads_text

app = shared.verb_app()


@app.command()
def release(ctx: typer.Context, references: shared.Workloads, wait: shared.Wait = None) -> Answer:
    """Stop workloads (TERM, grace, KILL) and free what they hold; one that waits is withdrawn."""
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx) as world:
        with stopping.stoppable(world) as going:
            workloads = release_workloads(going, references, wait_s=wait_s, on_step=tell_step)
        simulated, now_s = world.simulated, world.clock.now_s()
    return Answer(
        workloads_data(workloads, simulated=simulated),
        lambda look: workloads_text(workloads, now_s, look, simulated=simulated),
    )
