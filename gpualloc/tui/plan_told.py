"""What stands over a plan: what it is, whether it still holds, how its run goes, and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from gpualloc.engine.open_runs import OpenRun
from gpualloc.model.objective import Objective
from gpualloc.model.plan import Plan, RunState, StepState
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.blast import unnamed_victims
from gpualloc.tui.cells import Cell, Role, Span, bar, cell, fitted, width_of
from gpualloc.tui.drafts import Course, Draft, Origin
from gpualloc.tui.listings.plan import step_word
from gpualloc.tui.plan_questions import result_text
from gpualloc.tui.planner import Interrupted, Planner
from gpualloc.tui.state import State
from gpualloc.tui.text import age_text, clip, plain
from gpualloc.views.plan import summary
from gpualloc.views.text import plural, stamp

_BAR = 24
_SLOW_S = 1.0
"""A plan that takes longer is told to be under way."""
_MOST = 3
"""So many lines of one sort are shown."""
_VERBS = {"apply": "applying", "resume": "going on with", "roll back": "rolling back"}


def head_lines(planner: Planner, state: State, ticks_s: float, width: int) -> list[Cell]:
    """The lines over the list.

    Args:
        planner: what there is.
        state: the fleet as it is drawn.
        ticks_s: of the clock that the planner reads.
        width: columns.
    """
    now_s = state.moment.now_s
    lines = [] if state.live else [cell(" the rest of the dashboard shows the past; a plan is of now", Role.WARN)]
    lines += list(_interrupted_lines(planner.interrupted, width)) if not planner.applying else []
    making = planner.making
    if making is not None and (ticks_s - making.since_s >= _SLOW_S or planner.draft is None):
        seen = f", {plural(making.nodes, 'node')} seen" if making.nodes else ""
        lines.append(cell(f" making a plan ({making.what}), {age_text(ticks_s - making.since_s)}{seen}", Role.KEY))
    if planner.problem is not None:
        lines += _said(planner.problem.message, planner.problem.hint, width)
    draft = planner.draft
    if draft is not None:
        lines.append(_title(draft, now_s, _standing(planner, ticks_s), width))
        lines.append(cell(clip(f" {summary(draft.plan)}", width)))
        if draft.plan.steps:
            lines.append(blast_line(draft.plan, planner.ctx.settings.max_disturbed))
        if planner.applied is not None:
            lines += _course_lines(planner.applied, width)
        elif planner.stale is not None:
            lines += _said(f"STALE: {planner.stale.message}", "n makes a new plan", width)
        late = _unplanned(draft, state.workloads)
        if late:
            names = ", ".join(plain(work.name, 40) for work in late[:_MOST])
            text = f"{plural(len(late), 'workload')} came since and waits: {names}; n makes a new plan"
            lines.append(cell(clip(f" {text}", width), Role.WARN))
    return [line if width_of(line) <= width else fitted(line, width) for line in lines]


def _unplanned(draft: Draft, workloads: Sequence[Workload]) -> list[Workload]:
    """Work that waits and that a plan for all work knows nothing of."""
    if draft.origin not in (Origin.PLAN, Origin.REBALANCE):
        return []
    known = {step.workload for step in draft.plan.steps} | {one.workload for one in draft.plan.rejections}
    return [
        work
        for work in workloads
        if work.state is WorkloadState.PENDING
        and not work.adopted
        and work.id not in known
        and work.submitted_at_s > draft.plan.created_at_s
    ]


def _title(draft: Draft, now_s: float, standing: Cell, width: int) -> Cell:
    """What the plan is and whether it holds; its age, then what it rests on, is left out where there is no room."""
    plan = draft.plan
    what = {
        Origin.PLAN: f"plan {plan.id}",
        Origin.REBALANCE: f"rebalance, plan {plan.id}",
        Origin.UNDO: f"undo of run {draft.run}, plan {plan.id}",
        Origin.RUN: f"plan {plan.id} of run {draft.run}",
    }[draft.origin]
    by = "" if draft.origin in (Origin.UNDO, Origin.RUN) else f"  by {plain(plan.policy)} {plain(plan.policy_version)}"
    aim = "" if plan.objective is Objective.BALANCED else f" for {plan.objective.value}"
    head = (Span(f" {what}", Role.NAME), Span(f"{by}{aim}  "))
    made = Span(f"made {age_text(now_s - plan.created_at_s)} ago  ", Role.DIM)
    for line in ((*head, made, *standing), (*head, *standing), (*head, *standing[:1])):
        if width_of(line) < width:
            return line
    return fitted((*standing[:1], *head), width)


def _standing(planner: Planner, ticks_s: float) -> Cell:
    """Whether the plan can be applied as it is."""
    draft = planner.draft
    if planner.applied is not None or draft is None:
        return ()
    if not draft.plan.steps:
        return cell("nothing to apply", Role.DIM)
    if planner.stale is not None:
        return cell("STALE", Role.BAD)
    digest = draft.plan.base_digest[:8]
    if planner.unchecked is not None:
        return cell(f"not checked: {plain(planner.unchecked.message, 60)}", Role.WARN)
    checked = "" if planner.checked_s is None else f", checked {age_text(ticks_s - planner.checked_s)} ago"
    return (Span("fresh", Role.GOOD), Span(f" (base {digest}{checked})", Role.DIM))


def blast_line(plan: Plan, most: int) -> Cell:
    """The blast radius of the whole plan.

    Args:
        plan: the plan.
        most: how much may be disturbed without an operator having named it.
    """
    radii = [step.blast_radius for step in plan.steps]
    workloads = {workload for radius in radii for workload in radius.workloads}
    resets = {uuid for radius in radii for uuid in radius.resets}
    processes = sum(step.process is not None for step in plan.steps)
    counts = (
        plural(len(workloads), "workload"),
        plural(processes, "process", "processes"),
        plural(len(resets), "reset"),
    )
    head = (Span(" blast radius ", Role.DIM), Span(", ".join(counts)))
    victims = len(unnamed_victims(plan.steps))
    if victims > most:
        refused = f"; disturbs {victims}, and at most {most} are allowed: gpualloc apply --max-disturbed {victims}"
        return (*head, Span(refused, Role.BAD))
    return (*head, Span(f"; disturbs {victims} that nobody named" if victims else "; disturbs nothing else", Role.DIM))


def _course_lines(course: Course, width: int) -> Iterator[Cell]:
    total = len(course.draft.plan.steps)
    ratio = course.settled / total if total else 1.0
    if course.going:
        step = next((one for one in course.draft.plan.steps if one.seq == course.at), None)
        at = ""
        if step is not None:
            at = f"  step {step.seq}: {step.kind.value} on {plain(step.node)}, {step_word(step, course)}"
        first = f"  first an interrupted run: {plain(course.first)}" if course.first else at
        stopping = "  STOPPING after the steps under way" if course.stopping else ""
        head = (Span(f" {_VERBS[course.what]} ", Role.KEY), *bar(ratio, _BAR, Role.UTILIZATION))
        yield (*head, Span(f" {course.settled}/{total}"), Span(first), Span(stopping, Role.WARN))
        return
    report = course.report
    if report is not None:
        done = course.error is None
        mark = "done: " if done else "ended: "
        yield (Span(f" {mark}", Role.GOOD if done else Role.BAD), Span(result_text(report)))
    if course.error is not None:
        yield from _failure_lines(course, width)
    elif course.draft.origin is Origin.UNDO:
        yield cell(" work that was stopped waits again; n makes a plan for it", Role.DIM)
    elif course.what == "apply":
        yield cell(" u proposes what takes it back; n makes the next plan", Role.DIM)


def _failure_lines(course: Course, width: int) -> Iterator[Cell]:
    """Which step, what was taken back, what stays, what to do."""
    error = course.error
    failed = [step for step in course.draft.plan.steps if step.seq in course.errors]
    for step in failed[:_MOST]:
        word = "failed" if course.states.get(step.seq) is StepState.FAILED else "in doubt"
        head = f"step {step.seq}, {step.kind.value} on {step.node}, {word}: {course.errors[step.seq]}"
        yield from _wrapped(head, width, Role.BAD)
    if len(failed) > _MOST:
        yield cell(f" and {len(failed) - _MOST} more; the list tells why", Role.BAD)
    undone, stays = course.steps(StepState.UNDONE), course.steps(StepState.DONE)
    skipped = course.steps(StepState.SKIPPED)
    counts = ((undone, "taken back"), (stays, "in force"), (skipped, "not tried"))
    parts = [f"{word}: {_numbers([step.seq for step in steps])}" for steps, word in counts if steps]
    if parts:
        hint = "  (u proposes what takes that back)" if stays and course.report is not None else ""
        yield (Span(f" {'; '.join(parts)}", Role.WARN), Span(hint, Role.DIM))
    if error is not None:
        if not failed:
            yield from _wrapped(error.message, width, Role.BAD)
        yield from _wrapped(f"what to do: {error.hint or 'n makes a new plan for what still waits'}", width, Role.KEY)


def _numbers(seqs: list[int]) -> str:
    """`steps 1-3, 5`."""
    ranges: list[list[int]] = []
    for seq in sorted(seqs):
        if ranges and seq == ranges[-1][1] + 1:
            ranges[-1][1] = seq
        else:
            ranges.append([seq, seq])
    told = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
    return f"step{'' if len(seqs) == 1 else 's'} {told}"


def _interrupted_lines(found: Interrupted, width: int) -> Iterator[Cell]:
    for one in found.runs[:_MOST]:
        yield from _wrapped(run_text(one), width, Role.WARN)
        if one.run.state is RunState.ABANDONED:
            hint = "its nodes stay doubtful until `gpualloc reconcile` has looked at them"
        elif found.holder is not None:
            hint = f"under way? {found.holder}"
        else:
            hint = "R goes on with it  B takes it back  X gives it up; the next apply goes on with it first"
        yield from _wrapped(hint, width, Role.KEY)
    if len(found.runs) > _MOST:
        yield cell(f" and {len(found.runs) - _MOST} more: gpualloc recover", Role.WARN)


def run_text(one: OpenRun) -> str:
    """An interrupted run in a line."""
    word = "given up" if one.run.state is RunState.ABANDONED else "interrupted"
    counts = f"{one.done} of {plural(len(one.run.plan.steps), 'step')} done, {one.left} never begun"
    doubt = f", {len(one.doubts)} in doubt" if one.doubts else ""
    return f"{word}: run {one.run.id}, begun {stamp(one.run.started_at_s)} by {one.run.actor}: {counts}{doubt}"


def _said(text: str, hint: str | None, width: int) -> Iterator[Cell]:
    yield from _wrapped(text, width, Role.BAD)
    if hint:
        yield from _wrapped(hint, width, Role.KEY)


def _wrapped(text: str, width: int, role: Role) -> Iterator[Cell]:
    for line in textwrap.wrap(plain(text, 1000), max(20, width - 2), break_on_hyphens=False)[:_MOST]:
        yield cell(f" {line}", role)
