"""`gpualloc run`: submit, place, follow the output, return the exit code."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import typer

from gpualloc.cli import shared, stopping
from gpualloc.cli.outcome import INTERRUPTED, RUN_FAILED, say, write_bytes
from gpualloc.cli.request import COMMAND_SETTINGS, OPTIONS, request_of
from gpualloc.engine.release import release
from gpualloc.engine.run import run as run_request
from gpualloc.model.units import parse_duration_s
from gpualloc.model.workload import Workload
from gpualloc.views.text import escape

if TYPE_CHECKING:
    from gpualloc.engine.context import Context

RELEASE_WAIT_S = 30.0
"""How long an interrupted run waits for the lock to release its workload."""

SIGNALLED = 128
"""An exit code above this is 128 and a signal: it does not tell by itself who sent it, and why."""

app = shared.verb_app()
DECLARED_BY = OPTIONS


@app.command(context_settings=COMMAND_SETTINGS)
def run(
    ctx: typer.Context,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long to wait for the lock. [default: 10s]")
    ] = "10s",
    objective: shared.Objective = None,
) -> int:
    """Run a command on the fleet now and return its exit code; 125 when gpualloc itself fails."""
    wait_s = parse_duration_s(wait)
    begun: list[Workload] = []
    with shared.open_world(ctx, shared.policy_override(None, objective=objective)) as world:
        name, request = request_of(ctx, world)
        if world.simulated:
            say("simulated: nothing really runs")
        try:
            with stopping.as_interrupt(signal.SIGTERM):
                ended = run_request(world, name, request, write=write_bytes, wait_s=wait_s, on_submit=begun.append)
        except KeyboardInterrupt:
            return _interrupted(world, begun)
    told_by_code = ended.exit_code is not None and ended.exit_code <= SIGNALLED
    if ended.reason is not None and not told_by_code:
        say(f"{ended.id}: {ended.state.value}: {escape(ended.reason)}")
    return RUN_FAILED if ended.exit_code is None else ended.exit_code


def _interrupted(world: Context, begun: list[Workload]) -> int:
    for workload in begun:
        say(f"interrupted; releasing {workload.id} (interrupt again to leave it running)")
        try:
            release(world, [workload.id], wait_s=RELEASE_WAIT_S)
            say(f"{workload.id} released")
        except KeyboardInterrupt:
            say(f"left as it is; `gpualloc release {workload.id}` ends it")
    return INTERRUPTED
