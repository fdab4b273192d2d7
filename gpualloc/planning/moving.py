"""The steps of moves: work that gives way, goes on elsewhere or stands still, and power limits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.desired import DeviceSettings
from gpualloc.model.gang import part_on
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.model.rebalancing import Move, MoveKind
from gpualloc.model.workload import Workload
from gpualloc.planning.order import joined, ordered
from gpualloc.planning.resizing import added, given_up, resize_steps
from gpualloc.planning.settings import numbered, set_step
from gpualloc.planning.steps import release_steps
from gpualloc.planning.suspension import resume_steps, suspend_steps

_VACATING = (StepReason.REBALANCE, StepReason.IDLE)


def move_steps(moves: Iterable[Move], workloads: Mapping[str, Workload], snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps of the moves, numbered from 1; what starts anew elsewhere, and layouts, have their steps from the plan.

    Args:
        moves: what is to be done.
        workloads: those that are moved, by id.
        snapshot: what was seen.
    """
    return joined(*(_steps(move, workloads, snapshot) for move in moves))


def resting_on_moves(steps: Sequence[Step], workloads: Mapping[str, Workload]) -> tuple[Step, ...]:
    """The steps in order, what is given coming after those gave it back that have it now.

    Args:
        steps: all steps of a plan.
        workloads: the workloads that they name, by id, as they were before.
    """
    left: dict[tuple[str, str], set[int]] = {}
    own: dict[str, set[int]] = {}
    for step in steps:
        if step.reason in _VACATING and step.kind in (StepKind.UNCLAIM, StepKind.UNLIMIT):
            part = part_on(workloads[step.workload or ""], step.node)
            for device in _devices(part):
                left.setdefault((step.node, device), set()).add(step.seq)
            own.setdefault(step.workload or "", set()).add(step.seq)
        for device in given_up(step):
            left.setdefault((step.node, device), set()).add(step.seq)
    if not left:
        return tuple(steps)
    return ordered([replace(step, needs=_needs(step, left, own)) for step in steps])


def _needs(step: Step, left: Mapping[tuple[str, str], set[int]], own: Mapping[str, set[int]]) -> tuple[int, ...]:
    if step.kind not in (StepKind.CLAIM, StepKind.RESIZE):
        return step.needs
    devices = _devices(step.allocation) if step.kind is StepKind.CLAIM else added(step)
    given = {seq for device in devices for seq in left.get((step.node, device), ())}
    mine = own.get(step.workload or "", set())
    return tuple(sorted({*step.needs, *given, *mine} - {step.seq}))


def _devices(allocation: Allocation | None) -> list[str]:
    return [grant.device for grant in allocation.grants] if allocation is not None else []


def _steps(move: Move, workloads: Mapping[str, Workload], snapshot: Snapshot) -> tuple[Step, ...]:
    if move.kind in (MoveKind.CAP, MoveKind.UNCAP):
        return _limit_steps(move, snapshot)
    if move.kind is MoveKind.RESHAPE:
        return ()
    workload = workloads[move.workload or ""]
    match move.kind:
        case MoveKind.SUSPEND:
            steps = suspend_steps(workload, snapshot, StepReason.IDLE)
        case MoveKind.RESUME:
            steps = resume_steps(workload, _to(move), snapshot, StepReason.REBALANCE)
        case MoveKind.RESIZE:
            return resize_steps(workload, _to(move), snapshot, move.why)
        case MoveKind.REQUEUE:
            steps = release_steps([workload], StepReason.REBALANCE)
        case _:
            steps = _relocation(workload, _to(move), snapshot)
    saves = move.kind is MoveKind.REQUEUE
    return tuple(
        replace(step, checkpoint=saves and step.kind is StepKind.STOP, detail=f"{step.detail}; {move.why}")
        if step.kind in (StepKind.STOP, StepKind.SUSPEND, StepKind.RESUME)
        else step
        for step in steps
    )


def _relocation(workload: Workload, to: Allocation, snapshot: Snapshot) -> tuple[Step, ...]:
    """Suspended, given back, given anew and resumed: one chain, that is taken back as one."""
    away = suspend_steps(workload, snapshot, StepReason.REBALANCE)
    steps = joined(away, resume_steps(workload, to, snapshot, StepReason.REBALANCE))
    return tuple(replace(step, needs=(len(away),)) if step.seq == len(away) + 1 else step for step in steps)


def _limit_steps(move: Move, snapshot: Snapshot) -> tuple[Step, ...]:
    node = snapshot.node(move.node)
    device = next((each for each in node.devices if each.uuid == move.device), None) if node is not None else None
    if node is None or device is None:
        return ()
    wanted = DeviceSettings(power_limit_w=move.watts)
    return numbered([set_step(node, device, wanted, StepReason.TROUGH, move.why)])


def _to(move: Move) -> Allocation:
    assert move.to is not None  # moves that bring work somewhere say where
    return move.to
