"""What the plan view changes, each as it is shown before it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gpualloc.engine.open_runs import OpenRun
from gpualloc.model.plan import Step, StepKind
from gpualloc.tui.actions.action import Change
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.drafts import Course, Draft, Origin
from gpualloc.tui.plan_told import disturbs, run_text
from gpualloc.tui.planner import Planner
from gpualloc.tui.text import plain
from gpualloc.views.plan import glyph_of
from gpualloc.views.text import plural

_MOST = 40
"""So many steps are named one by one."""
_ROLES = {"+": Role.GOOD, "~": Role.WARN, "-": Role.BAD}


def applying(planner: Planner, draft: Draft) -> Change:
    """Carrying a plan out."""
    plan, warning = draft.plan, disturbs(draft.plan)
    if draft.origin is Origin.UNDO and any(step.kind is StepKind.STOP for step in plan.steps):
        warning = f"{warning}; the work waits again, and the next rebalance may start it"
    what = f"Undo run {draft.run}" if draft.origin is Origin.UNDO else f"Apply plan {plan.id}"
    return Change(
        title=f"{what}: {plural(len(plan.steps), 'step')}",
        touches=tuple(_step_lines(plan.steps, draft.names)),
        command=draft.command,
        do=planner.begin(Course(draft, "apply")),
        warning=warning,
    )


def going_on(planner: Planner, course: Course, found: OpenRun) -> Change:
    """Bringing an interrupted run to its end, or back to its beginning."""
    back = course.what == "roll back"
    steps = course.draft.plan.steps
    fixed = [step for step in steps if step.inverse is None and step.seq in course.states]
    return Change(
        title=f"{'Take back' if back else 'Go on with'} run {found.run.id}",
        touches=(cell(plain(run_text(found)), Role.DIM), *_step_lines(steps, course.draft.names)),
        command=("gpualloc", "apply", "--rollback" if back else "--resume", found.run.id),
        do=planner.begin(course),
        warning=f"{plural(len(fixed), 'step')} cannot be taken back" if back and fixed else None,
    )


def abandoning(planner: Planner, found: OpenRun) -> Change:
    """Giving an interrupted run up."""
    nodes = sorted({step.node for step in found.doubts})
    doubtful = f"; {', '.join(map(plain, nodes))} stays doubtful until reconcile has looked" if nodes else ""
    return Change(
        title=f"Give up run {found.run.id}",
        touches=(cell(plain(run_text(found)), Role.DIM), *_step_lines(found.doubts, {})),
        command=("gpualloc", "apply", "--abandon", found.run.id, "--yes"),
        do=planner.give_up(found.run.id),
        warning=f"whatever was done stays as it is{doubtful}",
    )


def _step_lines(steps: Iterable[Step], names: Mapping[str, str]) -> list[Cell]:
    listed = list(steps)
    lines = [_step_line(step, names) for step in listed[:_MOST]]
    return lines + ([cell(f"and {len(listed) - _MOST} more")] if len(listed) > _MOST else [])


def _step_line(step: Step, names: Mapping[str, str]) -> Cell:
    glyph = glyph_of(step.kind)
    what = f"{step.place} of {step.target}" if step.place else step.target
    whose = "" if step.workload is None else f" for {names.get(step.workload, step.workload)}"
    return (
        Span(f"{glyph} ", _ROLES[glyph]),
        Span(f"{step.kind.value:<8} "),
        Span(plain(f"{what} on {step.node}{whose}"), Role.DIM),
    )
