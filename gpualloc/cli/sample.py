"""`gpualloc sample`: write readings of everything to the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from gpualloc.cli import service, shared, stopping
from gpualloc.cli.outcome import Answer, say, write
from gpualloc.engine.sample import Tick, sample_every
from gpualloc.engine.sample import sample as sample_once
from gpualloc.model.units import parse_duration_s
from gpualloc.views.envelope import line
from gpualloc.views.text import escape, plural, stamp

app = shared.verb_app()


@app.command()
def sample(
    ctx: typer.Context,
    every: Annotated[
        str | None, typer.Option("--every", metavar="DURATION", help="Go on at this interval until stopped.")
    ] = None,
) -> Answer | int:
    """Read every node and device once and keep the readings; never takes the apply lock.

    With --every each node keeps one session and tells of itself at that interval, until INT or TERM.
    """
    every_s = parse_duration_s(every) if every else None
    as_json = bool(shared.given(ctx)["json"])
    with shared.open_world(ctx) as world:
        simulated = world.simulated
        if every_s is None:
            rows = sample_once(world)
        else:
            with stopping.on_signal() as stop:
                sample_every(world, every_s, stop.asked, _teller(as_json=as_json, simulated=simulated))
            return stop.exit_code or 0
    said = f"{plural(rows, 'row')} written" + (" (simulated)" if simulated else "")
    return Answer({"rows": rows, "simulated": simulated}, lambda _look: said)


def _teller(*, as_json: bool, simulated: bool) -> Callable[[Tick], None]:
    """Tell each tick: a JSON line on stdout, or a line of talk; and systemd, if it started this."""

    def tell(tick: Tick) -> None:
        said = f"{plural(tick.rows, 'row')} of {plural(tick.nodes, 'node')} written"
        if tick.trouble is not None:
            said = f"{said}: {escape(tick.trouble)}"
        if as_json:
            told = {"at_s": tick.at_s, "rows": tick.rows, "nodes": tick.nodes, "simulated": simulated}
            write(line("sample", {**told, "error": tick.trouble}) + "\n")
        else:
            say(f"{stamp(tick.at_s)} {said}" + (" (simulated)" if simulated else ""))
        service.tell(f"READY=1\nWATCHDOG=1\nSTATUS={said[:200]}")

    return tell
