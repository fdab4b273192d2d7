"""Programs of the operator that gpualloc runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from gpualloc.model.plan import Step
    from gpualloc.model.scaling import ScaleAnswer, ScaleOrder


class HookEvent(Struct, frozen=True):
    """What a hook is told."""

    run: str | None = None
    """Id of the run; None when the hook is about none."""
    plan: str | None = None
    step: Step | None = None
    node: str | None = None
    """The node concerned; None when no single node is."""
    state: str | None = None
    """How the step or run stands: a `StepState` or `RunState`, or `stopped`."""
    error: str | None = None
    users: tuple[str, ...] = ()
    """Accounts that will notice."""
    workloads: tuple[str, ...] = ()
    """Ids of workloads that will notice."""
    document: Mapping[str, object] | None = None
    """What it reads on stdin in place of the step."""


class HookOutcome(Struct, frozen=True):
    """How a hook's program ended."""

    problem: str | None
    """None when it went well, else why not: `exit code 3`, `no answer in 30 s`."""
    output: str
    """The beginning of what it printed, stdout and stderr together."""
    seconds: float


class Hooks(Protocol):
    """Programs of the operator that are run around changes."""

    def run(self, name: str, event: HookEvent) -> HookOutcome | None:
        """Run the program configured under that name; None when none is. Never raises for what the program does."""
        ...


class ScaleHook(Protocol):
    """Programs of the operator that add nodes to a pool and take them away."""

    def run(self, command: Sequence[str], timeout_s: float, order: ScaleOrder) -> ScaleAnswer:
        """Run the program; never raises for what it does."""
        ...
