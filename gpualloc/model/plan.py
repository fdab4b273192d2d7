"""A plan is data: ordered steps with reasons, bound by digest to the world it was made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Rejection

PLAN_FORMAT = 1
"""Version of the plan document; another one is refused."""


class StepKind(StrEnum):
    """What a step does on its node. Each is idempotent and named by the workload it serves."""

    CLAIM = "claim"
    """Write the node's own record that the devices are given."""
    LIMIT = "limit"
    """Make the workload's control group, set its limits and read them back."""
    START = "start"
    """Start the keeper, let the command into the group, verify what it really got."""
    STOP = "stop"
    """TERM, grace, KILL of everything the workload started; its keeper then removes the group."""
    UNLIMIT = "unlimit"
    UNCLAIM = "unclaim"


INVERSE: Mapping[StepKind, StepKind | None] = {
    StepKind.CLAIM: StepKind.UNCLAIM,
    StepKind.LIMIT: StepKind.UNLIMIT,
    StepKind.START: StepKind.STOP,
    StepKind.STOP: None,
    StepKind.UNLIMIT: None,
    StepKind.UNCLAIM: None,
}
"""The step that takes a step back; None where there is none."""


class StepReason(StrEnum):
    """Why a step is in the plan."""

    WAITING = "waiting work fits"
    RELEASE = "released by operator"
    CLEANUP = "left over from work that ended"


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """Who notices when the step is done."""

    workloads: tuple[str, ...] = ()
    """Ids of workloads that are started, stopped or disturbed."""
    users: tuple[str, ...] = ()
    resets: tuple[str, ...] = ()
    """UUIDs of devices that are reset."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change on one node."""

    seq: int
    """1-based; also the order of execution."""
    kind: StepKind
    node: str
    workload: str
    target: str
    """What a person reads as the thing changed: device indices and models, or the workload."""
    reason: StepReason
    detail: str
    """One sentence behind the reason."""
    allocation: Allocation | None
    """What CLAIM, LIMIT and START bring about; None for the others."""
    attempt: int
    """Number of the start this step belongs to."""
    revision: int
    """Revision of the workload the step was planned on."""
    needs: tuple[int, ...] = ()
    """`seq` of steps that must be done before."""
    blast_radius: BlastRadius = BlastRadius()


@dataclass(frozen=True, slots=True)
class Plan:
    """Ordered steps and the facts they rest on."""

    id: str
    created_at_s: float
    policy: str
    policy_version: str
    seed: int
    simulated: bool
    base: Mapping[str, str]
    """Fact name to value for every touched node and request; what drifted is named by comparing these."""
    base_digest: str
    steps: tuple[Step, ...] = ()
    rejections: tuple[Rejection, ...] = ()

    @property
    def applyable(self) -> bool:
        """Whether there is anything to apply."""
        return bool(self.steps)


class StepState(StrEnum):
    """Where a journaled step stands."""

    INTENT = "intent"
    """Committed before the effect; whether the effect happened is known by asking the node."""
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    SKIPPED = "skipped"
    """Not tried, because a step it needs failed."""


class RunState(StrEnum):
    """Where an apply stands."""

    OPEN = "open"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    """Nothing of it is left in force."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step as the journal holds it."""

    run: str
    step: Step
    state: StepState
    result: Mapping[str, object] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One apply of one plan."""

    id: str
    plan: Plan
    fence: int
    """Raised by every run and every recovery; nodes refuse anything older."""
    state: RunState
    started_at_s: float
    actor: str
    """Unix account that ran it."""
