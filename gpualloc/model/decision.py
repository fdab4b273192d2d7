"""What a policy is asked and what it answers."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gpualloc.model.allocation import Allocation
from gpualloc.model.inventory import Snapshot
from gpualloc.model.objective import Objective
from gpualloc.model.workload import Request, Workload


class RejectionReason(StrEnum):
    """Why a request waits or is refused; one per request."""

    NO_CAPACITY = "no capacity"
    """It fits the fleet when idle, not now."""
    FRAGMENTED = "fragmented"
    """Enough is free in sum, but not together on one node."""
    NODE_DOWN = "node down"
    """It would fit only on nodes that do not answer."""
    RESERVED = "reserved"
    """What could hold it takes no new work, by an operator's word or until its state is known again (cordoned)."""
    QUOTA = "quota"
    POLICY = "policy"
    """Only nodes that gpualloc may not manage would do."""
    INFEASIBLE = "infeasible"
    """No node of the configured fleet could ever hold it."""


class Rejection(Struct, frozen=True):
    """A request that gets nothing now."""

    workload: str
    reason: RejectionReason
    detail: str
    """One sentence for a person: what is missing, and the closest that would fit."""


class Ranked(Struct, frozen=True):
    """A place that a request could have, and how much the policy likes it."""

    node: str
    score: float
    """Higher is better; of use to compare places of one request under one policy."""
    devices: tuple[str, ...]
    """UUIDs of the devices it would be given there."""
    objective: str = ""
    """What the objective looks at there, in words; empty when the policy decides alone."""


class Placed(Struct, frozen=True):
    """How a workload came to its place."""

    at_s: float
    actor: str
    plan: str | None = None
    """The plan that placed it; None when that cannot be told any more."""
    policy: str | None = None
    """Name and version of the policy that chose the place; None when nobody knows, or none chose."""
    objective: Objective = Objective.BALANCED
    """What the place was chosen for."""


class Expected(Struct, frozen=True):
    """A kind of request and how often it comes, relative to the others."""

    request: Request
    weight: float


class Problem(Struct, frozen=True):
    """Everything a decision may depend on. Equal problems give equal decisions."""

    snapshot: Snapshot
    """Measured state; measured free memory is a hard input."""
    requests: tuple[Workload, ...]
    """Pending workloads; their order carries no meaning."""
    running: tuple[Allocation, ...] = ()
    """Allocations in force according to our books, beside the claims in the snapshot; of a gang one for each node."""
    seed: int = 0
    expected: tuple[Expected, ...] = ()
    """What is known of the work to come; empty: what runs and waits is all there is to go by."""
    explain: bool = True
    """Whether a rejection must say what comes closest; a simulation of many thousand arrivals reads the reason only."""
    objective: Objective = Objective.BALANCED


class Decision(Struct, frozen=True):
    """Desired new allocations and the requests that get none."""

    policy: str
    policy_version: str
    seed: int
    allocations: tuple[Allocation, ...]
    rejections: tuple[Rejection, ...]
    objective: Objective = Objective.BALANCED
