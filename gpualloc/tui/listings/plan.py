"""The list of a plan: its steps, the work that waits on, moves that were held back, and what an undo leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from gpualloc.engine.undo import Stays
from gpualloc.model.decision import Rejection
from gpualloc.model.plan import Step, StepReason, StepState
from gpualloc.model.rebalancing import HeldBack
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.drafts import Course, Draft
from gpualloc.tui.fields import Field, Unit
from gpualloc.tui.listing import Listing
from gpualloc.tui.listings.fleet import MAKER
from gpualloc.tui.rows import Moment
from gpualloc.tui.text import plain
from gpualloc.views.plan import glyph_of

PENDING, DOING, FAILED, IN_DOUBT = "pending", "doing", "FAILED", "in doubt"
WAITS, HELD_BACK, STAYS = "waits", "held back", "stays"
_WORDS = {
    StepState.DONE: "done",
    StepState.FAILED: FAILED,
    StepState.UNDONE: "undone",
    StepState.SKIPPED: "skipped",
}
_STATE_ROLES = {
    DOING: Role.KEY,
    "done": Role.GOOD,
    FAILED: Role.BAD,
    IN_DOUBT: Role.BAD,
    "undone": Role.WARN,
    "skipped": Role.DIM,
    WAITS: Role.WARN,
    HELD_BACK: Role.WARN,
    STAYS: Role.WARN,
    PENDING: Role.DIM,
}
_GLYPH_ROLES = {"+": Role.GOOD, "~": Role.WARN, "-": Role.BAD}


class PlanRow(Struct, frozen=True):
    """A step of a plan, or something that the plan does not do."""

    key: str
    state: str
    """How it stands, in a word."""
    what: str
    """What is done: `start`; of what is not done, what would have been, or was."""
    why: str
    """Untrusted text."""
    node: str | None = None
    workload: str | None = None
    """Id of the workload it is about."""
    name: str | None = None
    """That workload's name; untrusted text."""
    step: Step | None = None
    """None for what is no step of the plan."""
    rejection: Rejection | None = None
    held: HeldBack | None = None
    left: Stays | None = None
    error: str | None = None
    """Why the step failed or is in doubt; untrusted text."""

    @property
    def glyph(self) -> str:
        """`+`, `~` or `-` of a step; `!` of what is not done."""
        return "!" if self.step is None else glyph_of(self.step.kind)


def plan_rows(draft: Draft, course: Course | None) -> tuple[PlanRow, ...]:
    """The steps in their order, then what the plan does not do.

    Args:
        draft: the plan.
        course: the run that carries it out, or did; None while nobody does.
    """
    return (*_steps(draft, course), *_waiting(draft), *_held_back(draft), *_stays(draft))


def _steps(draft: Draft, course: Course | None) -> Iterator[PlanRow]:
    for step in draft.plan.steps:
        error = None if course is None else course.errors.get(step.seq)
        yield PlanRow(
            key=f"step {step.seq}",
            state=step_word(step, course),
            what=step.kind.value,
            why=error or _reason(step),
            node=step.node,
            workload=step.workload,
            name=draft.names.get(step.workload or ""),
            step=step,
            error=error,
        )


def _reason(step: Step) -> str:
    """Why the step is there; that waiting work fits is said by its detail already."""
    if step.reason is StepReason.WAITING and step.detail:
        return step.detail
    return ": ".join(part for part in (step.reason.value, step.detail) if part)


def step_word(step: Step, course: Course | None) -> str:
    """How a step stands."""
    state = None if course is None else course.states.get(step.seq)
    if state is None:
        return PENDING
    if state is StepState.INTENT:
        return IN_DOUBT if course is not None and (step.seq in course.errors or not course.going) else DOING
    return _WORDS[state]


def _waiting(draft: Draft) -> Iterator[PlanRow]:
    for rejection in draft.plan.rejections:
        yield PlanRow(
            key=f"waits {rejection.workload}",
            state=WAITS,
            what="no place",
            why=f"{rejection.reason.value}: {rejection.detail}",
            workload=rejection.workload,
            name=draft.names.get(rejection.workload),
            rejection=rejection,
        )


def _held_back(draft: Draft) -> Iterator[PlanRow]:
    for at, held in enumerate(draft.held_back):
        yield PlanRow(
            key=f"held {at}",
            state=HELD_BACK,
            what=held.move.kind.value,
            why=f"{held.guard}: {held.why}",
            node=held.move.node,
            workload=held.move.workload,
            name=draft.names.get(held.move.workload or ""),
            held=held,
        )


