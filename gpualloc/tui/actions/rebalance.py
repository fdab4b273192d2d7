"""Plan and apply once, as cron would, after showing what that would come to."""

from __future__ import annotations

import time

from gpualloc.engine.apply import failure
from gpualloc.engine.chain import OnStep
from gpualloc.engine.rebalance import rebalance as rebalance_once
from gpualloc.model.plan import StepKind
from gpualloc.tui.actions.action import Answers, Change, Scene, Targets
from gpualloc.tui.actions.planned import plan_lines, report_of
from gpualloc.tui.actions.told import simulated_mark, text_lines
from gpualloc.views.look import Look
from gpualloc.views.moves import better_text

_ENDS = frozenset({StepKind.STOP, StepKind.SUSPEND, StepKind.EVICT, StepKind.MIG_DESTROY})


def rebalance(scene: Scene, _: Targets, __: Answers) -> Change:
    """Show a dry run, then do the whole cycle.

    Raises:
        UnreachableError: no node answers.
    """
    ctx = scene.ctx
    shown = rebalance_once(ctx, dry_run=True, timer=time.monotonic)
    lines = plan_lines(shown.plan, scene.state)
    if shown.better is not None:
        lines += text_lines(better_text(shown.better.moves, shown.better.held_back, scene.state.names, Look()))

    def do(on_step: OnStep) -> tuple[str, ...]:
        cycle = rebalance_once(ctx, on_step=on_step, timer=time.monotonic)
        reports = (*cycle.recovered, *([cycle.report] if cycle.report else []))
        for report in reports:
            error = failure(report)
            if error is not None:
                raise error
        mark = simulated_mark(ctx.simulated)
        told = f"plan {cycle.plan.id}: {report_of(cycle.report)}{mark}" if cycle.report else f"nothing to change{mark}"
        return (told, *(f"interrupted run {one.run_id}: {report_of(one)}" for one in cycle.recovered))

    disturbs = any(step.kind in _ENDS for step in shown.plan.steps)
    return Change(
        "Rebalance once",
        lines,
        (("rebalance",),),
        do,
        "It decides anew when it is carried out: what is shown is what it would do now.",
        grave=disturbs,
    )
