"""A pool as a scaling policy sees it, and the rules that hold whatever a policy wishes. Pure, standard library only."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Rules(Struct, frozen=True):
    """Bounds of a pool's size and of how often it changes."""

    min_nodes: int = 1
    max_nodes: int = 10
    up_cooldown_s: float = 300.0
    """Seconds after nodes were added before more are."""
    down_cooldown_s: float = 600.0
    """Seconds after any change before nodes are given back."""
    warmup_s: float = 300.0
    """Seconds from the order of a node until work runs there; nothing is given back while a node is on its way."""


class Standing(Struct, frozen=True):
    """What is known of a pool at one moment."""

    at_s: float
    """Epoch seconds."""
    nodes: int
    """In service or ordered; those on their way out are not counted."""
    gpus_per_node: float
    """Above 0."""
    demand_gpus: float | None
    """GPUs in use and waited for; None when nothing of it is known."""
    complete: bool = True
    """Whether that is all of the demand; False: it is at least that, since some of the pool could not be read."""
    cpu_ratio: float | None = None
    """Mean use of the CPUs, 0..1; None when it is unknown or not looked at."""
    soon_gpus: float | None = None
    """Highest demand to be ready for when an order given now is in service; None when nothing can be told."""
    later_gpus: float | None = None
    """Highest demand to be ready for until the forecast horizon; None when nothing can be told."""
    grown_at_s: float | None = None
    """When nodes were last ordered; None when never."""
    shrunk_at_s: float | None = None
    """When nodes were last given back; None when never."""

    def load(self, nodes: int | None = None) -> float | None:
        """The greater of the load of GPUs and of CPUs; above 1 when work waits. None when no demand is known.

        Args:
            nodes: as if the pool had that many; None: as it is.
        """
        count = self.nodes if nodes is None else nodes
        if self.demand_gpus is None:
            return None
        gpus = count * self.gpus_per_node
        if not gpus:
            return float("inf") if self.demand_gpus else 0.0
        return max(self.demand_gpus / gpus, self.cpu_ratio or 0.0)

    def needed(self, gpus: float) -> int:
        """The nodes that so many GPUs take."""
        return -int(-(gpus - 1e-9) // self.gpus_per_node)


class Wish(Struct, frozen=True):
    """How many nodes a policy would have."""

    nodes: int
    why: str
    """In plain words, to follow the number."""


class ScalingPolicy(Protocol):
    """Says how many nodes a pool should have; bounds and cool-downs are not its task.

    Pure: equal standing, equal wish.
    """

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    def wish(self, standing: Standing) -> Wish:
        """How many nodes it would have; it is only asked when something of the demand is known."""
        ...


class Move(Struct, frozen=True):
    """What is to be done about a pool's size."""

    nodes: int
    """Nodes to add; below 0: to give back; 0: nothing is to be done."""
    wished: int | None
    """What the policy would have had; None when it was not asked."""
    why: str


def decide(standing: Standing, rules: Rules, policy: ScalingPolicy) -> Move:
    """What is to be done now.

    The pool stays between its bounds, cool-downs are kept, and nothing is given back on an incomplete reading.
    """
    wish = None if standing.demand_gpus is None else policy.wish(standing)
    wanted = standing.nodes if wish is None else wish.nodes
    why = "the demand is not known" if wish is None else wish.why
    bounded = min(max(wanted, rules.min_nodes), rules.max_nodes)
    if bounded != wanted:
        why += f"; the pool has {rules.min_nodes} to {rules.max_nodes} nodes"
    hindrance = _hindrance(standing, rules, bounded - standing.nodes, complete=wish is not None and standing.complete)
    asked = None if wish is None else wish.nodes
    return Move(bounded - standing.nodes, asked, why) if hindrance is None else Move(0, asked, f"{why}; {hindrance}")


def _hindrance(standing: Standing, rules: Rules, change: int, *, complete: bool) -> str | None:
    """Why a change may not be made now; None when it may, or when there is none."""
    grown_s = _since(standing.at_s, standing.grown_at_s)
    if change > 0 and grown_s < rules.up_cooldown_s:
        return f"nodes were added {grown_s:.0f}s ago, and the next are after {rules.up_cooldown_s:.0f}s"
    if change >= 0:
        return None
    if not complete:
        return "nothing is given back while some of the pool cannot be read"
    quiet_s = max(rules.down_cooldown_s, rules.warmup_s)
    if grown_s < quiet_s:
        return f"nodes were added {grown_s:.0f}s ago, and none is given back before {quiet_s:.0f}s"
    shrunk_s = _since(standing.at_s, standing.shrunk_at_s)
    if shrunk_s < rules.down_cooldown_s:
        return f"nodes were given back {shrunk_s:.0f}s ago, and the next are after {rules.down_cooldown_s:.0f}s"
    return None


def _since(now_s: float, then_s: float | None) -> float:
    return float("inf") if then_s is None else now_s - then_s
