"""What to do about a run that was interrupted, step by step. A pure rule; the engine asks nodes and carries it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gpualloc.model.plan import INVERSE, Step, StepRecord, StepState
from gpualloc.model.workload import Workload, WorkloadState


class Remedy(StrEnum):
    """What to do about one step."""

    UNDO = "undo"
    """Its effect is in force and must go."""
    MARK_DONE = "mark done"
    """Its effect is in force; only the journal does not know."""
    DO = "do"
    """Its effect is not in force and still wanted."""
    SKIP = "skip"
    """Its effect is not in force and no longer wanted."""
    WAIT = "wait"
    """Its node does not say; the run stays open."""


@dataclass(frozen=True, slots=True)
class Move:
    """One remedy, and why."""

    step: Step
    remedy: Remedy
    detail: str


def recovery_moves(
    steps: Sequence[Step],
    records: Sequence[StepRecord],
    holds: Mapping[int, bool],
    workloads: Mapping[str, Workload],
) -> tuple[Move, ...]:
    """What finishes or takes back an interrupted run, in the order to do it: first undo in reverse, then on forward.

    Args:
        steps: all steps of the run's plan.
        records: what the journal has of them; a step without a record was not begun.
        holds: for each intent without result, by seq, whether the node says that its effect is in force; absent when
            the node does not say.
        workloads: the workloads by id, as the state knows them now; what ended meanwhile is recorded already.

    A step that is settled and needs nothing is not in the result; nor is work whose steps are all done, ended or not.
    """
    states = {record.step.seq: record.state for record in records}
    chains: dict[tuple[str, str], list[Step]] = {}
    for step in sorted(steps, key=lambda step: step.seq):
        chains.setdefault((step.workload, step.node), []).append(step)
    moves = [
        move
        for (workload, _), chain in chains.items()
        for move in _chain_moves(chain, states, holds, workloads.get(workload))
    ]
    undone = sorted((move for move in moves if move.remedy is Remedy.UNDO), key=lambda move: -move.step.seq)
    onward = sorted((move for move in moves if move.remedy is not Remedy.UNDO), key=lambda move: move.step.seq)
    return (*undone, *onward)


def _chain_moves(
    chain: Sequence[Step], states: Mapping[int, StepState], holds: Mapping[int, bool], workload: Workload | None
) -> list[Move]:
    if all(states.get(step.seq) is StepState.DONE for step in chain):
        return []
    reason = _abandoned(chain, states, workload)
    return _forward(chain, states, holds) if reason is None else _backward(chain, states, holds, reason)


def _abandoned(chain: Sequence[Step], states: Mapping[int, StepState], workload: Workload | None) -> str | None:
    """Why the chain is not to be finished; None when it is. Steps that take something back are always finished."""
    if all(INVERSE[step.kind] is None for step in chain):
        return None
    if any(states.get(step.seq) in (StepState.FAILED, StepState.UNDONE) for step in chain):
        return "a step of the same work failed or was taken back"
    if workload is None:
        return "the workload is not known any more"
    if workload.state.ended:
        return f"the workload is {workload.state} meanwhile"
    due = {workload.attempt, workload.attempt + 1} if workload.state is WorkloadState.PENDING else {workload.attempt}
    if {step.attempt for step in chain} <= due:
        return None
    return f"the workload is at start {workload.attempt} meanwhile"


def _forward(chain: Sequence[Step], states: Mapping[int, StepState], holds: Mapping[int, bool]) -> list[Move]:
    moves: list[Move] = []
    waiting = False
    for step in chain:
        state = states.get(step.seq)
        if state not in (None, StepState.INTENT):
            continue
        held = holds.get(step.seq) if state is StepState.INTENT else False
        if waiting or held is None:
            moves.append(Move(step, Remedy.WAIT, f"{step.node} does not say whether it was done"))
            waiting = True
        elif held:
            moves.append(Move(step, Remedy.MARK_DONE, f"{step.node} says that it was done"))
        else:
            detail = "it was not begun" if state is None else f"{step.node} says that it was not done"
            moves.append(Move(step, Remedy.DO, detail))
    return moves


def _backward(
    chain: Sequence[Step], states: Mapping[int, StepState], holds: Mapping[int, bool], reason: str
) -> list[Move]:
    """Undo from the end; what lies before a step whose node does not say must stay: a process may rely on it."""
    moves: list[Move] = []
    waiting = False
    for step in reversed(chain):
        state = states.get(step.seq)
        if state in (StepState.FAILED, StepState.UNDONE, StepState.SKIPPED):
            continue
        held = holds.get(step.seq) if state is StepState.INTENT else state is StepState.DONE
        if held is None or (waiting and held):
            moves.append(Move(step, Remedy.WAIT, f"{step.node} does not say what was done, and {reason}"))
            waiting = True
        else:
            moves.append(Move(step, Remedy.UNDO if held else Remedy.SKIP, reason))
    return moves
