"""A plan is data: ordered steps with reasons, bound by digest to the world it was made for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from gpualloc.model.allocation import Allocation, Member
from gpualloc.model.decision import Rejection
from gpualloc.model.desired import DeviceSettings
from gpualloc.model.objective import Objective
from gpualloc.model.signals import ProcessSignal

PLAN_FORMAT = 4
"""Version of the plan document; another one is refused."""


class StepKind(StrEnum):
    """What a step does on its node. Each is idempotent and named by the workload or device it serves."""

    CLAIM = "claim"
    """Write the node's own record that the devices are given."""
    LIMIT = "limit"
    """Make the workload's control group, set its limits and device rule and read them back."""
    START = "start"
    """Start the keeper, let the command into the group, verify what it really got."""
    ADOPT = "adopt"
    """Take a process that runs already into the group; what it opened before stays open."""
    STOP = "stop"
    """Checkpoint hook if there is one, TERM, grace, KILL of everything the workload started."""
    UNLIMIT = "unlimit"
    UNCLAIM = "unclaim"
    LET_GO = "let-go"
    """Take an adopted process out of the group again; it runs on."""
    SUSPEND = "suspend"
    """Move the workload's GPU memory to host memory and freeze it; its devices are free after that."""
    RESUME = "resume"
    RESIZE = "resize"
    """Give running work other devices of its node, and tell it so by its resize command."""
    MPS_START = "mps-start"
    """Make sure that the workload's user has an MPS daemon on each of its devices."""
    MPS_STOP = "mps-stop"
    """End that daemon unless other work uses it."""
    MIG_MODE = "mig-mode"
    MIG_CREATE = "mig-create"
    MIG_DESTROY = "mig-destroy"
    SET = "set"
    """Set power limit, clocks, compute mode or persistence of a device."""
    EVICT = "evict"
    """Suspend or end a process on a device that it was not given."""
    SIGNAL = "signal"
    """Send a signal to a process that an operator named."""


INVERSE: Mapping[StepKind, StepKind | None] = {
    StepKind.CLAIM: StepKind.UNCLAIM,
    StepKind.LIMIT: StepKind.UNLIMIT,
    StepKind.START: StepKind.STOP,
    StepKind.ADOPT: StepKind.LET_GO,
    StepKind.STOP: None,
    StepKind.UNLIMIT: None,
    StepKind.UNCLAIM: None,
    StepKind.LET_GO: None,
    StepKind.SUSPEND: StepKind.RESUME,
    StepKind.RESUME: StepKind.SUSPEND,
    StepKind.RESIZE: StepKind.RESIZE,
    StepKind.MPS_START: StepKind.MPS_STOP,
    StepKind.MPS_STOP: None,
    StepKind.MIG_MODE: StepKind.MIG_MODE,
    StepKind.MIG_CREATE: StepKind.MIG_DESTROY,
    StepKind.MIG_DESTROY: StepKind.MIG_CREATE,
    StepKind.SET: StepKind.SET,
    StepKind.EVICT: None,
    StepKind.SIGNAL: None,
}
"""The step that takes a step back; None where there is none.

A MIG instance that is made again at the place of a destroyed one is empty and may have another UUID: only an instance
that nobody used is ever destroyed.
"""

DEVICE_KINDS = frozenset({StepKind.MIG_MODE, StepKind.MIG_CREATE, StepKind.MIG_DESTROY, StepKind.SET, StepKind.EVICT})
"""Steps that are about a device and no workload."""

MOMENTARY_KINDS = frozenset({StepKind.SIGNAL})
"""Steps that are meant for the moment in which they are asked for: what of them an interrupted run left is not done."""

RESHAPING_KINDS = DEVICE_KINDS | {
    StepKind.STOP,
    StepKind.SUSPEND,
    StepKind.RESIZE,
    StepKind.UNCLAIM,
    StepKind.MPS_START,
}
"""Steps after which a node looks otherwise: what comes behind one in a plan cannot be asked for beforehand."""


class StepReason(StrEnum):
    """Why a step is in the plan."""

    WAITING = "waiting work fits"
    RELEASE = "released by operator"
    CLEANUP = "left over from work that ended"
    REPARTITION = "repartitioned for waiting work"
    OPERATOR = "asked by operator"
    DRAIN = "drained by operator"
    REPAIR = "repair of drift"
    BUDGET = "power budget of the pool"
    ENFORCE = "not given to that process"
    GANG = "another member of its gang failed"
    REBALANCE = "moved because that gains more than it costs"
    IDLE = "idle, and other work waits"
    AHEAD = "expected to be asked for"
    TROUGH = "little is expected to be asked for"
    UNDO = "taken back by operator"


