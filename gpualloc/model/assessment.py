"""What `gpualloc assess` found in the history: how GPUs were used, what was wasted, and what could have been saved.

Times are in GPU-hours: an hour of one whole device. None is unknown, and time of which nothing is known is told as
such.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

IDLE_BELOW_RATIO = 0.05
"""A GPU whose highest reading of a tick is below this rested in it."""
IDLE_AFTER_S = 1800.0
"""A GPU that somebody holds is idle once it rested as long as this; a shorter rest is a part of its use."""
OFF_AFTER_S = 3600.0
"""A node on which nothing was held or ran for as long as this counts as one that could have been off."""


class HolderKind(StrEnum):
    """Who holds a device."""

    WORKLOAD = "workload"
    """Work of gpualloc's."""
    STRANGER = "stranger"
    """A process that gpualloc did not start, seen on the device."""
    UNSEEN = "unseen"
    """Memory is in use, and no process that uses it was seen."""


class Ledger(Struct, frozen=True):
    """Where the time of devices went. The four parts are all of it."""

    used_h: float = 0.0
    """Computing, or held and at rest for less than `IDLE_AFTER_S`."""
    held_idle_h: float = 0.0
    free_h: float = 0.0
    """Nobody held it, and it did not compute."""
    unknown_h: float = 0.0
    """Not sampled, or the readings do not tell."""
    computed_h: float = 0.0
    """The part of the known time that was computed in: the sum of the readings of use."""
    idle_memory_gib_h: float = 0.0
    """GPU memory in use while held idle, GiB × hours."""
    held_idle_waited_h: float = 0.0
    """The part of `held_idle_h` in which work waited for GPUs."""
    free_waited_h: float = 0.0
    """The part of `free_h` in which work waited for GPUs."""
    energy_kwh: float = 0.0
    """What the devices took, as far as it was sampled."""
    held_idle_kwh: float = 0.0
    free_kwh: float = 0.0
    energy_known_h: float = 0.0
    """GPU-hours of which the power is known."""
    priced_h: float = 0.0
    """GPU-hours, of all parts, of devices whose pool has a price."""
    cost: float = 0.0
    """Price of `priced_h`."""
    held_idle_cost: float = 0.0
    free_cost: float = 0.0

    @property
    def known_h(self) -> float:
        """Time of which it is known what the device did."""
        return self.used_h + self.held_idle_h + self.free_h

    @property
    def all_h(self) -> float:
        """All time."""
        return self.known_h + self.unknown_h

    @property
    def use_ratio(self) -> float | None:
        """Mean use over the known time."""
        return self.computed_h / self.known_h if self.known_h else None


class Moment(Struct, frozen=True):
    """A part of the time line: means over it, in GPUs."""

    at_s: float
    """When it begins, epoch seconds."""
    used: float
    held_idle: float
    free: float
    unknown: float
    use_ratio: float | None
    """Mean use of the GPUs that are known."""


class NodeUse(Struct, frozen=True):
    """One node: its devices' time, and their mean use along the time line."""

    node: str
    pool: str | None
    """None when the configuration does not name the node any more."""
    devices: int
    ledger: Ledger
    use_ratios: tuple[float | None, ...]


class Holding(Struct, frozen=True):
    """What one holder made of the time it held devices."""

    kind: HolderKind
    id: str
    """Workload id, `node:pid` of a process, or UUID of the device where nobody was seen."""
    name: str
    """Name of the workload or command of the process; untrusted text."""
    owner: str | None
    """Unix account; None when it is not known."""
    devices: int
    """Most devices it held."""
    held_h: float
    """Known GPU-hours."""
    idle_h: float
    use_ratio: float | None
    idle_memory_gib_h: float
    idle_cost: float | None
    """None where none of its devices has a price."""


class OwnerUse(Struct, frozen=True):
    """What all holders of one account made of it."""

    owner: str | None
    holders: int
    held_h: float
    idle_h: float
    use_ratio: float | None
    idle_cost: float | None


class Waits(Struct, frozen=True):
    """What waiting for GPUs was like. Hours of workloads, unless they say GPU-hours."""

    workloads: int = 0
    """How many waited for GPUs in this time."""
    wait_h: float = 0.0
    longest_h: float = 0.0
    """The longest wait, as far as it lies in this time."""
    fitted_h: float = 0.0
    """One node had as many whole GPUs free as were asked for."""
    scattered_h: float = 0.0
    """Enough were free, and no node had enough of them: fragmentation."""
    full_h: float = 0.0
    """Not enough were free."""
    unknown_h: float = 0.0
    """Not told: too little was sampled, or they asked for parts of GPUs or for several nodes."""


class Sized(Struct, frozen=True):
    """A workload whose request is far from its use."""

    id: str
    name: str
    owner: str
    observed_h: float
    asked: str
    """What it asked for, in words of the command line."""
    proposed: str
    """What would have been enough."""
    why: tuple[str, ...]
    saved_gpu_h: float
    """Of the time that it held them and that is known."""


class Lever(StrEnum):
    """What could have saved something; the words are part of the JSON contract."""

    SUSPEND = "suspend"
    RIGHT_SIZE = "right-size"
    SHARE = "share"
    CONSOLIDATE = "consolidate"
    CLOCKS = "clocks"
    OFF = "off"


class Span(Struct, frozen=True):
    """From a cautious to a hopeful figure."""

    low: float
    high: float


class Saving(Struct, frozen=True):
    """What one lever would have saved in the time that is known. Levers overlap: their savings do not add up."""

    lever: Lever
    gpu_h: Span | None
    """Whole GPUs given back; None where the lever gives none back."""
    kwh: Span | None
    """None where nothing is known of the power, or the lever saves none by itself."""
    cost: Span | None
    """Price of `gpu_h`, as far as pools have one; None where none of those concerned has."""
    a_week: Span | None
    """GPU-hours (of a lever that gives none back: kWh) of a whole week if it were like what was seen: from the 5 %
    point of the cautious figure to the 95 % point of the hopeful one, over days drawn again and again. None when there
    are too few days."""
    assumes: tuple[str, ...]
    """One sentence each."""


class Assessment(Struct, frozen=True):
    """The whole report."""

    at_s: float
    simulated: bool
    asked_s: float
    """How far back was asked for, seconds."""
    from_s: float
    """When the time that is told of begins: with the first sample, or `asked_s` ago. Epoch seconds."""
    to_s: float
    step_s: float
    """How long a tick is."""
    total: Ledger
    nodes: tuple[NodeUse, ...]
    """By name."""
    moments: tuple[Moment, ...]
    """Equal parts of the time, oldest first."""
    waits: Waits
    holdings: tuple[Holding, ...]
    """Those that held GPUs idle, the longest first."""
    owners: tuple[OwnerUse, ...]
    """As `holdings`, by account."""
    sizes: tuple[Sized, ...]
    """The largest first."""
    savings: tuple[Saving, ...]
    at_most_h: float
    """No combination of the levers gives back more GPU-hours than this."""
    devices: int
    days_seen: int
    """Days of 24 hours, counted from the beginning, of which something is known."""
    unknown: tuple[str, ...]
    """What is not known, and why, one sentence each."""

    @property
    def empty(self) -> bool:
        """Whether nothing is known at all."""
        return self.total.known_h == 0