def _stays(draft: Draft) -> Iterator[PlanRow]:
    for at, left in enumerate(draft.stays):
        yield PlanRow(
            key=f"stays {at}",
            state=STAYS,
            what=left.step.kind.value,
            why=left.why,
            node=left.step.node,
            workload=left.step.workload,
            name=draft.names.get(left.step.workload or ""),
            left=left,
        )


def _what(row: PlanRow, _: Moment, __: int) -> Cell:
    return (Span(f"{row.glyph} ", _GLYPH_ROLES.get(row.glyph, Role.WARN)), Span(row.what))


def _why(row: PlanRow, _: Moment, __: int) -> Cell:
    return cell(plain(row.why), Role.BAD if row.error else Role.DIM)


def _or_blank(value: Callable[[PlanRow, Moment], str | None]) -> Callable[[PlanRow, Moment, int], Cell]:
    """Draws what only some rows have: it is not unknown where it is not there."""
    return lambda row, moment, _: cell(plain(value(row, moment) or ""))


def _node(row: PlanRow, _: Moment) -> str | None:
    return row.node


def _back(row: PlanRow, _: Moment) -> str | None:
    if row.step is None:
        return None
    return "no" if row.step.inverse is None else row.step.inverse.value


def _target(row: PlanRow, _: Moment) -> str | None:
    step = row.step or (row.left.step if row.left else None)
    if step is None:
        return None
    return f"{step.place} of {step.target}" if step.place else step.target


def _target_cell(row: PlanRow, moment: Moment, _: int) -> Cell:
    """Models without their maker, as in other lists: `GPU 6,7 (H100 80GB HBM3)`."""
    text = _target(row, moment) or ""
    return cell(plain(text.replace(f"({MAKER}", "(").replace(f", {MAKER}", ", ")))


def _work(row: PlanRow, _: Moment) -> str | None:
    return row.name or row.workload


def touched_text(step: Step) -> str:
    """Who notices, counted; empty when nobody does."""
    radius = step.blast_radius
    counts = ((len(radius.workloads), "work"), (len(radius.users), "user"), (len(radius.resets), "reset"))
    parts = [f"{count} {word}" for count, word in counts if count]
    return ", ".join([*parts, "1 process"] if step.process is not None else parts)


FIELDS: tuple[Field[PlanRow], ...] = (
    Field(
        "step",
        "#",
        "number of the step",
        lambda row, _: None if row.step is None else row.step.seq,
        Unit.COUNT,
        draw=lambda row, _, width: cell(("" if row.step is None else str(row.step.seq)).rjust(width), Role.DIM),
        least=2,
        most=3,
        priority=2,
    ),
    Field(
        "state",
        "STATE",
        "how it stands: pending, doing, done, FAILED, undone, skipped, in doubt; waits, held back, stays",
        lambda row, _: row.state,
        draw=lambda row, _, __: cell(row.state, _STATE_ROLES[row.state]),
        least=9,
        most=9,
        priority=0,
    ),
    Field("do", "DO", "what is done", lambda row, _: row.what, draw=_what, least=10, most=14, priority=1),
    Field("node", "NODE", "on which node", _node, draw=_or_blank(_node), least=8, most=16, priority=4),
    Field("workload", "WORKLOAD", "for whom", _work, draw=_or_blank(_work), least=10, most=22, priority=3),
    Field("target", "TARGET", "what is changed", _target, draw=_target_cell, least=24, most=30, priority=7),
    Field("why", "WHY", "reason of it", lambda row, _: row.why, draw=_why, least=34, most=200, priority=5),
    Field(
        "back",
        "BACK BY",
        "the step that takes it back; `no`: nothing does",
        _back,
        draw=_or_blank(_back),
        least=7,
        most=12,
        priority=8,
    ),
    Field(
        "touches",
        "TOUCHES",
        "who notices: workloads, users, devices reset",
        lambda row, _: None if row.step is None else touched_text(row.step),
        draw=lambda row, _, __: cell("" if row.step is None else touched_text(row.step), Role.DIM),
        least=14,
        most=22,
        priority=9,
    ),
    Field("id", "ID", "id of the workload", lambda row, _: row.workload, least=10, most=12, shown=False),
    Field(
        "device",
        "DEVICE",
        "UUID of the device that the step is about",
        lambda row, _: None if row.step is None else row.step.device,
        least=12,
        most=40,
        shown=False,
    ),
    Field(
        "after",
        "AFTER",
        "steps that come before it",
        lambda row, _: () if row.step is None else tuple(str(seq) for seq in row.step.needs),
        least=5,
        most=12,
        shown=False,
    ),
)

PLAN: Listing[PlanRow] = Listing("plan", FIELDS, key=lambda row: row.key, absent="nothing to do")
"""A plan, in the order of its steps."""
