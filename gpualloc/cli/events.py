"""`gpualloc events`: what happened in the fleet."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from gpualloc.cli import shared, stopping
from gpualloc.cli.outcome import Answer, look, say, write
from gpualloc.cli.values import severity_of
from gpualloc.engine.context import Context
from gpualloc.engine.events_told import Wanted, events_of, new_events
from gpualloc.model.health import Severity
from gpualloc.model.units import parse_duration_s

app = shared.verb_app()

_POLL_S = 0.5
"""How often the store is asked for new events."""


@app.command()
def events(
    ctx: typer.Context,
    *,
    since: Annotated[str, typer.Option("--since", metavar="DURATION", help="How far back. [default: 24h]")] = "24h",
    severity: Annotated[
        str, typer.Option("--severity", metavar="SEVERITY", help="From which severity on. [default: info]")
    ] = Severity.INFO.value,
    node: Annotated[str | None, typer.Option("--node", metavar="NODE", help="Only of this node.")] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="Only of this device: UUID, or index with --node.")
    ] = None,
    as_csv: shared.Csv = False,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Then go on with what is new until stopped.")] = False,
) -> Answer | int:
    """Show what happened: Xids, GPUs that were lost or came back, nodes that were booted. No node is asked.

    The newest comes last. `gpualloc sample` or `gpualloc health` writes them down.
    """
    least, ago_s = severity_of("--severity", severity), parse_duration_s(since)
    with shared.open_world(ctx) as world:
        wanted = Wanted(least, node, device)
        if follow:
            return _follow(world, wanted, ago_s, as_json=bool(shared.given(ctx)["json"]))
        from gpualloc.views.events import events_data, events_text
        from gpualloc.views.health_csv import events_csv

        found = events_of(world, wanted, ago_s)
        simulated = world.simulated
    return Answer(
        events_data(found.events, found.indices, simulated=simulated),
        lambda screen: (
            events_csv(found.events, found.indices, simulated=simulated)
            if as_csv
            else events_text(found.events, found.indices, screen, simulated=simulated)
        ),
    )


def _follow(world: Context, wanted: Wanted, ago_s: float, *, as_json: bool) -> int:
    """Tell each event as a JSON line or as text, those of before first, until a signal comes."""
    from gpualloc.views.envelope import line
    from gpualloc.views.events import event_data, event_text

    if world.simulated and not as_json:
        say("simulated")
    with stopping.on_signal() as stop:

        def wait() -> bool:
            time.sleep(_POLL_S)
            return not stop.asked()

        for event, indices in new_events(world, wanted, ago_s, wait):
            if as_json:
                write(line("events", {"simulated": world.simulated, **event_data(event, indices)}) + "\n")
            else:
                write(event_text(event, indices, look(sys.stdout)) + "\n")
    return stop.exit_code or 0
