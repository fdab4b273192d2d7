"""Everything that is known of one row of a plan, as lines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from gpualloc.model.plan import Step
from gpualloc.model.rebalancing import Move
from gpualloc.planning.base import facts_for
from gpualloc.policies.explanation import Explanation
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.drafts import Course, Draft
from gpualloc.tui.listings.plan import FAILED, IN_DOUBT, PlanRow
from gpualloc.tui.text import plain
from gpualloc.views.look import Look
from gpualloc.views.why import explanation_lines

_LABEL = 12
_LEAST = 40
"""Columns that the engine's own tables need at least."""
_LONG = 2000
"""Most characters of a text that is not cut."""


def row_lines(
    row: PlanRow, draft: Draft, course: Course | None, explanation: Explanation | None, width: int
) -> list[Cell]:
    """What the details pane shows of a row.

    Args:
        row: the row.
        draft: its plan.
        course: the run that carries the plan out, or did.
        explanation: why its workload gets its place, or none; None where that is not known.
        width: columns.
    """
    if row.step is not None:
        lines = list(_step_lines(row, row.step, draft, width))
    else:
        lines = list(_other_lines(row, draft, width))
    if explanation is not None:
        policy = f"{draft.plan.policy} {draft.plan.policy_version}"
        look = Look(max(_LEAST, width))
        told = explanation_lines(explanation, draft.snapshot, policy, draft.names, look)
        lines += [(), cell("Why there" if row.rejection is None else "Why it waits", Role.NAME)]
        lines += [cell(line) for block in told for line in block.splitlines() or [""]]
    if row.step is not None and course is None:
        lines += [(), cell("Rests on", Role.NAME)]
        for what, value in facts_for(draft.plan.base, row.step):
            lines += entry("", f"{what}: {value}", width)
    return lines


def _step_lines(row: PlanRow, step: Step, draft: Draft, width: int) -> Iterator[Cell]:
    yield (Span(f"Step {step.seq}: {step.kind.value}", Role.NAME), Span(f"  {row.state}", Role.DIM))
    if row.error is not None:
        yield from entry("FAILED" if row.state == FAILED else IN_DOUBT, row.error, width, Role.BAD)
    yield from entry("on", step.node, width)
    yield from entry("what", f"{step.place} of {step.target}" if step.place else step.target, width)
    if step.workload is not None:
        yield from entry("for", _titled(step.workload, draft.names), width)
    yield from entry("why", step.reason.value, width)
    yield from entry("", step.detail, width)
    move = _move_of(step, draft.moves)
    if move is not None:
        yield from entry("price", _price(move), width)
    yield from entry("after", _after(step, draft.plan.steps), width)
    yield from _blast_lines(step, draft.names, width)
    back = "cannot be taken back" if step.inverse is None else f"by {step.inverse.value}"
    yield from entry("taken back", back, width, Role.WARN if step.inverse is None else Role.PLAIN)


def _blast_lines(step: Step, names: Mapping[str, str], width: int) -> Iterator[Cell]:
    radius = step.blast_radius
    others = [_titled(workload, names) for workload in radius.workloads if workload != step.workload]
    yield from entry("disturbs", ", ".join(others), width, Role.WARN)
    yield from entry("noticed by", ", ".join(radius.users), width)
    yield from entry("resets", ", ".join(radius.resets), width, Role.WARN)
    if step.process is not None:
        yield from entry("process", str(step.process.pid), width, Role.WARN)


def _other_lines(row: PlanRow, draft: Draft, width: int) -> Iterator[Cell]:
    title = {"waits": "Gets no place now", "held back": "Held back", "stays": "Not taken back"}[row.state]
    yield cell(title, Role.NAME)
    if row.workload is not None:
        yield from entry("work", _titled(row.workload, draft.names), width)
    if row.rejection is None:
        yield from entry("what", row.what, width)
        yield from entry("on", row.node or "", width)
    yield from entry("why", row.why, width, Role.WARN)
    if row.held is not None:
        yield from entry("move", row.held.move.why, width)
        yield from entry("price", _price(row.held.move), width)


def entry(label: str, text: str, width: int, role: Role = Role.PLAIN) -> Iterator[Cell]:
    """A label and a text that goes on below itself; nothing when there is no text."""
    room = max(16, width - _LABEL)
    for at, line in enumerate(textwrap.wrap(plain(text, _LONG), room, break_on_hyphens=False)):
        yield (Span(f"{label if at == 0 else '':<{_LABEL}}", Role.DIM), Span(line, role))


def _titled(workload: str, names: Mapping[str, str]) -> str:
    return f'{workload} "{names[workload]}"' if workload in names else workload


def _after(step: Step, steps: Sequence[Step]) -> str:
    needed = [one for one in steps if one.seq in step.needs]
    return ", ".join(f"step {one.seq} ({one.kind.value} on {one.node})" for one in needed)


def _move_of(step: Step, moves: Sequence[Move]) -> Move | None:
    """The move that the step is a part of."""
    for move in moves:
        if (move.workload is not None and move.workload == step.workload) or (
            move.device is not None and move.device == step.device
        ):
            return move
    return None


def _price(move: Move) -> str:
    return f"gains {move.gain_gpu_s:.0f} GPU-seconds, costs {move.cost_gpu_s:.0f}"
