"""`gpualloc sample`: write readings of everything to the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from gpualloc.cli import shared, stopping
from gpualloc.cli.outcome import Answer, say, write
from gpualloc.engine.sample import sample as sample_once
from gpualloc.engine.sample import sample_every
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
    """Read every node and device once and keep the readings; never takes the apply lock."""
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


def _teller(*, as_json: bool, simulated: bool) -> Callable[[int, int, str | None], None]:
    """Tell each tick: a JSON line on stdout, or a line of talk."""

    def tell(at_s: int, rows: int, trouble: str | None) -> None:
        if as_json:
            write(line("sample", {"at_s": at_s, "rows": rows, "simulated": simulated, "error": trouble}) + "\n")
        else:
            said = escape(trouble) if trouble else f"{plural(rows, 'row')} written"
            say(f"{stamp(at_s)} {said}" + (" (simulated)" if simulated else ""))

    return tell
