"""`gpualloc __complete`: values for shell completion, one a line; silent when there are none to find."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import write
from gpualloc.errors import GpuallocError

app = shared.verb_app()


@app.command()
def complete(ctx: typer.Context, kind: Annotated[str, typer.Argument(metavar="KIND")]) -> None:
    """Print the nodes, pools, workloads, policies, profiles, metrics or simulated clusters; no node is asked."""
    try:
        found = _values(ctx, kind)
    except GpuallocError:
        # A shell that completes has no place for messages.
        return
    # Names with line breaks cannot be told apart by a shell.
    write("".join(f"{value}\n" for value in found if value.isprintable()))


def _values(ctx: typer.Context, kind: str) -> list[str]:
    if kind == "policies":
        from gpualloc.policies.registry import names

        return list(names())
    if kind == "metrics":
        from gpualloc.model.sample import METRICS

        return list(METRICS)
    if kind == "foreseen":
        from gpualloc.model.foresight import ARRIVALS, DEMAND, RUN_TIME
        from gpualloc.model.sample import METRICS

        return [DEMAND, ARRIVALS, RUN_TIME, *METRICS]
    if kind == "profiles":
        from gpualloc.wiring import saved_profiles

        return list(saved_profiles(shared.options(ctx)).names())
    with shared.open_world(ctx) as world:
        if kind == "nodes":
            return [spec.name for spec in world.fleet.specs()]
        if kind == "pools":
            return sorted({spec.pool for spec in world.fleet.specs()})
        if kind == "workloads":
            return [text for named in shared.names_of(world).items() for text in named]
    return []
