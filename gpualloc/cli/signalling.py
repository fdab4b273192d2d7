"""`gpualloc signal`: send a signal to processes of a node."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gpualloc.cli import shared, stopping
from gpualloc.cli.asking import confirmed, need_somebody
from gpualloc.cli.outcome import Answer, look, say
from gpualloc.cli.reporting import tell_step
from gpualloc.engine.signalling import Chosen, SignalOrder, address, send
from gpualloc.engine.signalling import Sent as SentSignals
from gpualloc.errors import UsageError
from gpualloc.model.signals import ProcessSignal, parse_signal
from gpualloc.views.signals import addressee_data, addressees_text, delivery_line

app = shared.verb_app()

_MOST_PID = 1 << 22


@app.command()
def signal(
    ctx: typer.Context,
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node they run on.")],
    pids: Annotated[list[str], typer.Argument(metavar="PID...", help="The processes; none below them is meant.")],
    *,
    name: Annotated[
        str | None, typer.Option("--signal", metavar="SIGNAL", help="Its name or number. [default: TERM]")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: shared.Wait = None,
) -> Answer:
    """Show who would get the signal, ask, and send it as the account that the node program runs as."""
    wait_s = shared.wait_s(wait)
    wanted = ProcessSignal.TERM if name is None else parse_signal(name)
    chosen = [Chosen(node, _pid(pid)) for pid in pids]
    if not yes:
        need_somebody("signal")
    with shared.open_world(ctx) as world:
        order = address(world, wanted, chosen)
        say(addressees_text(wanted, order.to, look(sys.stderr), simulated=world.simulated))
        if not yes and not confirmed("signal"):
            return Answer(_data(order, None, simulated=world.simulated), lambda _screen: "nothing was done")
        with stopping.stoppable(world) as going:
            sent = send(going, order, wait_s=wait_s, on_step=tell_step)
        data = _data(order, sent, simulated=world.simulated)
    told = [one for one in sent.deliveries if one.sent]
    error = sent.error
    return Answer(
        data,
        lambda screen: "\n".join(delivery_line(one.to, one.state, screen) for one in told),
        errors=(error,) if error else (),
        exit_code=error.exit_code if error else 0,
    )


def _pid(text: str) -> int:
    # Stricter than `int`, which takes 1_000 and digits of other scripts: what is typed here may end a process.
    pid = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_PID)) else 0
    if not 1 < pid <= _MOST_PID:
        raise UsageError(f"PID {text!r} is no process that can get a signal", hint="a whole number above 1")
    return pid


def _data(order: SignalOrder, sent: SentSignals | None, *, simulated: bool) -> dict[str, object]:
    rows: list[dict[str, object]] = []
    for position, to in enumerate(order.to):
        done = None if sent is None else sent.deliveries[position]
        error = None if done is None else done.error
        rows.append(
            {
                **addressee_data(to),
                "sent": done is not None and done.sent,
                "state": None if done is None or done.state is None else done.state.value,
                "error": None if error is None else {"code": error.code, "message": error.message},
            }
        )
    run = None if sent is None else sent.report.run_id
    return {
        "simulated": simulated,
        "signal": order.signal.value,
        "processes": rows,
        "confirmed": sent is not None,
        "run": run,
    }
