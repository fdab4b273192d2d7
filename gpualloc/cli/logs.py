"""`gpualloc logs`: the output of a workload."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer, write, write_bytes
from gpualloc.engine.wait import follow
from gpualloc.model.units import whole_number
from gpualloc.views.envelope import line

app = shared.verb_app()


@app.command()
def logs(
    ctx: typer.Context,
    reference: shared.OneWorkload,
    until_end: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the workload ends.")] = False,
    member: Annotated[
        str, typer.Option("--member", metavar="RANK", help="Of a gang: whose output. [default: 0]")
    ] = "0",
) -> Answer | None:
    """Print what a workload wrote to stdout and stderr; with `-f --json` as JSON lines."""
    as_json = bool(shared.given(ctx)["json"])
    collected: list[bytes] = []
    with shared.open_world(ctx) as world:
        workload, simulated = world.journal.find(reference), world.simulated

        def write_line(data: bytes) -> None:
            text = data.decode(errors="replace")
            write(line("logs", {"id": workload.id, "simulated": simulated, "text": text}) + "\n")

        sink = write_bytes if not as_json else write_line if until_end else collected.append
        follow(world, workload, sink, until_end=until_end, member=whole_number("--member", member))
    if not as_json or until_end:
        return None
    text = b"".join(collected).decode(errors="replace")
    return Answer({"id": workload.id, "simulated": simulated, "text": text}, lambda _look: "")
