"""Policies against each other: each on every order of arrival of one trace, and the bound beside them.

A match is one policy on one order; matches know nothing of each other, so that they can be played in any processes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from msgspec import Struct

from gpualloc.engine.bound import bound_at
from gpualloc.engine.simulate import PackingTrial, simulate_packing
from gpualloc.policies import registry
from gpualloc.policies.bound import Bound
from gpualloc.sim.traces.arrivals import Order
from gpualloc.sim.traces.comparison import Entry, bound_entry, entry_of
from gpualloc.sim.traces.result import PackingResult
from gpualloc.sim.traces.trace import Tasks, TraceNode

BOUND_AT_PCT = 100
"""Load for which the bound is told."""


class Draw(Struct, frozen=True):
    """One order of arrival."""

    label: str
    order: Order
    seed: int
    """What the policy may draw from."""


class Contest(Struct, frozen=True):
    """One trace and the orders in which its tasks arrive."""

    nodes: tuple[TraceNode, ...]
    tasks: Tasks
    draws: tuple[Draw, ...]


class Match(Struct, frozen=True):
    """One policy on one order."""

    policy: str | None
    """Name of the policy; None asks for the bound."""
    draw: int
    """Index of the order."""


class Played(Struct, frozen=True):
    """What came of a match."""

    match: Match
    outcome: PackingResult | Bound


def matches(contest: Contest, policies: Iterable[str], *, bound: bool) -> tuple[Match, ...]:
    """All matches of a contest; the same policy's behind each other."""
    wanted = [*policies, *([None] if bound else [])]
    return tuple(Match(policy, draw) for policy in wanted for draw in range(len(contest.draws)))


def play(contest: Contest, clock: Callable[[], float], match: Match) -> Played:
    """Play one match.

    Args:
        contest: the trace.
        clock: seconds that time the decisions; they decide nothing.
        match: who plays on what.

    Raises:
        NotFoundError: there is no such policy.
        UsageError: the order ends before the load of the bound.
        ConfigError: a policy is broken, or HiGHS is not installed.
    """
    draw = contest.draws[match.draw]
    if match.policy is None:
        return Played(match, bound_at(contest.nodes, contest.tasks, draw.order, BOUND_AT_PCT))
    trial = PackingTrial(contest.nodes, contest.tasks, draw.order, seed=draw.seed)
    return Played(match, simulate_packing(trial, registry.load(match.policy), clock))


def standings(contest: Contest, played: Iterable[Played]) -> tuple[Entry, ...]:
    """A line for each policy and one for the bound, whatever order the matches ended in.

    Policies stand by what they leave unallocated at load 100, the least first; those that never came there last.
    """
    runs: defaultdict[str, list[tuple[str, PackingResult]]] = defaultdict(list)
    bounds: list[tuple[str, float]] = []
    for one in sorted(played, key=lambda one: one.match.draw):
        label = contest.draws[one.match.draw].label
        if isinstance(one.outcome, Bound):
            bounds.append((label, one.outcome.unallocated_pct))
        else:
            runs[one.match.policy or ""].append((label, one.outcome))
    entries = sorted((entry_of(several) for several in runs.values()), key=_rank)
    return (*entries, *([bound_entry(BOUND_AT_PCT, bounds)] if bounds else []))


def _rank(entry: Entry) -> tuple[float, str]:
    full = entry.unallocated_pct[str(BOUND_AT_PCT)]
    return (float("inf") if full is None else full.mean, entry.name)
