"""What another plan does otherwise with the work that waits. Pure."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.model.allocation import Grant
from gpualloc.model.plan import Plan, StepKind


class Fate(Struct, frozen=True):
    """What a plan makes of a workload."""

    places: tuple[tuple[str, tuple[Grant, ...]], ...] = ()
    """Where it starts: nodes, each with what it is given there; of a gang one for each member."""
    waits: str | None = None
    """Why it waits on; None when it starts, or the plan does not speak of it."""


class Difference(Struct, frozen=True):
    """A workload that two plans treat otherwise."""

    workload: str
    before: Fate
    after: Fate


def fates(plan: Plan) -> dict[str, Fate]:
    """By workload id what the plan makes of the work that waits, in plan order."""
    places: dict[str, list[tuple[str, tuple[Grant, ...]]]] = {}
    for step in plan.steps:
        if step.kind is StepKind.START and step.workload is not None and step.allocation is not None:
            places.setdefault(step.workload, []).append((step.node, step.allocation.grants))
    found = {workload: Fate(tuple(given)) for workload, given in places.items()}
    found.update(
        (rejection.workload, Fate(waits=f"{rejection.reason.value}: {rejection.detail}"))
        for rejection in plan.rejections
    )
    return found


def differences(before: Plan, after: Plan) -> tuple[Difference, ...]:
    """Each workload that starts elsewhere, starts in one plan only, or waits in one only; reasons to wait do not
    count."""
    one, other = fates(before), fates(after)
    found = []
    for workload in dict.fromkeys([*one, *other]):
        mine, its = one.get(workload, Fate()), other.get(workload, Fate())
        if mine.places != its.places or (mine.waits is None) is not (its.waits is None):
            found.append(Difference(workload, mine, its))
    return tuple(found)
