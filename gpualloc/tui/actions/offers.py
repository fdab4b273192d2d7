"""Which targets an action would get: those that are selected, else what the view around them is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gpualloc.tui.actions.action import (
    Action,
    AlertTarget,
    DeviceTarget,
    NodeTarget,
    ProcessTarget,
    Target,
    Targets,
    WorkloadTarget,
)
from gpualloc.tui.state import State
from gpualloc.tui.text import plain

_KINDS: dict[type, tuple[str, str]] = {
    NodeTarget: ("node", "nodes"),
    DeviceTarget: ("GPU", "GPUs"),
    ProcessTarget: ("process", "processes"),
    WorkloadTarget: ("workload", "workloads"),
    AlertTarget: ("alert", "alerts"),
}
_MOST_NAMED = 4
"""More GPUs than these are counted, not named."""


class Offer(NamedTuple):
    """An action, and what it would act upon."""

    action: Action
    targets: Targets
    is_first: bool
    """Whether its key would do this; the same action is offered once more for what is further around."""


def offers(actions: Sequence[Action], reach: Sequence[Targets], state: State) -> list[Offer]:
    """Everything that fits, in the order of the actions.

    Args:
        actions: to choose among.
        reach: what is selected, then what is around it, nearest first.
        state: tells where workloads stand.
    """
    found = []
    for action in actions:
        nearest = aimed(action, reach, state)
        meant = dict.fromkeys(_meant(action, targets, state) for targets in reach or ((),))
        found += [Offer(action, one, one == nearest) for one in meant if action.fits(one, state)]
    return found


def aimed(action: Action, reach: Sequence[Targets], state: State) -> Targets:
    """What the action's own key acts upon: the nearest in reach with anything that it takes, else what is selected.

    It may not fit even so: then `misfit` tells why.
    """
    meant = [_meant(action, targets, state) for targets in reach]
    taken = (one for one in meant if any(isinstance(target, action.takes) for target in one))
    return next(taken, meant[0] if meant else ())


def _meant(action: Action, targets: Targets, state: State) -> Targets:
    """What the action would act upon: of processes their workloads, where it takes those."""
    if not action.takes:
        return ()
    known = {work.id: work for work in state.workloads}
    found: dict[Target, None] = {}
    for target in targets:
        if isinstance(target, ProcessTarget) and ProcessTarget not in action.takes and target.workload in known:
            work = known[target.workload]
            found[WorkloadTarget(work.id, work.name, work.owner)] = None
        else:
            found[target] = None
    return tuple(found)


def told(targets: Targets) -> str:
    """What they are, in a few words; safe to draw."""
    if len(targets) != 1:
        return _told_together(targets)
    (target,) = targets
    if isinstance(target, WorkloadTarget):
        return f"{target.id} {plain(target.name, 60)} of {plain(target.owner, 40)}"
    if isinstance(target, ProcessTarget):
        return f"process {target.pid} on {plain(target.node)}"
    if isinstance(target, DeviceTarget):
        return f"{plain(target.node)} GPU {target.index}"
    if isinstance(target, AlertTarget):
        return f"{plain(target.rule, 60)} on {plain(target.node)}"
    return f"node {plain(target.node)}"


def _told_together(targets: Targets) -> str:
    devices = [target for target in targets if isinstance(target, DeviceTarget)]
    nodes = {device.node for device in devices}
    if len(devices) == len(targets) <= _MOST_NAMED and len(nodes) == 1:
        return f"{plain(nodes.pop())} GPU {', '.join(str(device.index) for device in devices)}"
    kinds = [(words, sum(isinstance(one, kind) for one in targets)) for kind, words in _KINDS.items()]
    counts = [f"{count} {one if count == 1 else many}" for (one, many), count in kinds if count]
    return " and ".join(counts) or "nothing selected"


def misfit(action: Action, targets: Targets) -> str:
    """Why the action does not fit."""
    if (
        targets
        and all(isinstance(target, action.takes) for target in targets)
        and (action.several or len(targets) == 1)
    ):
        return f"{action.name}: not as {'it stands' if len(targets) == 1 else 'they stand'} now: {told(targets)}"
    wanted = [_KINDS[kind][1] if action.several else f"one {_KINDS[kind][0]}" for kind in action.takes]
    return f"{action.name} takes {' or '.join(wanted)}; selected: {told(targets) if targets else 'none'}"
