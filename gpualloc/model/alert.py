"""Alerts: what an operator wants to be told of, how it stands, and where it is told."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field

from gpualloc.model.health import Severity, Trouble
from gpualloc.model.inventory import NodeSpec

LOG = "log"
"""The channel that is always there: a line on stderr of whoever looks."""
EVENT_HOLD_S = 3600.0
"""How long an alert about an event goes on when its rule does not say: an event has no end of its own."""
EVENTS_ONLY = frozenset({Trouble.XID, Trouble.SXID, Trouble.DRIVER_MESSAGE, Trouble.RESTARTED})
"""Troubles that happen at a moment and never hold for a time."""


class AlertState(StrEnum):
    """How an alert stands; the words are part of the JSON contract."""

    PENDING = "pending"
    """What it is about holds, but not for long enough yet."""
    FIRING = "firing"
    RESOLVED = "resolved"


class Place(NamedTuple):
    """What an alert is about: a node, or a device of it."""

    node: str
    device: str
    """UUID; "" for the node itself."""


class AlertKey(NamedTuple):
    """What makes it the same alert from one look to the next."""

    rule: str
    node: str
    device: str

    @property
    def place(self) -> Place:
        """What it is about."""
        return Place(self.node, self.device)


class MetricTest(Struct, frozen=True, tag=True):
    """A reading that must not be beyond a limit."""

    metric: str
    """Of `model.sample.METRICS`, of devices or nodes."""
    limit: float
    below: bool
    """Whether it is too low below the limit; else it is too high above it."""
    clear: float
    """From here on it is well again; between this and the limit nothing changes."""

    def bad(self, value: float) -> bool:
        """Whether the value is beyond the limit."""
        return value < self.limit if self.below else value > self.limit

    def good(self, value: float) -> bool:
        """Whether the value is well again."""
        return value >= self.clear if self.below else value <= self.clear


class TroubleTest(Struct, frozen=True, tag=True):
    """A condition that must not hold, or an event that must not happen."""

    trouble: Trouble
    code: int | None = None
    """Number of an Xid or SXid; None is any."""
    least: Severity = Severity.INFO


class AlertRule(Struct, frozen=True):
    """What is told of, when, and where."""

    name: str
    test: MetricTest | TroubleTest
    severity: Severity = Severity.WARNING
    for_s: float = 0.0
    """How long every known reading must be bad, without one that is not."""
    clear_for_s: float | None = None
    """How long every known reading must be good; None: at once, or `EVENT_HOLD_S` after an event."""
    pools: tuple[str, ...] = ()
    """Pools it looks at; empty is all."""
    nodes: frozenset[str] | None = None
    """Nodes it looks at; None is all."""
    model: str | None = None
    """Shell glob of the product names that it looks at, whatever the case; None is all."""
    deliver: tuple[str, ...] = (LOG,)
    """Channels that are told."""
    repeat_s: float | None = None
    """After how long it is told again while it fires; None: never."""

    def covers(self, spec: NodeSpec) -> bool:
        """Whether it looks at that node."""
        return (not self.pools or spec.pool in self.pools) and (self.nodes is None or spec.name in self.nodes)


class Alert(Struct, frozen=True):
    """A rule that holds at a place. Changes only when something about it changes, not at each look."""

    key: AlertKey
    state: AlertState
    """PENDING or FIRING."""
    since_s: float
    """Epoch seconds since which it holds; while pending later by the time in which nothing was known."""
    what: str
    """One sentence on what was seen; may hold text that a node sent."""
    value: float | None = None
    """The reading when it began or fired, in the metric's unit; None for a condition or an event."""
    fired_s: float | None = None
    clear_since_s: float | None = None
    """Since when it is well again while still firing; None while it is not."""
    unknown_since_s: float | None = None
    """Since when nothing is known of it, so that it stays as it is; None while something is."""
    heard_s: float | None = None
    """When the last event was that it fires for; None where a condition or a reading holds it."""
    told_s: float | None = None
    """When it was last told to its channels; None while a silence keeps it from them."""


class Transition(Struct, frozen=True):
    """An alert that began to fire or was resolved, or is told again."""

    at_s: float
    rule: str
    node: str
    device: str | None
    """UUID; None when it is about the node."""
    state: AlertState
    """FIRING or RESOLVED."""
    severity: Severity
    what: str
    """One sentence; may hold text that a node sent."""
    value: float | None
    since_s: float
    """When what it is about began."""
    reminder: bool = False
    """Whether it fired before and is only told again."""
    silenced: bool = False
    """Whether a silence keeps it from its channels, or kept what it resolves from them."""

    @property
    def id(self) -> str:
        """Identity, the same however often it is delivered."""
        word = "reminder" if self.reminder else self.state.value
        return f"{self.rule}/{self.node}/{self.device or '-'}/{word}/{self.at_s:.3f}"


class Silence(Struct, frozen=True):
    """A time in which alerts are watched but not told."""

    id: int
    """0 before it is kept."""
    rule: str | None
    """Alerts of this rule; None is any."""
    node: str | None
    """Alerts about this node; None is any."""
    until_s: float
    reason: str
    actor: str
    at_s: float
    """When it was made."""

    def covers(self, key: AlertKey) -> bool:
        """Whether it is about that alert."""
        return (self.rule is None or self.rule == key.rule) and (self.node is None or self.node == key.node)


class Channel(Struct, frozen=True):
    """A way to tell somebody: a program or a webhook, never both."""

    name: str
    command: tuple[str, ...] = ()
    """Program and arguments; empty for a webhook."""
    url: str = ""
    """Where to POST; empty for a program. Part of it may be a secret."""
    secret_file: str | None = None
    """File whose first line signs what is sent."""
    secret_variable: str | None = None
    """Environment variable that signs what is sent."""
    timeout_s: float = 10.0
    """How long one try may take."""


class AlertSettings(Struct, frozen=True):
    """The rules and channels of the configuration, each by name."""

    rules: Mapping[str, AlertRule] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)


class Notice(Struct, frozen=True):
    """What is sent through one channel at once, and stays in the outbox until it has arrived."""

    id: str
    """Identity: what the receiver sees again when it is sent twice."""
    channel: str
    at_s: float
    document: str
    """JSON."""


class Delivered(Struct, frozen=True):
    """How the delivery of a notice ended."""

    notice: Notice
    problem: str | None
    """Why it did not arrive, or is dropped; None when it arrived."""
    answer: str = ""
    """What the receiver said: `HTTP 200`, or the beginning of what a program printed; untrusted."""
    seconds: float = 0.0
    """Of the last try."""
