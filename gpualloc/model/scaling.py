"""How the size of a pool follows its demand, as an operator sets it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gpualloc.model.spot import Lot

DAY_S = 86_400
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday; Monday is 0."""


class ScalingName(StrEnum):
    """The scaling policies."""

    THRESHOLD = "threshold"
    STEP = "step"
    TARGET = "target-tracking"
    SCHEDULED = "scheduled"
    PREDICTIVE = "predictive"


class Hours(Struct, frozen=True):
    """Hours of some weekdays, and the nodes to have in them."""

    days: tuple[int, ...]
    """Monday is 0. Hours that go over midnight belong to the day on which they begin."""
    from_s: int
    """Seconds since midnight UTC."""
    until_s: int
    """As `from_s`, not included; at or before it: of the next day."""
    nodes: int

    def __str__(self) -> str:
        """As the configuration writes it."""
        days = ",".join(WEEKDAYS[day] for day in self.days)
        times = "-".join(f"{at_s // 3600:02d}:{at_s % 3600 // 60:02d}" for at_s in (self.from_s, self.until_s))
        return f"{days} {times} = {self.nodes}"

    def hold(self, at_s: float) -> bool:
        """Whether a moment, in epoch seconds, is in these hours."""
        day, second = divmod(int(at_s), DAY_S)
        today = (day + _EPOCH_WEEKDAY) % 7
        if self.from_s < self.until_s:
            return today in self.days and self.from_s <= second < self.until_s
        return (today in self.days and second >= self.from_s) or (
            (today - 1) % 7 in self.days and second < self.until_s
        )


class SpotRules(Struct, frozen=True):
    """When nodes that may be taken away are bought, and where."""

    max_interruptions_per_hour: float | None = None
    """Offers with more interruptions of a node per hour, or an unknown number, are not taken; None: no ceiling."""
    spread: int | None = None
    """No zone has more nodes than this above the zone with the fewest; None: zones do not matter."""


class ScalingSettings(Struct, frozen=True):
    """`[pools.NAME.scaling]`. The defaults are the shipped preset."""

    policy: ScalingName = ScalingName.THRESHOLD
    min_nodes: int = 1
    max_nodes: int = 10
    up_ratio: float = 0.7
    """From this load on nodes are added; also the load that target tracking has."""
    down_ratio: float = 0.3
    """Down to this load nodes are given back."""
    up_cooldown_s: float = 300.0
    """Seconds after nodes were added before more are."""
    down_cooldown_s: float = 600.0
    """Seconds after any change before nodes are given back."""
    warmup_s: float = 300.0
    """Seconds from the order of a node until work runs there."""
    horizon_s: float = 3600.0
    """How far ahead the predictive policy looks before it gives a node back."""
    risk: float = 0.01
    """Chance of a shortfall that the predictive policy takes, in (0, 1)."""
    steps: tuple[tuple[float, int], ...] = ((0.7, 1), (0.85, 2), (1.0, 4), (1.5, 8))
    """Of the step policy: (load, nodes to add from it on), loads ascending."""
    hours: tuple[Hours, ...] = ()
    """Of the scheduled policy."""
    up_hook: tuple[str, ...] = ()
    """Program that adds nodes; empty: none."""
    down_hook: tuple[str, ...] = ()
    """Program that takes nodes away; empty: none."""
    hook_timeout_s: float = 300.0
    evict: bool = False
    """Whether work on a node that is given back is made to give way; else the node waits for its end."""
    spot: SpotRules | None = None
    """None: nodes are only bought to stay."""
    prices: str | None = None
    """File with the history of spot prices; None: there is none."""


class ScaleOrder(Struct, frozen=True):
    """What a program that adds nodes, or takes them away, is asked for."""

    id: str
    pool: str
    up: bool
    """Whether nodes are added; else those named are taken away."""
    count: int
    why: str
    lots: tuple[Lot, ...] = ()
    """From which offers to take them, in the order in which to try; only of an order to add."""
    nodes: tuple[str, ...] = ()
    """Nodes to take away, on which nothing runs; only of an order to take away."""


class ScaleAnswer(Struct, frozen=True):
    """What became of an order."""

    nodes: tuple[str, ...]
    """Names of the nodes that were added or taken away."""
    problem: str | None = None
    """None when it went well, else why not; some nodes may be there, or gone, nevertheless."""
    output: str = ""
    """The beginning of what the program said on stderr."""
    seconds: float = 0.0
