"""What the plan view changes, each as it is asked about before it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from gpualloc.engine.chain import chains
from gpualloc.engine.open_runs import OpenRun
from gpualloc.model.plan import Plan, Step, StepKind
from gpualloc.planning.blast import noticed, unnamed_victims
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.drafts import Course, Draft, Origin
from gpualloc.tui.plan_told import run_text
from gpualloc.tui.planner import Planner
from gpualloc.tui.screens.confirm import Question
from gpualloc.tui.text import plain
from gpualloc.views.plan import glyph_of
from gpualloc.views.text import plural

_MOST = 40
"""So many workloads and devices are named one by one."""
_TELLING = frozenset(
    {StepKind.START, StepKind.STOP, StepKind.ADOPT, StepKind.SUSPEND, StepKind.RESUME, StepKind.RESIZE, StepKind.EVICT}
)
"""Kinds of the steps that tell what a chain is for."""
_ROLES = {"+": Role.GOOD, "~": Role.WARN, "-": Role.BAD}
Program = tuple[str, ...]


class Proposal(Struct, frozen=True):
    """Something that is done once somebody says yes."""

    question: Question
    do: Callable[[], str]
    """Does it, and tells what came of it in a line; blocks. Raises GpuallocError."""


def applying(planner: Planner, draft: Draft, program: Program) -> Proposal:
    """Carrying a plan out."""
    plan, warning = draft.plan, disturbance(draft.plan)
    if draft.origin is Origin.UNDO and any(step.kind is StepKind.STOP for step in plan.steps):
        warning = f"{warning}; the work waits again, and the next rebalance may start it"
    what = f"Undo run {draft.run}" if draft.origin is Origin.UNDO else f"Apply plan {plan.id}"
    question = Question(
        f"{what}: {plural(len(plan.steps), 'step')}{_mark(plan)}",
        tuple(_chain_lines(plan.steps, draft.names)),
        "undo" if draft.origin is Origin.UNDO else "apply",
        ((*program, *draft.command),),
        warning,
        grave=any(map(noticed, plan.steps)),
    )
    return Proposal(question, planner.begin(Course(draft, "apply")))


def going_on(planner: Planner, course: Course, found: OpenRun, program: Program) -> Proposal:
    """Bringing an interrupted run to its end, or back to its beginning."""
    back = course.what == "roll back"
    steps = course.draft.plan.steps
    fixed = [step for step in steps if step.inverse is None and step.seq in course.states]
    question = Question(
        f"{'Take back' if back else 'Go on with'} run {found.run.id}{_mark(course.draft.plan)}",
        (cell(plain(run_text(found)), Role.DIM), *_chain_lines(steps, course.draft.names)),
        "take back" if back else "go on",
        ((*program, "apply", "--rollback" if back else "--resume", found.run.id),),
        f"{plural(len(fixed), 'step')} cannot be taken back" if back and fixed else None,
        grave=back or any(map(noticed, steps)),
    )
    return Proposal(question, planner.begin(course))


def abandoning(planner: Planner, found: OpenRun, given_up: OpenRun, program: Program) -> Proposal:
    """Giving an interrupted run up; `given_up` is how it stands then."""
    nodes = sorted({step.node for step in given_up.doubts})
    doubtful = f"; {', '.join(map(plain, nodes))}: doubtful until `gpualloc reconcile` has looked" if nodes else ""
    question = Question(
        f"Give up run {found.run.id}{_mark(found.run.plan)}",
        (cell(plain(run_text(found)), Role.DIM), *_chain_lines(given_up.doubts, {})),
        "give up",
        ((*program, "apply", "--abandon", found.run.id, "--yes"),),
        f"whatever was done stays as it is{doubtful}",
        grave=True,
    )
    return Proposal(question, planner.give_up(found.run.id))


def disturbance(plan: Plan) -> str | None:
    """What is irreversible in the plan, or disturbs others; None when nothing is."""
    parts = []
    stopped = {step.workload for step in plan.steps if step.kind is StepKind.STOP and step.workload}
    victims = unnamed_victims(plan.steps)
    if stopped:
        parts.append(f"stops {plural(len(stopped), 'workload')}: what is not saved is lost")
    if victims:
        parts.append(f"disturbs {len(victims)}: {', '.join(plain(one) for one in victims[:4])}")
    fixed = [step for step in plan.steps if step.kind in (StepKind.EVICT, StepKind.LET_GO)]
    if fixed:
        kinds = ", ".join(dict.fromkeys(step.kind.value for step in fixed))
        parts.append(f"{plural(len(fixed), 'step')} cannot be taken back ({kinds})")
    return "; ".join(parts) or None


def _mark(plan: Plan) -> str:
    return " (simulated)" if plan.simulated else ""


def _chain_lines(steps: Sequence[Step], names: Mapping[str, str]) -> list[Cell]:
    """A line for each workload or device, with what is done to it."""
    found = chains(steps)
    lines = [_chain_line(chain, names) for chain in found[:_MOST]]
    return lines + ([cell(f"and {len(found) - _MOST} more")] if len(found) > _MOST else [])


def _chain_line(chain: Sequence[Step], names: Mapping[str, str]) -> Cell:
    telling = next((step for step in chain if step.kind in _TELLING), chain[0])
    glyph = glyph_of(telling.kind)
    where = ", ".join(dict.fromkeys(step.node for step in chain))
    target = "" if telling.target == telling.workload else telling.target
    whose = "" if telling.workload is None else names.get(telling.workload, telling.workload)
    what = ": ".join(part for part in (f"{whose} on {where}" if whose else where, target) if part)
    kinds = ", ".join(_counted(step.place or step.kind.value for step in chain if step is not telling or step.place))
    return (
        Span(f"{glyph} ", _ROLES[glyph]),
        Span(f"{telling.kind.value:<8} "),
        Span(plain(what)),
        Span(f" ({plain(kinds)})" if kinds else "", Role.DIM),
    )


def _counted(words: Iterable[str]) -> list[str]:
    """Each word once, with how often it is there."""
    counts = Counter(words)
    return [word if count == 1 else f"{count} {word}" for word, count in counts.items()]
