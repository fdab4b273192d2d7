"""A pool over a recorded demand, with a virtual clock: nodes are ordered, come later, are given back and taken away.

Work is reckoned as a fluid: any GPU serves any demand, and what is in use does not hold a node that is given back.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct, field

from gpualloc.model.spot import Lot, Offer, Price, PriceHistory, Purchase

HOUR_S = 3600.0


class PoolState(Struct, frozen=True):
    """The pool when a decision is asked for."""

    tick: int
    nodes: int
    """In service and ordered."""
    grown_at_s: float | None
    shrunk_at_s: float | None


class Pilot(Protocol):
    """Decides for a simulated pool."""

    def change(self, state: PoolState) -> int:
        """Nodes to add; below 0: to give back."""
        ...

    def buy(self, count: int, at_s: float, held: Counter[str]) -> Sequence[Lot]:
        """From which offers so many nodes are bought; `held` are the nodes of each zone now."""
        ...


class PoolTrial(Struct, frozen=True):
    """What a simulated pool goes through."""

    demand: Sequence[float]
    """GPUs at each tick; NaN is unknown."""
    start_s: float
    step_s: float
    gpus_per_node: int
    provision_s: float
    """From the order of a node until it serves; at least one tick, since a decision rests on the tick before."""
    first_nodes: int
    """In service at the first tick."""
    prices: PriceHistory = field(default_factory=PriceHistory)
    per_gpu_hour: float | None = None
    """Price of a GPU that stays; None is unknown."""
    seed: int = 0
    """Of the interruptions."""


class Played(Struct):
    """What came of it."""

    nodes: list[int] = field(default_factory=list)
    """In service at each tick."""
    ups: int = 0
    """Orders."""
    downs: int = 0
    """Times that nodes were given back."""
    interruptions: int = 0
    """Nodes that were taken away."""
    cost: float | None = 0.0
    """None where a price is not known."""


def play(trial: PoolTrial, pilot: Pilot) -> Played:
    """Let the demand come tick by tick, asking the pilot at each."""
    run = _Run(trial)
    for tick in range(len(trial.demand)):
        run.pass_tick(tick)
        at_s = trial.start_s + tick * trial.step_s
        change = pilot.change(PoolState(tick, run.total, run.grown_at_s, run.shrunk_at_s))
        if change > 0:
            run.order(tick, at_s, pilot.buy(change, at_s, run.zones()))
        elif change < 0:
            run.give_back(-change, at_s)
    return run.played


class _Run:
    """The state of one pool."""

    def __init__(self, trial: PoolTrial) -> None:
        self._trial = trial
        self._random = np.random.default_rng(trial.seed)
        self._serving: Counter[Offer] = Counter()
        self._coming: deque[tuple[int, Offer, int]] = deque()
        self._delay = max(1, math.ceil(trial.provision_s / trial.step_s - 1e-9))
        self._serving[Offer(Purchase.ON_DEMAND, None, trial.per_gpu_hour)] = trial.first_nodes
        self.played = Played()
        self.grown_at_s: float | None = None
        self.shrunk_at_s: float | None = None

    @property
    def total(self) -> int:
        """Nodes in service and ordered."""
        return self._serving.total() + sum(nodes for _, _, nodes in self._coming)

    def zones(self) -> Counter[str]:
        """Nodes in service and ordered by zone."""
        held: Counter[str] = Counter()
        for offer, nodes in (*self._serving.items(), *((offer, nodes) for _, offer, nodes in self._coming)):
            held[offer.zone or ""] += nodes
        return held

    def pass_tick(self, tick: int) -> None:
        """What was ordered comes, what is taken away goes, and what serves is paid for."""
        while self._coming and self._coming[0][0] <= tick:
            _, offer, nodes = self._coming.popleft()
            self._serving[offer] += nodes
        at_s = self._trial.start_s + tick * self._trial.step_s
        hours = self._trial.step_s / HOUR_S
        for offer in [offer for offer in self._serving if offer.purchase is Purchase.SPOT]:
            price = self._price(offer, at_s)
            chance = -math.expm1(-(price.interruptions_per_hour or 0.0) * hours) if price else 0.0
            lost = int(self._random.binomial(self._serving[offer], chance))
            self._serving[offer] -= lost
            self.played.interruptions += lost
        self.played.nodes.append(self._serving.total())
        self._pay(at_s, hours)

    def order(self, tick: int, at_s: float, lots: Sequence[Lot]) -> None:
        """Order nodes; they come after the delay."""
        self._coming.extend((tick + self._delay, lot.offer, lot.nodes) for lot in lots if lot.nodes)
        self.played.ups += 1
        self.grown_at_s = at_s

    def give_back(self, count: int, at_s: float) -> None:
        """Give nodes back that serve, the dearest first; what is on its way comes."""
        left = count
        for offer in sorted(self._serving, key=lambda offer: (-(offer.per_gpu_hour or math.inf), offer.zone or "")):
            gone = min(left, self._serving[offer])
            self._serving[offer] -= gone
            left -= gone
        if left < count:
            self.played.downs += 1
            self.shrunk_at_s = at_s

    def _price(self, offer: Offer, at_s: float) -> Price | None:
        return self._trial.prices.latest(offer.zone, at_s) if offer.zone is not None else None

    def _pay(self, at_s: float, hours: float) -> None:
        for offer, nodes in self._serving.items():
            price = self._price(offer, at_s)
            rate = price.per_gpu_hour if price is not None else offer.per_gpu_hour
            if nodes and rate is None:
                self.played.cost = None
            elif nodes and rate is not None and self.played.cost is not None:
                self.played.cost += nodes * self._trial.gpus_per_node * hours * rate
