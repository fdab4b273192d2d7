"""What an action is: what it acts upon, what it asks, and the change it would make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gpualloc.engine.context import Context
from gpualloc.tui.cells import Cell


@dataclass(frozen=True, slots=True)
class NodeTarget:
    """A node."""

    node: str


@dataclass(frozen=True, slots=True)
class DeviceTarget:
    """A device of a node."""

    node: str
    uuid: str
    index: int
    model: str


@dataclass(frozen=True, slots=True)
class ProcessTarget:
    """A process on a device of a node."""

    node: str
    pid: int
    started_at_s: float | None
    """With the pid its identity."""
    user: str | None
    command: str | None
    workload: str | None
    """Id of the workload it belongs to; None for a stranger."""


@dataclass(frozen=True, slots=True)
class WorkloadTarget:
    """A workload of our books."""

    id: str
    name: str
    owner: str


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """An alert: a rule that holds at a place."""

    rule: str
    node: str


Target = NodeTarget | DeviceTarget | ProcessTarget | WorkloadTarget | AlertTarget


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that must be known before an action can be proposed."""

    name: str
    label: str
    initial: str = ""
    placeholder: str = ""
    choices: tuple[str, ...] = ()
    """What it may be; empty: any text."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an action would do, to be confirmed by whoever wants it."""

    title: str
    """`Release 2 workloads`; safe to draw."""
    touches: tuple[Cell, ...]
    """A line for each thing that will be touched, and what becomes of it."""
    command: tuple[str, ...]
    """The command that does the same."""
    do: Callable[[Callable[[str], None]], str]
    """Does it, and tells what came of it in one line. May block; tells each step to its argument. Raises
    GpuallocError."""
    warning: str | None = None
    """What is irreversible, or disturbs others."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something hands can do."""

    name: str
    """As in `:name`: `release`."""
    key: str | None
    """Key in views whose targets it takes; None: only by menu and by name."""
    what: str
    """What it does, in a few words."""
    takes: tuple[type, ...]
    """Kinds of targets; empty: it needs none."""
    change: Callable[[Context, tuple[Target, ...], Mapping[str, str]], Change]
    """Works the change out; may block. Raises GpuallocError when it cannot be."""
    asks: tuple[Ask, ...] = ()
    several: bool = True
    """Whether it takes several targets at once."""
    writes: bool = True
    """Whether it changes something: then a read-only dashboard does not offer it."""

    def fits(self, targets: tuple[Target, ...]) -> bool:
        """Whether it can act upon these."""
        if not self.takes:
            return True
        enough = len(targets) == 1 or (len(targets) > 1 and self.several)
        return enough and all(isinstance(target, self.takes) for target in targets)
