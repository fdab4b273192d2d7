"""Changes to what runs that nobody asked for: what one is, what it gains and costs, and when it may be made."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gpualloc.model.allocation import Allocation

IDLE_REASON = "idle: it gave its GPUs to work that waited"
"""What suspended work says that goes on by itself once its devices are not needed."""


MOVING_REASON = "on its way to other devices of its node"
"""What work says while it is relocated, and after that failed half-way; it goes on by itself, too."""


class MoveKind(StrEnum):
    """What is done; the words are part of the JSON contract."""

    RELOCATE = "relocate"
    """Work is suspended and resumed on other devices of its node."""
    REQUEUE = "requeue"
    """Work saves itself, is stopped, and starts again on another node."""
    SUSPEND = "suspend"
    """Idle work gives its devices to work that waits."""
    RESUME = "resume"
    """Work that was suspended for being idle goes on, since nobody needs its devices."""
    RESHAPE = "reshape"
    """An idle device gets MIG instances that are expected to be asked for."""
    CAP = "cap"
    """The power limit of a device is lowered in a trough of demand."""
    UNCAP = "uncap"
    """That limit is given back."""
    RESIZE = "resize"
    """Work that said what range it can use gets more devices, or fewer."""


DISRUPTIVE = frozenset({MoveKind.RELOCATE, MoveKind.REQUEUE, MoveKind.SUSPEND, MoveKind.RESIZE})
"""Moves that the owner of work notices as a loss, and that guards count."""


class Move(Struct, frozen=True):
    """One change that is proposed because it gains more than it costs."""

    kind: MoveKind
    node: str
    why: str
    """One sentence for a person, with the figures."""
    rests_on: tuple[str, ...]
    """The measured and forecast inputs that it was decided on, as keys of the ages given to the guards."""
    gain_gpu_s: float
    """What the bundle gains, in seconds of one GPU."""
    cost_gpu_s: float
    """What this move loses, in seconds of one GPU."""
    bundle: int
    """Moves of one bundle only make sense together: all are made, or none."""
    workload: str | None = None
    """Id of the work that is moved; None for a change of a device."""
    owner: str | None = None
    """Account of that work."""
    since_s: float | None = None
    """When that work was started, epoch seconds; None when nobody knows."""
    device: str | None = None
    """UUID of the device that is changed; None for a move of work."""
    to: Allocation | None = None
    """Where the work goes; None where it only gives way."""
    watts: float | None = None
    """The power limit that CAP and UNCAP set."""


class HeldBack(Struct, frozen=True):
    """A move that was not made."""

    move: Move
    guard: str
    """Which guard held it back: a word of `planning.guards`."""
    why: str


class FreezeWindow(Struct, frozen=True):
    """A time of the week in which nothing that runs is moved, in local time of the controller."""

    days: frozenset[int]
    """Days on which it begins, 0 is Monday."""
    from_s: int
    """Seconds since midnight."""
    until_s: int
    """Seconds since midnight; not after `from_s`: it ends on the next day."""


class RebalanceRules(Struct, frozen=True):
    """What `rebalance` may do beyond giving places to waiting work."""

    moves: int = 4
    """Most workloads that one run may move; 0: nothing that runs is moved."""
    min_run_s: float = 1800.0
    """Work that was started later than this ago is not moved."""
    cool_down_s: float = 7200.0
    """Work that was moved, suspended or resumed later than this ago, by whomever, is not moved."""
    tenant_moves: int = 2
    """Most workloads of one account that are moved within `tenant_window_s`."""
    tenant_window_s: float = 3600.0
    freeze: tuple[FreezeWindow, ...] = ()
    max_age_s: float = 600.0
    """Oldest age of an input that a move may rest on."""
    gain_ratio: float = 1.5
    """A bundle must gain this many times what it costs."""
    horizon_s: float = 3600.0
    """How far ahead demand is forecast, and for how long a gain is counted."""
    idle_after_s: float = 0.0
    """Work that used its devices for nothing that long gives way to work that waits; 0: never."""
    idle_worth: float = 0.0
    """What an emptied device is worth when nothing waits or is expected, as a part of a device in use."""
    predict: bool = True
    """Whether anything is forecast at all; else what is measured now is all that moves rest on."""
    ahead: bool = True
    """Whether MIG instances are made ahead of the requests that are expected for them."""
    trough_below: float = 0.0
    """Below which part of a pool's devices forecast demand is a trough, in which busy devices are capped; 0: never."""
    trough_power: float = 0.7
    """The cap, as a part of the device's default power limit."""


DEFAULT_RULES = RebalanceRules()
