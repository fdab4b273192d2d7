"""`gpualloc drain`: empty nodes or a device."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.reporting import report_line, report_of, tell_step
from gpualloc.cli.stopping import stoppable
from gpualloc.engine.drain import Drain
from gpualloc.engine.drain import drain as drain_places
from gpualloc.views.cordon import concerned_data, cordon_data, drain_text, stranger_data, strangers_text
from gpualloc.views.envelope import unreached
from gpualloc.views.look import Look
from gpualloc.views.plan import plan_data

app = shared.verb_app()


@app.command()
def drain(
    ctx: typer.Context,
    names: shared.SomeNodes,
    *,
    device: shared.OneDevice = None,
    evict: Annotated[
        bool, typer.Option("--evict", help="Make the work there give way now, each as it asked to.")
    ] = False,
    reason: shared.Reason = None,
    wait: shared.Wait = None,
) -> Answer:
    """Let nodes, or one device of a node, take no new work, and tell whose work is there; it runs to its end."""
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx) as world:
        nodes = shared.chosen_nodes(world, names) or ()
        with stoppable(world) as going:
            done = drain_places(going, nodes, device, reason, evict=evict, wait_s=wait_s, on_step=tell_step)
        return drained(done, evict=evict, simulated=world.simulated)


def drained(done: Drain, *, evict: bool, simulated: bool) -> Answer:
    """The answer after a drain, with the error it exits with when something stayed."""
    error = done.error
    errors = (*unreached(done.snapshot), *([error] if error else []))
    return Answer(
        _data(done, evict=evict, simulated=simulated),
        lambda look: _text(done, look, simulated=simulated),
        errors=errors,
        exit_code=error.exit_code if error else 0,
    )


def _data(done: Drain, *, evict: bool, simulated: bool) -> dict[str, object]:
    return {
        "simulated": simulated,
        "cordons": [cordon_data(*each) for each in done.states],
        "workloads": [concerned_data(each) for each in done.concerned],
        "evict": evict,
        "staying": list(done.staying),
        "strangers": [stranger_data(*each) for each in done.strangers],
        "plans": [plan_data(plan) for plan, _ in done.rounds],
        "reports": [report_of(report) for _, report in done.rounds],
    }


def _text(done: Drain, look: Look, *, simulated: bool) -> str:
    lines = [drain_text(done.states, done.concerned, look, simulated=simulated)]
    if done.strangers:
        lines.append(strangers_text(done.strangers))
    lines += [f"plan {plan.id}: {report_line(report)}" for plan, report in done.rounds]
    return "\n".join(lines)
