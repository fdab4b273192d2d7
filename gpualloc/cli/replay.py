"""`gpualloc replay`: what happened in a recording, line by line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from gpualloc.cli import shared, stopping
from gpualloc.cli.outcome import look, say, write
from gpualloc.errors import UsageError
from gpualloc.model.units import number, parse_duration_s
from gpualloc.views.text import duration, escape, plural, stamp

app = shared.verb_app()

_SLICE_S = 0.1


@app.command()
def replay(
    ctx: typer.Context,
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file that `record` wrote.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="DURATION", help="Begin so long after the first tick.")
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option("--speed", metavar="NUMBER", help="Recorded seconds per second; else as fast as it can be read."),
    ] = None,
) -> int:
    """Tell what happened in a recording: states, devices and processes that come and go, the kernel log."""
    at_s = parse_duration_s(at) if at else 0.0
    pace = _pace(speed)
    as_json = bool(shared.given(ctx)["json"])
    from gpualloc.engine.replay import replay as replayed
    from gpualloc.views.envelope import line
    from gpualloc.views.replay import happening_data, happening_line
    from gpualloc.wiring.doors import open_recording

    with stopping.on_signal() as stop, open_recording(Path(file)) as recording:
        header = recording.header
        commands = "" if header.commands else ", without commands"
        say(
            f"recorded from {stamp(recording.began_s)} by gpualloc {escape(header.version)}: "
            f"{plural(len(header.specs), 'node')} every {duration(header.every_s)}{commands}"
        )
        shown, from_s = look(sys.stdout), recording.began_s + at_s
        for happening in replayed(recording, from_s, _waiter(from_s, pace, stop.asked), stop.asked):
            if as_json:
                write(line("replay", happening_data(happening)) + "\n")
            else:
                write(happening_line(happening, shown) + "\n")
        if not stop.asked():
            say(
                f"end of the recording at {stamp(recording.at_s)}, after {duration(recording.at_s - recording.began_s)}"
            )
    return stop.exit_code or 0


def _waiter(from_s: float, pace: float | None, stopped: Callable[[], bool]) -> Callable[[float], None]:
    """What waits for moments of a recording that is taken up now; at once without a pace."""
    began = time.monotonic()

    def await_moment(at_s: float) -> None:
        if pace is None:
            return
        until = began + (at_s - from_s) / pace
        while not stopped() and (left_s := until - time.monotonic()) > 0:
            time.sleep(min(_SLICE_S, left_s))

    return await_moment


def _pace(speed: str | None) -> float | None:
    if not speed:
        return None
    pace = number("--speed", speed)
    if not 0 < pace <= 1e6:
        raise UsageError(f"--speed {speed} is not above 0 and at most 1000000")
    return pace
