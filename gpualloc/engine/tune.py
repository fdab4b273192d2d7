"""Search for a profile that packs better, on orders of arrival drawn for it, judged on others (docs/tune.md).

Every candidate is measured on the training orders; the best of a generation also on the validation orders, when none
was better before on the training ones. The best by validation counts. Everything is repeatable by its seeds, however
many runs go on at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from gpualloc.engine.measure import Figures, Run
from gpualloc.policies.profile import Profile
from gpualloc.policies.tuned import Pair, Standing, Tuned

Spread = Callable[[Sequence[Run]], Iterator[tuple[int, Figures]]]
"""Makes the runs, several at once, and yields what came of each with its place in the sequence, in any order."""

STARVED_COSTS = 1.0
"""Percentage points that each percent of gangs, or of CPU-only tasks, costs that fails beyond the reference's."""


class Search(Protocol):
    """Proposes profiles, a generation at a time, and learns how good they were."""

    start: Profile
    """What the policy decides by already."""

    def ask(self) -> tuple[Profile, ...]:
        """The next generation."""
        ...

    def tell(self, scores: Sequence[float]) -> None:
        """How good each of the generation is, lower is better."""
        ...


class Bounds(Struct, frozen=True):
    """What is measured on, and when to end."""

    reference: str
    """The policy that scores are relative to."""
    traces: int
    """How many task files there are."""
    training: tuple[int, ...]
    """Seeds of the orders that candidates are measured on."""
    validation: tuple[int, ...]
    """Seeds of the orders that decide which is kept; none of the training ones."""
    budget: int
    """Candidates; the generation that reaches it is the last."""
    patience: int
    """Generations without a better one on the validation orders, after which to end."""


class Progress(Struct, frozen=True):
    """How far a search is."""

    candidates: int
    """Measured, or being measured."""
    best: float | None
    """Score on the validation orders; None as long as nothing was measured there."""
    before: float
    """The same of what the policy decides by already."""


class Tuning:
    """One search. `run` may be interrupted by an exception at any time; `tuned` then tells what was found before."""

    def __init__(self, search: Search, bounds: Bounds, spread: Spread) -> None:
        """Measures the reference and what the policy decides by already."""
        self._search = search
        self._bounds = bounds
        self._spread = spread
        self._known: dict[tuple[int, str], Standing] = {}
        runs = [*self._runs(None, bounds.training), *self._runs(None, bounds.validation)]
        figures = self._figures(runs)
        cut = bounds.traces * len(bounds.training)
        self._reference = figures[:cut], figures[cut:]
        self._yardstick = Pair(standing(figures[:cut], figures[:cut]), standing(figures[cut:], figures[cut:]))
        self._before = Pair(self._standings([search.start], bounds.training, 0)[0], self._validated(search.start))
        self._best: tuple[Profile, Pair] | None = None
        self._best_training = float("inf")
        self._generations = self._candidates = self._waited = 0

    def run(self, tell: Callable[[Progress], None], late: Callable[[], bool]) -> str:
        """Search until the budget, the patience or the time is used up; returns which (as `Tuned.ended`).

        Args:
            tell: told how far it is, before each generation and after the last.
            late: asked between generations whether the time is used up.
        """
        while True:
            tell(Progress(self._candidates, self._best_score(), self._before.validation.score))
            if self._candidates >= self._bounds.budget:
                return "budget"
            if self._waited >= self._bounds.patience:
                return "patience"
            if late():
                return "time"
            asked = self._search.ask()
            if not asked:
                return "exhausted"
            self._generation(asked)

    def tuned(self, ended: str) -> Tuned:
        """What was found until now."""
        profile, after = self._best or (None, None)
        return Tuned(
            profile=profile,
            reference=self._yardstick,
            before=self._before,
            after=after,
            generations=self._generations,
            candidates=self._candidates,
            ended=ended,
        )

    def _generation(self, asked: Sequence[Profile]) -> None:
        standings = self._standings(asked, self._bounds.training, 0)
        place = min(range(len(asked)), key=lambda number: standings[number].score)
        better = False
        if standings[place].score < self._best_training:
            pair = Pair(standings[place], self._validated(asked[place]))
            self._best_training = standings[place].score
            best = self._best_score()
            better = best is None or pair.validation.score < best - 1e-9
            if better:
                self._best = asked[place], pair
        self._search.tell([one.score for one in standings])
        self._generations += 1
        self._candidates += len(asked)
        self._waited = 0 if better else self._waited + 1

    def _best_score(self) -> float | None:
        return self._best[1].validation.score if self._best else None

    def _validated(self, profile: Profile) -> Standing:
        return self._standings([profile], self._bounds.validation, 1)[0]

    def _standings(self, profiles: Sequence[Profile], seeds: tuple[int, ...], part: int) -> list[Standing]:
        """How good each is on the orders of those seeds; equal ones are measured once."""
        keys = [(part, profile.content) for profile in profiles]
        fresh = {key: one for key, one in zip(keys, profiles, strict=True) if key not in self._known}
        figures = self._figures([run for one in fresh.values() for run in self._runs(one, seeds)])
        each = self._bounds.traces * len(seeds)
        for number, key in enumerate(fresh):
            self._known[key] = standing(figures[number * each : (number + 1) * each], self._reference[part])
        return [self._known[key] for key in keys]

    def _runs(self, profile: Profile | None, seeds: tuple[int, ...]) -> list[Run]:
        reference = self._bounds.reference
        return [Run(profile, reference, trace, seed) for trace in range(self._bounds.traces) for seed in seeds]

    def _figures(self, runs: Sequence[Run]) -> list[Figures]:
        found = dict(self._spread(runs))
        return [found[place] for place in range(len(runs))]


def standing(figures: Sequence[Figures], reference: Sequence[Figures]) -> Standing:
    """How good a policy is whose runs those are, against the reference's on the same orders."""
    count = len(figures)
    pairs = list(zip(figures, reference, strict=True))
    score = sum(_points(found, yardstick) for found, yardstick in pairs) / count
    return Standing(
        score=score,
        unallocated_pct=_means([one.unallocated_pct for one in figures]),
        failed_gangs_pct=sum(one.failed_gangs_pct for one in figures) / count,
        failed_cpu_only_pct=sum(one.failed_cpu_only_pct for one in figures) / count,
    )


def _means(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of each load over the runs that came there, in the order of loads."""
    loads = sorted({load for part in parts for load in part}, key=int)
    there = {load: [part[load] for part in parts if load in part] for load in loads}
    return {load: sum(found) / len(found) for load, found in there.items()}


def _points(found: Figures, reference: Figures) -> float:
    loads = found.unallocated_pct
    more = sum(part - reference.unallocated_pct[load] for load, part in loads.items()) / len(loads)
    gangs = max(0.0, found.failed_gangs_pct - reference.failed_gangs_pct)
    cpu_only = max(0.0, found.failed_cpu_only_pct - reference.failed_cpu_only_pct)
    return more + STARVED_COSTS * (gangs + cpu_only)
