"""What keeps proposed moves from being made: ages, gains, freeze windows, minimum run, cool-down and budgets. Pure.

Guards only ever take away. They see whole bundles, one after another in the order of their urgency: a bundle of which
one move may not be made is not made at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field

from gpualloc.model.rebalancing import DISRUPTIVE, FreezeWindow, HeldBack, Move, MoveKind, RebalanceRules
from gpualloc.model.workload import Workload

STALE, GAIN, FREEZE, MIN_RUN, COOL_DOWN, TENANT, BUDGET = (
    "stale input",
    "gain",
    "freeze window",
    "minimum run",
    "cool-down",
    "disruption budget",
    "moves per run",
)
"""The guards, in the order in which they are asked; the words are part of the JSON contract."""


class Past(Struct, frozen=True):
    """What happened before that guards ask about."""

    now_s: float
    local: datetime
    """The same moment on the controller's clock."""
    ages: Mapping[str, float | None] = field(default_factory=dict)
    """Age in seconds of each input by its name; None, or no entry: it is not known."""
    last_moved: Mapping[str, float] = field(default_factory=dict)
    """When work was last moved, suspended or resumed, by id."""
    moved: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Ids of work that was moved within the window of the tenant budget, by account."""


def frozen(windows: Sequence[FreezeWindow], local: datetime) -> FreezeWindow | None:
    """The window in which that moment of the controller's clock lies; None when it lies in none."""
    second = local.hour * 3600 + local.minute * 60 + local.second
    return next((window for window in windows if _within(window, local.weekday(), second)), None)


def _within(window: FreezeWindow, day: int, second: int) -> bool:
    over_midnight = window.until_s <= window.from_s
    today = day in window.days and second >= window.from_s and (over_midnight or second < window.until_s)
    yesterday = over_midnight and (day - 1) % 7 in window.days and second < window.until_s
    return today or yesterday


class Guards:
    """Lets bundles of moves through, and counts what it let through.

    Args:
        rules: what is allowed.
        past: what the moves are judged on.
    """

    def __init__(self, rules: RebalanceRules, past: Past) -> None:
        self._rules = rules
        self._past = past
        self._taken: set[str] = set()
        self._by_tenant = {owner: set(ids) for owner, ids in past.moved.items()}
        self._frozen = frozen(rules.freeze, past.local)

    def held_back(self, bundle: Sequence[Move]) -> tuple[HeldBack, ...]:
        """Nothing when the moves may be made, which are counted as made then; else each of them, and why not."""
        refusal = next(self._refusals(bundle), None)
        if refusal is not None:
            return tuple(HeldBack(move, *refusal) for move in bundle)
        for move in _disruptive(bundle):
            self._taken.add(move.workload or "")
            self._by_tenant.setdefault(move.owner or "", set()).add(move.workload or "")
        return ()

    def may_move(self, workload: Workload) -> bool:
        """Whether a move of the work by itself could be let through, if it were worth it."""
        alone = Move(MoveKind.SUSPEND, "", "", (), math.inf, 0.0, 0, workload.id, workload.owner, workload.started_at_s)
        return next(self._refusals([alone]), None) is None

    def _refusals(self, bundle: Sequence[Move]) -> Iterator[tuple[str, str]]:
        """Each guard that holds the bundle back, with why."""
        yield from self._stale(bundle)
        gain, cost = max(move.gain_gpu_s for move in bundle), math.fsum(move.cost_gpu_s for move in bundle)
        if gain <= 0 or gain < cost * self._rules.gain_ratio:
            ratio = f"{self._rules.gain_ratio:g} times is asked"
            yield GAIN, f"it gains {gain:.0f} GPU-seconds and costs {cost:.0f}; {ratio}"
        disruptive = _disruptive(bundle)
        if not disruptive:
            return
        if self._frozen is not None:
            yield FREEZE, "nothing that runs is moved at this time of the week"
        for move in disruptive:
            yield from self._too_soon(move)
        yield from self._over_budget(disruptive)

    def _stale(self, bundle: Sequence[Move]) -> Iterator[tuple[str, str]]:
        for name in sorted({name for move in bundle for name in move.rests_on}):
            age_s = self._past.ages.get(name)
            if age_s is None:
                yield STALE, f"how old {name} is cannot be told"
            elif age_s > self._rules.max_age_s:
                yield STALE, f"{name} is {age_s:.0f} s old, and {self._rules.max_age_s:g} s is the limit"

    def _too_soon(self, move: Move) -> Iterator[tuple[str, str]]:
        rules, past = self._rules, self._past
        if move.since_s is None or past.now_s - move.since_s < rules.min_run_s:
            ran = "not known how long" if move.since_s is None else f"{past.now_s - move.since_s:.0f} s"
            yield MIN_RUN, f"{move.workload} has run {ran}, and {rules.min_run_s:g} s is the least"
        last_s = past.last_moved.get(move.workload or "")
        if last_s is not None and past.now_s - last_s < rules.cool_down_s:
            yield (
                COOL_DOWN,
                f"{move.workload} was moved {past.now_s - last_s:.0f} s ago; {rules.cool_down_s:g} s is the least",
            )
        if move.workload in self._taken:
            yield COOL_DOWN, f"{move.workload} is moved already in this run"

    def _over_budget(self, disruptive: Sequence[Move]) -> Iterator[tuple[str, str]]:
        added = {move.workload or "" for move in disruptive}
        for owner in sorted({move.owner or "" for move in disruptive}):
            mine = {move.workload or "" for move in disruptive if (move.owner or "") == owner}
            after = self._by_tenant.get(owner, set()) | mine
            if len(after) > self._rules.tenant_moves:
                yield (
                    TENANT,
                    (
                        f"{len(after)} workloads of {owner} would be moved within {self._rules.tenant_window_s:g} s,"
                        f" and {self._rules.tenant_moves} is the most"
                    ),
                )
        if len(self._taken | added) > self._rules.moves:
            yield BUDGET, f"{len(self._taken | added)} workloads would be moved, and {self._rules.moves} is the most"


def _disruptive(bundle: Sequence[Move]) -> list[Move]:
    return [move for move in bundle if move.kind in DISRUPTIVE]
