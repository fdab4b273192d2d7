"""`gpualloc alerts`: what is firing, what fired, tests of channels, and silences."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.engine.alerting import send_test, standing_now
from gpualloc.engine.alerting import silence as silence_alerts
from gpualloc.engine.alerting import unsilence as unsilence_alerts
from gpualloc.errors import GpuallocError
from gpualloc.model.units import parse_duration_s
from gpualloc.views.alerts import (
    alert_data,
    alerts_text,
    answer_data,
    answers_text,
    silence_data,
    silence_text,
    transition_data,
    transitions_text,
)

DAY_S = 86_400.0


class ListByDefault(TyperGroup):
    """A group of verbs that lists when none of them is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` in front of options that stand alone."""
        alone = not args or (args[0].startswith("-") and args[0] not in ("-h", "--help"))
        return super().parse_args(ctx, ["list", *args] if alone else args)


app = shared.verb_app(cls=ListByDefault)

RuleName = Annotated[str | None, typer.Argument(metavar="[RULE]", help="Name of an alert rule.")]
OneNode = Annotated[str | None, typer.Option("--node", metavar="NODE", help="Only alerts about this node.")]


@app.callback()
def alerts() -> None:
    """Alerts: what is firing or pending, what fired, tests, silences. Alone it lists."""


@app.command("list")
def list_(ctx: typer.Context) -> Answer:
    """Show what is firing or pending by the last look of `gpualloc sample`, worst first."""
    with shared.open_world(ctx) as world:
        now_s = world.clock.now_s()
        looked_s, found = standing_now(world)
        silences = world.alerts.silences(now_s)
        simulated = world.simulated
    return Answer(
        {
            "simulated": simulated,
            "looked_s": looked_s,
            "alerts": [alert_data(*each) for each in found],
            "silences": [silence_data(each) for each in silences],
        },
        lambda look: alerts_text(found, silences, looked_s, now_s, look, simulated=simulated),
    )


@app.command()
def history(
    ctx: typer.Context,
    rule: RuleName = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DURATION", help="How far back. [default: 1d]")
    ] = None,
    node: OneNode = None,
) -> Answer:
    """Show when alerts fired and were resolved, oldest first."""
    ago_s = parse_duration_s(since) if since else DAY_S
    with shared.open_world(ctx) as world:
        found = world.alerts.transitions(world.clock.now_s() - ago_s, rule=rule, node=node)
        simulated = world.simulated
    return Answer(
        {"simulated": simulated, "transitions": [transition_data(each) for each in found]},
        lambda look: transitions_text(found, look, simulated=simulated),
    )


@app.command()
def test(
    ctx: typer.Context, rule: Annotated[str, typer.Argument(metavar="RULE", help="Name of an alert rule.")]
) -> Answer:
    """Send a test through every channel of a rule; exit code 1 when one of them fails."""
    with shared.open_world(ctx) as world:
        answers = send_test(world, rule)
        simulated = world.simulated
    failed = [each.notice.channel for each in answers if each.problem is not None]
    error = GpuallocError(f"the test did not arrive through {', '.join(failed)}") if failed else None
    return Answer(
        {"simulated": simulated, "rule": rule, "channels": [answer_data(each) for each in answers]},
        lambda look: answers_text(rule, answers, look),
        errors=(error,) if error else (),
        exit_code=error.exit_code if error else 0,
    )


@app.command()
def silence(
    ctx: typer.Context,
    rule: RuleName = None,
    node: OneNode = None,
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="For how long.")] = "1h",
    reason: shared.Reason = None,
) -> Answer:
    """Keep alerts of a rule, or about a node, from their channels for a time; they are watched all the same."""
    for_s = parse_duration_s(for_)
    with shared.open_world(ctx) as world:
        made = silence_alerts(world, rule, node, for_s, reason)
        simulated = world.simulated
    return Answer({"simulated": simulated, "silence": silence_data(made)}, lambda _look: silence_text(made))


@app.command()
def unsilence(ctx: typer.Context, rule: RuleName = None, node: OneNode = None) -> Answer:
    """End the silence of a rule, or of a node; what fires meanwhile is told at the next look."""
    with shared.open_world(ctx) as world:
        ended = unsilence_alerts(world, rule, node)
        simulated = world.simulated
    return Answer(
        {"simulated": simulated, "ended": [silence_data(each) for each in ended]},
        lambda _look: "\n".join(f"no longer {silence_text(each)}" for each in ended),
    )
