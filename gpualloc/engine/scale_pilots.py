"""Who decides for a simulated pool: what `scale` decides, with and without a look at the past."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gpualloc.model.scaling import ScalingSettings
from gpualloc.model.spot import Lot, Offer, Purchase
from gpualloc.policies.scaling.offers import lots, spot_offers
from gpualloc.policies.scaling.outlook import Outlook, caution_of, windows
from gpualloc.policies.scaling.pool import Standing, decide
from gpualloc.policies.scaling.registry import policy_of, rules_of
from gpualloc.sim.scaling import PoolState, PoolTrial

READ_AGAIN_S = 3 * 3600.0
"""How often a pool's past is read again."""
LOOK_BACK_S = 14 * 86_400.0
"""How much of a pool's past is read."""
SPARE_FROM_CAUTION = 2.0
"""What is saved beyond this caution also pays for spare nodes: a young past knows no large rise."""
DAY_S = 86_400.0

Floats = NDArray[np.float64]


class Reacting:
    """`sim.scaling.Pilot` that decides as `scale` does, on the demand of now.

    Args:
        settings: of the pool.
        pool: what it goes through; nothing after the tick of a decision is read.
    """

    def __init__(self, settings: ScalingSettings, pool: PoolTrial) -> None:
        self._pool = pool
        self._settings = settings
        self._policy, self._rules = policy_of(settings), rules_of(settings)
        self._stays = Offer(Purchase.ON_DEMAND, None, pool.per_gpu_hour)

    def change(self, state: PoolState) -> int:
        """As `Pilot.change`."""
        return decide(self._standing(state), self._rules, self._policy).nodes

    def buy(self, count: int, at_s: float, held: Counter[str]) -> Sequence[Lot]:
        """As `Pilot.buy`."""
        return lots(count, spot_offers(self._pool.prices, at_s), self._stays, self._settings.spot, held)

    def _standing(self, state: PoolState) -> Standing:
        demand = self._pool.demand[state.tick]
        return Standing(
            at_s=self._pool.start_s + state.tick * self._pool.step_s,
            nodes=state.nodes,
            gpus_per_node=self._pool.gpus_per_node,
            demand_gpus=None if math.isnan(demand) else demand,
            grown_at_s=state.grown_at_s,
            shrunk_at_s=state.shrunk_at_s,
        )


class Foreseeing(Reacting):
    """As `Reacting`, and reads the past up to now for what demand may rise to.

    Args:
        settings: of the pool.
        pool: as for `Reacting`.
        budget: nodes in service at each tick of a policy whose spending is not to be passed; None: the risk of the
            settings is taken, whatever it costs.
    """

    def __init__(self, settings: ScalingSettings, pool: PoolTrial, budget: Sequence[int] | None) -> None:
        super().__init__(settings, pool)
        self._series: Floats = np.asarray(pool.demand, dtype=np.float64)
        self._windows = windows(settings.warmup_s, settings.horizon_s, pool.step_s)
        self._every = max(1, round(READ_AGAIN_S / pool.step_s))
        self._back = max(1, round(LOOK_BACK_S / pool.step_s))
        self._caution = caution_of(settings.risk)
        self._budget = None if budget is None else Budget(budget, self._caution, DAY_S / pool.step_s)
        self._soon, self._later = self._read(0)

    def _standing(self, state: PoolState) -> Standing:
        standing = super()._standing(state)
        if state.tick and state.tick % self._every == 0:
            self._soon, self._later = self._read(state.tick)
            if self._budget is not None:
                self._caution = self._budget.caution(state.tick)
        if self._budget is not None:
            self._budget.spend(state.nodes)
        if standing.demand_gpus is None:
            return standing
        soon_gpus, later_gpus = (
            self._ready_for(one, standing.demand_gpus, standing.at_s) for one in (self._soon, self._later)
        )
        return replace(standing, soon_gpus=soon_gpus, later_gpus=later_gpus)

    def _ready_for(self, outlook: Outlook, demand_gpus: float, at_s: float) -> float | None:
        """The highest demand to be ready for, with a spare node for each step of caution that savings pay for."""
        highest = outlook.highest(demand_gpus, at_s, self._caution)
        if highest is None or self._budget is None:
            return highest
        spare = max(0.0, self._caution - SPARE_FROM_CAUTION) * self._pool.gpus_per_node
        return max(highest, demand_gpus + spare)

    def _read(self, tick: int) -> tuple[Outlook, Outlook]:
        past = self._series[max(0, tick + 1 - self._back) : tick + 1]
        end_s = self._pool.start_s + tick * self._pool.step_s
        soon, later = (Outlook(past, end_s, self._pool.step_s, window) for window in self._windows)
        return soon, later


class Budget:
    """The caution with which a pool spends about as much as another policy would have by now, and no more.

    What was saved makes it more careful, what was overspent bolder: it settles where as much is spent as allowed.

    Args:
        allowed: nodes of the other policy at each tick; only those before the tick of a question are read.
        caution: to begin with.
        day: ticks in a day.
    """

    LEAST_CAUTION = 0.5
    MOST_CAUTION = 8.0
    GAIN = 4.0
    """Caution for each day's worth of savings."""
    LOSS = 16.0
    """Caution taken back for each day's worth that was overspent."""

    def __init__(self, allowed: Sequence[int], caution: float, day: float) -> None:
        self._allowed = allowed
        self._first = caution
        self._day = day
        self._spent = 0

    def spend(self, nodes: int) -> None:
        """Another tick with so many nodes."""
        self._spent += nodes

    def caution(self, tick: int) -> float:
        """What to take from this tick on, above 0."""
        allowed = sum(self._allowed[:tick])
        saved_days = (allowed - self._spent) / max(allowed / tick * self._day, 1.0)
        gain = self.GAIN if saved_days > 0 else self.LOSS
        return min(max(self._first + gain * saved_days, self.LEAST_CAUTION), self.MOST_CAUTION)
