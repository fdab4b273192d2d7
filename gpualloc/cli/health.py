"""`gpualloc health`: what is wrong with the fleet now."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import CHANGES, Answer, reached_code
from gpualloc.cli.values import severity_of
from gpualloc.engine.health import UNHEALTHY
from gpualloc.errors import UsageError
from gpualloc.views.look import Look

app = shared.verb_app()


@app.command()
def health(
    ctx: typer.Context,
    names: shared.NodeNames = None,
    *,
    severity: Annotated[
        str, typer.Option("--severity", metavar="SEVERITY", help="From which severity on. [default: warning]")
    ] = UNHEALTHY.value,
    forget: Annotated[
        bool, typer.Option("--forget", help="Of NODE, no longer expect GPU or PORT: it was taken out on purpose.")
    ] = False,
    as_csv: shared.Csv = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 10 when something of that severity is wrong.")
    ] = False,
) -> Answer:
    """Look at the nodes now and tell what is wrong with them, worst first."""
    if forget:
        return _forget(ctx, names or [])
    least = severity_of("--severity", severity)
    with shared.open_world(ctx, looks=True) as world:
        from gpualloc.cli.progress import nodes_seen
        from gpualloc.engine.health_look import look_at_health
        from gpualloc.views.envelope import unreached
        from gpualloc.views.health import condition_data, counts, health_text, summary_text
        from gpualloc.views.health_csv import conditions_csv

        chosen = shared.chosen_nodes(world, names)
        with nodes_seen(world, chosen) as progress:
            found = look_at_health(world, chosen, progress)
        simulated = world.simulated
    snapshot, conditions = found.snapshot, found.at_least(least)
    failed = len(snapshot.nodes) - len(snapshot.reached)
    summary = summary_text(found.conditions, len(snapshot.nodes), failed, found.recent)

    def told(look: Look) -> str:
        if as_csv:
            return conditions_csv(conditions, found.indices, simulated=simulated)
        return health_text(conditions, summary, found.indices, look, now_s=snapshot.at_s, simulated=simulated)

    return Answer(
        {
            "simulated": simulated,
            "at_s": snapshot.at_s,
            "healthy": not conditions,
            "severity": least.value,
            "counts": dict(counts(found.conditions)),
            "nodes": len(snapshot.nodes),
            "nodes_unreached": failed,
            "events_24h": found.recent,
            "conditions": [condition_data(condition, found.indices) for condition in conditions],
        },
        told,
        errors=(*unreached(snapshot), *([found.unkept] if found.unkept else [])),
        exit_code=reached_code(snapshot) or (CHANGES if detailed_exitcode and conditions else 0),
    )


def _forget(ctx: typer.Context, names: list[str]) -> Answer:
    if len(names) != 2:
        raise UsageError("--forget takes a node and one GPU or port of it", hint="as in: health --forget gpu01 3")
    with shared.open_world(ctx) as world:
        from gpualloc.engine.health_look import forget as no_longer_expect
        from gpualloc.views.text import escape

        node, part = names
        forgotten = no_longer_expect(world, node, part)
        simulated = world.simulated
    said = f"{escape(forgotten)} is no longer expected on {escape(node)}"
    return Answer({"simulated": simulated, "node": node, "forgotten": forgotten}, lambda _look: said)
