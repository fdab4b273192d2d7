"""`gpualloc apply`: carry a plan out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpualloc.cli import recover, shared, stopping
from gpualloc.cli.asking import confirmed, need_somebody
from gpualloc.cli.outcome import Answer, look, say
from gpualloc.cli.plan_file import read_plan
from gpualloc.cli.progress import nodes_seen
from gpualloc.cli.reporting import applied, tell_step
from gpualloc.engine.apply import apply as apply_plan
from gpualloc.engine.apply import check_applicable
from gpualloc.engine.plan import make_plan
from gpualloc.errors import UsageError
from gpualloc.model.plan import Plan
from gpualloc.views.plan import plan_data, plan_text

if TYPE_CHECKING:
    from gpualloc.engine.context import Context

app = shared.verb_app()


@app.command()
def apply(
    ctx: typer.Context,
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="A plan file; else a plan is made now.")] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    policy: shared.Policy = None,
    policy_profile: shared.PolicyProfile = None,
    objective: shared.Objective = None,
    max_disturbed: shared.MaxDisturbed = None,
    wait: shared.Wait = None,
    resume: recover.Resume = None,
    rollback: recover.Rollback = None,
    abandon: recover.Abandon = None,
) -> Answer:
    """Carry a plan out: show it, ask, then do its steps. Refuses a plan that the world has left behind."""
    wait_s = shared.wait_s(wait)
    fate = recover.Fate(resume, rollback, abandon)
    if fate.given and file:
        raise UsageError("a run has its plan already; name no plan file")
    with shared.open_world(ctx, shared.policy_override(policy, policy_profile, objective, max_disturbed)) as world:
        if fate.given:
            return recover.settle(world, fate, yes=yes, wait_s=wait_s)
        plan = _read(world, Path(file), yes=yes) if file else _made(world)
        names = shared.names_of(world)
        if not plan.applyable and not file:
            return Answer(
                {"plan": plan_data(plan), "report": None, "confirmed": True}, lambda look: plan_text(plan, names, look)
            )
        say(plan_text(plan, names, look(sys.stderr)))
        if not yes and not confirmed("apply"):
            return Answer(
                {"plan": plan_data(plan), "report": None, "confirmed": False}, lambda _look: "nothing was done"
            )
        with stopping.stoppable(world) as going:
            report = apply_plan(going, plan, wait_s=wait_s, on_step=tell_step)
    return applied(plan, report)


def _read(world: Context, file: Path, *, yes: bool) -> Plan:
    plan = read_plan(file)
    if not yes:
        need_somebody("apply")
    check_applicable(world, plan)
    return plan


def _made(world: Context) -> Plan:
    with nodes_seen(world) as progress:
        plan = make_plan(world, progress=progress)
    world.journal.save_plan(plan)
    return plan