class BlastRadius(Struct, frozen=True):
    """Who notices when the step is done."""

    workloads: tuple[str, ...] = ()
    """Ids of workloads that are started, stopped or disturbed."""
    users: tuple[str, ...] = ()
    resets: tuple[str, ...] = ()
    """UUIDs of devices that are reset."""


class EvictAction(StrEnum):
    """What is done to a process on a device that it was not given."""

    SUSPEND = "suspend"
    """Its GPU memory moves to host memory and it is stopped."""
    TERMINATE = "terminate"
    """TERM, grace, KILL."""


class ProcessTarget(Struct, frozen=True):
    """A process named so that another one with its pid is never meant."""

    pid: int
    started_at_s: float
    """Epoch seconds as the node told; the node compares within its clock's resolution."""
    action: EvictAction | None = None
    """For EVICT; None for the others."""
    grace_s: float = 10.0
    """For EVICT: time between TERM and KILL."""
    signal: ProcessSignal | None = None
    """For SIGNAL; None for the others."""
    command: str | None = None
    """For SIGNAL: its command line as it was seen, untrusted text, for the audit trail."""


class Step(Struct, frozen=True):
    """One change on one node."""

    seq: int
    """1-based; also the order of execution."""
    kind: StepKind
    node: str
    workload: str | None
    """Workload id; None for steps about a device."""
    target: str
    """What a person reads as the thing changed: device indices and models, or the workload."""
    reason: StepReason
    detail: str
    """One sentence behind the reason."""
    allocation: Allocation | None
    """What the steps that give bring about, and what SUSPEND gives up; None for the others."""
    attempt: int
    """Number of the start this step belongs to."""
    revision: int
    """Revision of the workload the step was planned on."""
    needs: tuple[int, ...] = ()
    """`seq` of steps that must be done before."""
    blast_radius: BlastRadius = BlastRadius()
    device: str | None = None
    """UUID of the device that a device step is about."""
    place: str | None = None
    """What MIG_CREATE makes and MIG_DESTROY removes, such as `2g.20gb@4`."""
    mig_instance: str | None = None
    """UUID of the instance that MIG_DESTROY removes, or None: whatever lies at `place`."""
    mig_enabled: bool | None = None
    """The mode that MIG_MODE brings about."""
    wanted: DeviceSettings | None = None
    """What SET sets; None in it is not touched."""
    before: DeviceSettings | None = None
    """What SET is taken back to, as seen when it was planned."""
    layout: str | None = None
    """MIG layout of the device once this step is done, as `DesiredDevice.layout`; None for other steps."""
    devices_before: tuple[str, ...] = ()
    """For RESUME: UUIDs the workload was suspended on, in the order of the grants; for RESIZE: those it had before."""
    process: ProcessTarget | None = None
    """The process that ADOPT takes in, and that EVICT and SIGNAL act on."""
    checkpoint: bool = False
    """Whether STOP runs the workload's checkpoint hook first."""

    @property
    def chain(self) -> tuple[str, str]:
        """Steps of one chain succeed or are taken back together: those of one workload, device or process.

        A gang is started as one chain over its nodes; what ends its members are chains of their own.
        """
        if self.workload is not None and self.reason is StepReason.WAITING and self.member is not None:
            return "", self.workload
        if self.kind in (StepKind.EVICT, StepKind.SIGNAL) and self.process is not None:
            return self.node, f"process {self.process.pid}"
        return self.node, self.workload or self.device or ""

    @property
    def member(self) -> Member | None:
        """The member of a gang that the step gives something to; None for other work."""
        gang = self.allocation.gang if self.allocation is not None else None
        return gang.members[0] if gang is not None and gang.members else None

    @property
    def inverse(self) -> StepKind | None:
        """The step that takes this one back; None where there is none, and for a repair: what it makes should be
        there in any case."""
        return None if self.reason is StepReason.REPAIR else INVERSE[self.kind]


class Plan(Struct, frozen=True):
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
    objective: Objective = Objective.BALANCED
    """What the places were chosen for; plans made before there were objectives have this one."""

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
    ROLLBACK = "rollback"
    """Being taken back by an operator's word; as open as OPEN."""
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    """Nothing of it is left in force."""
    ABANDONED = "abandoned"
    """Given up by an operator with steps in doubt, and nobody has looked at their nodes since."""


class StepRecord(Struct, frozen=True):
    """A step as the journal holds it."""

    run: str
    step: Step
    state: StepState
    result: Mapping[str, object] = field(default_factory=dict)
    error: str | None = None


class Run(Struct, frozen=True):
    """One apply of one plan."""

    id: str
    plan: Plan
    fence: int
    """Raised by every run and every recovery; nodes refuse anything older."""
    state: RunState
    started_at_s: float
    actor: str
    """Unix account that ran it."""
