"""What an action is: what it acts upon, what it asks, and the change it would make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from msgspec import Struct

from gpualloc.engine.chain import OnStep
from gpualloc.engine.context import Context
from gpualloc.model.workload import WorkloadState
from gpualloc.tui.cells import Cell
from gpualloc.tui.state import State


class NodeTarget(Struct, frozen=True):
    """A node."""

    node: str


class DeviceTarget(Struct, frozen=True):
    """A device of a node."""

    node: str
    uuid: str
    index: int
    model: str


class ProcessTarget(Struct, frozen=True):
    """A process on a device of a node."""

    node: str
    pid: int
    started_at_s: float | None
    """With the pid its identity."""
    user: str | None
    command: str | None
    workload: str | None
    """Id of the workload it belongs to; None for a stranger."""


class WorkloadTarget(Struct, frozen=True):
    """A workload of our books."""

    id: str
    name: str
    owner: str


class AlertTarget(Struct, frozen=True):
    """An alert: a rule that holds at a place."""

    rule: str
    node: str


Target = NodeTarget | DeviceTarget | ProcessTarget | WorkloadTarget | AlertTarget
Targets = tuple[Target, ...]
Answers = Mapping[str, str]
"""What was answered, by the name of what was asked."""


class Ask(Struct, frozen=True):
    """Something that must be known before an action can be proposed."""

    name: str
    """That of the command's option; an error that begins with `--name` is about it."""
    label: str
    initial: str = ""
    placeholder: str = ""
    choices: tuple[str, ...] = ()
    """What it may be; empty: any text."""
    known: tuple[str, ...] = ()
    """Texts that complete what is typed."""


class Scene(Struct, frozen=True):
    """What an action is worked out from."""

    ctx: Context
    state: State
    """What the dashboard has seen, whoever it was that looked."""


class Change(Struct, frozen=True):
    """What an action would do, to be confirmed by whoever wants it."""

    title: str
    """`Release 2 workloads`; safe to draw."""
    touches: tuple[Cell, ...]
    """A line for each thing that will be touched, and what becomes of it."""
    commands: tuple[tuple[str, ...], ...]
    """The words behind `gpualloc` that do the same; several commands where one cannot."""
    do: Callable[[OnStep], tuple[str, ...]]
    """Does it, and tells what came of it: first in one line, then what else is to be known.

    May block; tells each step as it moves. Raises GpuallocError.
    """
    warning: str | None = None
    """What is irreversible, or disturbs others."""
    grave: bool = False
    """Whether it ends work or destroys something: then nothing but `y` confirms it."""


class Action(Struct, frozen=True):
    """Something hands can do. Its module is imported when it is first wanted."""

    name: str
    """As in `:name`: `release`; the function of that name in its module works the change out."""
    key: str | None
    """Key in views whose targets it takes; None: only by menu and by name."""
    what: str
    """What it does, in a few words."""
    takes: tuple[type, ...]
    """Kinds of targets; empty: it needs none."""
    module: str
    """Where it is worked out, below `gpualloc.tui.actions`."""
    asks_first: bool = False
    """Whether something must be known first: `NAME_asks` of its module says what."""
    several: bool = True
    """Whether it takes several targets at once."""
    writes: bool = True
    """Whether it changes something: then a read-only dashboard refuses it."""
    states: frozenset[WorkloadState] = frozenset(state for state in WorkloadState if not state.ended)
    """Of workloads: where they must stand."""

    def fits(self, targets: Targets, state: State) -> bool:
        """Whether it can act upon these, as far as has been seen."""
        if not self.takes:
            return True
        enough = len(targets) == 1 or (len(targets) > 1 and self.several)
        return enough and all(isinstance(target, self.takes) and self._stands(target, state) for target in targets)

    def asks(self, targets: Targets, state: State) -> tuple[Ask, ...]:
        """What must be known first; does not block."""
        if not self.asks_first:
            return ()
        asks: Callable[[State, Targets], tuple[Ask, ...]] = self._found(f"{self.name}_asks")
        return asks(state, targets)

    def change(self, scene: Scene, targets: Targets, answers: Answers) -> Change:
        """Work the change out; may block. Raises GpuallocError when it cannot be."""
        work_out: Callable[[Scene, Targets, Answers], Change] = self._found(self.name)
        return work_out(scene, targets, answers)

    def _found(self, name: str) -> Any:
        return getattr(import_module(f"gpualloc.tui.actions.{self.module}"), name)

    def _stands(self, target: Target, state: State) -> bool:
        if not isinstance(target, WorkloadTarget):
            return True
        known = next((work for work in state.workloads if work.id == target.id), None)
        return known is None or known.state in self.states
