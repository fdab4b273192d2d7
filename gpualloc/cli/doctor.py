"""`gpualloc doctor`: find out what is wrong with the nodes and with this installation."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import CHANGES, Answer
from gpualloc.engine.doctor import diagnose, healthy
from gpualloc.engine.doctor_finding import Finding, Verdict
from gpualloc.views.look import Look, Role
from gpualloc.views.text import escape

app = shared.verb_app()

_ROLES = {Verdict.OK: Role.GOOD, Verdict.WARNING: Role.WARN, Verdict.PROBLEM: Role.BAD}


@app.command()
def doctor(
    ctx: typer.Context,
    detailed_exitcode: shared.DetailedExitCode = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Only what reading each node costs it, by group of readings.")
    ] = False,
) -> Answer:
    """Check this installation and every node, and say what to do about what is wrong."""
    if cost:
        return _cost(ctx)
    from gpualloc.wiring import look_for_doctor

    findings = diagnose(*look_for_doctor(shared.options(ctx)))
    well = healthy(findings)
    return Answer(
        {"healthy": well, "findings": [_data(finding) for finding in findings]},
        lambda look: _text(findings, look),
        exit_code=CHANGES if detailed_exitcode and not well else 0,
    )


def _cost(ctx: typer.Context) -> Answer:
    from gpualloc.engine.doctor_cost import reading_costs
    from gpualloc.views.doctor_cost import cost_data, cost_text

    with shared.open_world(ctx, looks=True) as world:
        costs, errors = reading_costs(world)
        simulated = world.simulated
    return Answer(
        cost_data(costs, simulated=simulated), lambda look: cost_text(costs, look, simulated=simulated), errors=errors
    )


def _data(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "state": finding.verdict.value,
        "node": finding.node,
        "what": finding.what,
        "hint": finding.hint,
    }


def _text(findings: tuple[Finding, ...], look: Look) -> str:
    lines: list[str] = []
    place: str | None = ""
    for finding in findings:
        if finding.node != place:
            place = finding.node
            lines.append(look.paint(escape(place) if place else "this installation", Role.STRONG))
        word = look.paint(f"{finding.verdict.value:8}", _ROLES[finding.verdict])
        lines.append(f"  {word} {finding.check}: {escape(finding.what)}")
        if finding.hint and finding.verdict is not Verdict.OK:
            lines.append(f"           {look.paint(escape(finding.hint), Role.QUIET)}")
    counts = {verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    return "\n".join([*lines, "", ", ".join(f"{verdict.value}: {count}" for verdict, count in counts.items())])
