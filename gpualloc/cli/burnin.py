"""`gpualloc burnin`: put a cordoned node to the test before it takes work."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import drawn
from gpualloc.engine.burnin import burnin as burn_in
from gpualloc.engine.observe import look as look_at
from gpualloc.errors import GpuallocError
from gpualloc.model.units import parse_duration_s
from gpualloc.views.burnin import burnin_data, burnin_text, progress_text

app = shared.verb_app()


@app.command()
def burnin(
    ctx: typer.Context,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node; it must be cordoned.")],
    device: shared.OneDevice = None,
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long memory is tested.")] = "10m",
) -> Answer:
    """Test a cordoned node, or one device of it: what it tells of itself, its memory, its bus, and your own program.

    Exit code 1 when a check fails. Whatever is in use is left alone.
    """
    for_s = parse_duration_s(for_)
    with shared.open_world(ctx, looks=True) as world:
        with drawn() as line:
            result = burn_in(world, node, device, for_s, lambda progress: line.draw(progress_text(progress)))
        seen = look_at(world, [node]).nodes
        indices = {each.uuid: each.index for found in seen for each in found.devices}
        simulated = world.simulated
    failed = [check.name for check in result.checks if check.outcome.value == "fail"]
    error = None
    if not result.passed:
        why = ", ".join(dict.fromkeys(failed)) or "no check could be made"
        error = GpuallocError(f"{node} is not accepted: {why}", node=node)
    unrecorded = "it is not in the audit trail: another command held the lock of the state"
    return Answer(
        burnin_data(result, simulated=simulated),
        lambda look: burnin_text(result, indices, look, simulated=simulated),
        messages=() if result.recorded else (unrecorded,),
        errors=() if error is None else (error,),
        exit_code=0 if error is None else error.exit_code,
    )
