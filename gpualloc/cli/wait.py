"""`gpualloc wait`: wait until a workload ends."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.engine.wait import wait as wait_for_end
from gpualloc.model.units import parse_duration_s
from gpualloc.model.workload import WorkloadState
from gpualloc.views.workloads import workload_in_full, workload_text

app = shared.verb_app()


@app.command()
def wait(
    ctx: typer.Context,
    reference: shared.OneWorkload,
    timeout: Annotated[str | None, typer.Option("--timeout", metavar="DURATION", help="Give up after this.")] = None,
) -> Answer:
    """Wait until a workload ends; the exit code is 0 when it finished well, else 1."""
    timeout_s = parse_duration_s(timeout) if timeout else None
    with shared.open_world(ctx) as world:
        workload = wait_for_end(world, reference, timeout_s=timeout_s)
        simulated, now_s = world.simulated, world.clock.now_s()
    return Answer(
        workload_in_full(workload, simulated=simulated),
        lambda _look: workload_text(workload, now_s, simulated=simulated),
        exit_code=0 if workload.state is WorkloadState.FINISHED else 1,
    )
