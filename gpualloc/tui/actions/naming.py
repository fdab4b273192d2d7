"""Targets as they are typed behind the name of an action."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gpualloc.errors import NotFoundError
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

_Named = Iterator[tuple[str, Target]]
"""Names, each with the target that it stands for; a target may have several."""


def named(action: Action, text: str, state: State) -> Targets:
    """The targets whose names, or unique beginnings of names, are typed.

    Raises:
        NotFoundError: nothing the action takes is called that, or several things are.
    """
    if AlertTarget in action.takes:
        return tuple(dict.fromkeys(_alert(word) for word in text.split()))
    known = list(_known(action, state))
    return tuple(dict.fromkeys(_one(word, known, action) for word in text.split()))


def names(action: Action, state: State) -> list[str]:
    """What could be typed, for completion: what the action can act upon."""
    return sorted({name for name, target in _known(action, state) if action.fits((target,), state)})


def _one(word: str, known: list[tuple[str, Target]], action: Action) -> Target:
    exact = {target: name for name, target in known if name == word}
    found = exact or {target: name for name, target in known if name.startswith(word)}
    if len(found) == 1:
        return next(iter(found))
    what = "several things are" if found else "nothing it takes is"
    hint = f"such as {', '.join(sorted(found.values())[:3])}" if found else "Tab completes what there is"
    raise NotFoundError(f"{action.name}: {what} called {word!r}", hint=hint)


def _alert(word: str) -> AlertTarget:
    rule, mark, node = word.partition("@")
    if not (rule and mark and node):
        raise NotFoundError(f"{word!r} is no alert", hint="write RULE@NODE, such as hot@gpu01")
    return AlertTarget(rule, node)


def _known(action: Action, state: State) -> _Named:
    for kind in action.takes:
        if kind in _KINDS:
            yield from _KINDS[kind](state)


def _nodes(state: State) -> _Named:
    for node in state.seen.nodes:
        yield node.name, NodeTarget(node.name)


def _devices(state: State) -> _Named:
    for node in state.seen.nodes:
        for device in node.devices:
            target = DeviceTarget(node.name, device.uuid, device.index, device.model)
            yield f"{node.name}:{device.index}", target
            yield device.uuid, target


def _processes(state: State) -> _Named:
    for node in state.seen.nodes:
        for one in node.processes:
            target = ProcessTarget(node.name, one.pid, one.started_at_s, one.user, one.command, one.workload)
            yield f"{node.name}:{one.pid}", target


def _workloads(state: State) -> _Named:
    for work in state.workloads:
        target = WorkloadTarget(work.id, work.name, work.owner)
        yield work.id, target
        if len(work.name.split()) == 1 and work.name.isprintable():
            yield work.name, target


_KINDS: dict[type, Callable[[State], _Named]] = {
    NodeTarget: _nodes,
    DeviceTarget: _devices,
    ProcessTarget: _processes,
    WorkloadTarget: _workloads,
}
