"""MIG instances made ahead of the requests that are expected for them. Pure.

Only instances are made, on devices that are in MIG mode and have room: nothing is destroyed, and no mode is changed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.outlook import DEMAND, SNAPSHOT, Outlook
from gpualloc.engine.repartition import repartition
from gpualloc.model.allocation import Share
from gpualloc.model.decision import Decision, Problem, Rejection, RejectionReason
from gpualloc.model.desired import DesiredDevice, Repartition
from gpualloc.model.plan import StepReason
from gpualloc.model.rebalancing import Move, MoveKind
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.planning.partition import Partition
from gpualloc.policies.survey import survey

CREATE_S = 5.0
"""What a start that must make its instance first waits longer; assumed."""


class Ahead(Struct, frozen=True):
    """Layouts that are worth having before they are asked for."""

    partitions: tuple[Partition, ...]
    moves: tuple[Move, ...]
    """One for each layout, in the same order."""


def made_ahead(problem: Problem, decision: Decision, desired: Sequence[DesiredDevice], outlook: Outlook) -> Ahead:
    """The instances to make so that as many are free as are expected to be asked for, by the upper quantile.

    Args:
        problem: what was decided on.
        decision: what waiting work gets.
        desired: what devices are meant to be.
        outlook: tells how many of each profile are expected.
    """
    wanted = _missing(problem, decision, outlook)
    if not wanted:
        return Ahead((), ())
    expected = tuple(_expected(profile, number) for profile, count in wanted.items() for number in range(count))
    asked = replace(problem, requests=expected)
    nothing = replace(
        decision,
        rejections=tuple(Rejection(work.id, RejectionReason.NO_CAPACITY, "") for work in expected),
    )
    _, partitions = repartition(asked, nothing, desired, Repartition.INSTANCES)
    kept = tuple(each for each in partitions if _only_adds(each))
    words = ", ".join(f"{count} more of {profile}" for profile, count in wanted.items())
    return Ahead(
        tuple(
            replace(each, reason=StepReason.AHEAD, detail=f"{words} may be asked for within the horizon")
            for each in kept
        ),
        tuple(_move(each, words) for each in kept),
    )


def _missing(problem: Problem, decision: Decision, outlook: Outlook) -> dict[str, int]:
    """How many instances of each profile are expected to be missing, by profile."""
    rooms = survey(problem)
    for allocation in decision.allocations:
        for part in allocation.parts:
            rooms[part.node] = rooms[part.node].book(part)
    free = Counter(
        target.instance.profile
        for room in rooms.values()
        for target in room.targets(Share.MIG)
        if target.instance is not None and not target.room.holds(target.instance.uuid)
    )
    wanted = {
        profile: math.ceil(band.high - 1e-9) - free[profile] for profile, band in sorted(outlook.instances.items())
    }
    return {profile: count for profile, count in wanted.items() if count > 0}


def _expected(profile: str, number: int) -> Workload:
    """A request as it is expected; it is never stored or started."""
    request = Request(("expected",), share_asked=Share.MIG, mig_profile=profile)
    return Workload(f"{profile} {number}", profile, "", request, WorkloadState.PENDING, 0.0)


def _only_adds(partition: Partition) -> bool:
    there = {f"{each.profile}@{each.start}" for each in partition.device.mig_instances}
    return partition.target is not None and there < {str(place) for place in partition.target}


def _move(partition: Partition, words: str) -> Move:
    return Move(
        MoveKind.RESHAPE,
        partition.node.name,
        f"{words} may be asked for within the horizon",
        (SNAPSHOT, DEMAND),
        gain_gpu_s=CREATE_S,
        cost_gpu_s=0.0,
        bundle=0,
        device=partition.device.uuid,
    )
