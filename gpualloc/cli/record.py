"""`gpualloc record`: what nodes tell, in a file that `--sim` opens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpualloc.cli import shared, stopping
from gpualloc.cli.outcome import say, write
from gpualloc.model.units import parse_duration_s
from gpualloc.views.envelope import line
from gpualloc.views.text import duration, escape, plural

app = shared.verb_app()

_FIRST_S = 30.0
"""How long a recording waits for all nodes before its first tick, which is what it shows when it is opened."""


@app.command()
def record(
    ctx: typer.Context,
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to write; must not be there yet.")],
    every: Annotated[
        str, typer.Option("--every", metavar="DURATION", help="Time between two ticks. [default: 10s]")
    ] = "10s",
    for_how_long: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="End after this time; else when stopped.")
    ] = None,
    no_commands: Annotated[
        bool, typer.Option("--no-commands", help="Leave the command lines of processes out.")
    ] = False,
) -> int:
    """Write what all nodes tell, tick by tick, until stopped."""
    every_s = parse_duration_s(every)
    for_s = parse_duration_s(for_how_long) if for_how_long else None
    as_json = bool(shared.given(ctx)["json"])
    with shared.open_world(ctx) as world, stopping.on_signal() as stop:
        from gpualloc.cli.progress import drawn
        from gpualloc.engine.heard import ticks
        from gpualloc.wiring.doors import recorder

        began_s = world.clock.now_s()
        written = recorder(Path(file), world.fleet.specs(), began_s=began_s, every_s=every_s, commands=not no_commands)
        try:
            with drawn() as progress:
                for tick in ticks(world, every_s, stop.asked, first_s=_FIRST_S):
                    written.tick(tick.at_s, tick.told)
                    said = _said(written.ticks, written.size_bytes, tick.at_s - began_s)
                    progress.draw(said)
                    if as_json:
                        told = {"ticks": written.ticks, "size_bytes": written.size_bytes}
                        write(line("record", {"at_s": tick.at_s, "simulated": world.simulated, **told}) + "\n")
                    if for_s is not None and tick.at_s - began_s >= for_s:
                        break
        finally:
            written.close()
        ended = _said(written.ticks, written.size_bytes, world.clock.now_s() - began_s)
        say(f"{escape(file)}: {ended}" + (" (simulated)" if world.simulated else ""))
    return stop.exit_code or 0


def _said(ticks: int, size_bytes: int, seconds: float) -> str:
    return f"{plural(ticks, 'tick')} in {duration(seconds)}, {size_bytes / 1024:.0f} KiB"
