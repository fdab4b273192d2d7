"""`gpualloc resume`: let suspended work go on, where it was or on other devices of its node."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.reporting import tell_step
from gpualloc.cli.stopping import stoppable
from gpualloc.engine.suspend import resume as resume_workload
from gpualloc.views.workloads import workload_in_full, workload_text

app = shared.verb_app()


@app.command()
def resume(
    ctx: typer.Context,
    reference: shared.OneWorkload,
    device: Annotated[
        list[str] | None,
        typer.Option("--device", metavar="DEVICE", help="Index or UUID; once for each device. [default: where it was]"),
    ] = None,
    wait: shared.Wait = None,
) -> Answer:
    """Let a suspended workload go on: its devices are claimed anew, and its GPU memory moves back."""
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx) as world:
        with stoppable(world) as going:
            workload = resume_workload(going, reference, device or [], wait_s=wait_s, on_step=tell_step)
        simulated, now_s = world.simulated, world.clock.now_s()
    return Answer(
        workload_in_full(workload, simulated=simulated),
        lambda _look: workload_text(workload, now_s, simulated=simulated),
    )
