"""How long work runs, from how long work like it ran: quantiles by class, drawn towards coarser classes.

Work that still runs, or was ended by somebody, ran at least so long (it is censored, and counted by the estimator of
Kaplan and Meier); leaving it out would make long work look short.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from msgspec import Struct

from gpualloc.model.forecast import QUANTILES

SHRINKAGE = 5.0
"""Runs of the next coarser class that count beside those of a class: with five of its own, at least half is its own."""
_HAIR = 1e-6
"""A share just above that of the run before the one that is meant."""
_ROUNDING = 1e-9
_LEAST = 1e-300
_Key = tuple[object, ...]


class PastRun(Struct, frozen=True):
    """One run, over or not."""

    user: str
    label: str
    gpus: int
    seconds: float
    ended: bool
    """Whether it came to its own end; else it would have run longer."""


class RunTime(Struct, frozen=True):
    """How long a run of a class takes in all, in seconds; None is longer than can be told from what was seen."""

    low: float
    """What it has run already, where there are too few runs to tell more."""
    median: float | None
    high: float | None
    """None also where there are too few runs for a quantile so far out."""
    longest_s: float
    """The longest run that this rests on, over or not."""
    ended: int
    """Runs of just this user, label and number of GPUs that came to their end."""
    open: int
    """Such runs that are not over, or were ended by somebody."""
    alike: int
    """Runs of any class that came to their end."""


class ClassRunTime(Struct, frozen=True):
    """How long work of one class runs."""

    user: str
    label: str
    gpus: int
    run_time: RunTime


_CLASSES: tuple[Callable[[PastRun], _Key], ...] = (
    lambda run: (run.gpus,),
    lambda run: (run.user, run.gpus),
    lambda run: (run.user, run.label, run.gpus),
)
"""From coarse to fine; the coarsest class is all runs."""


class RunTimes:
    """What all runs seen so far tell.

    Classes: user, label and number of GPUs; user and number; number; all runs.
    """

    def __init__(self, runs: Sequence[PastRun]) -> None:
        self._runs = sorted(runs, key=lambda run: (run.seconds, not run.ended))
        self._seconds = [run.seconds for run in self._runs]
        self._weights: dict[_Key, list[float]] = {(): [1.0] * len(runs)}

    def classes(self) -> list[tuple[str, str, int]]:
        """The finest classes that any run is of, sorted."""
        return sorted({(run.user, run.label, run.gpus) for run in self._runs})

    def expect(self, user: str, label: str, gpus: int, elapsed_s: float = 0.0) -> RunTime | None:
        """How long a run of this class takes in all, given that it has run for `elapsed_s`; None when no run ended."""
        if not any(run.ended for run in self._runs):
            return None
        own = [run for run in self._runs if (run.user, run.label, run.gpus) == (user, label, gpus)]
        low, median, high = self._quantiles(self._weighted(user, label, gpus), elapsed_s)
        return RunTime(
            low,
            median,
            high,
            self._seconds[-1],
            sum(run.ended for run in own),
            sum(not run.ended for run in own),
            sum(run.ended for run in self._runs),
        )

    def _weighted(self, user: str, label: str, gpus: int) -> list[float]:
        """What each run counts for the class: its own runs 1, and the coarser class `SHRINKAGE` in all."""
        weights, wanted = self._weights[()], PastRun(user, label, gpus, 0.0, ended=False)
        for class_of in _CLASSES:
            key = class_of(wanted)
            if key not in self._weights:
                total = sum(weights)
                self._weights[key] = [
                    SHRINKAGE * weight / total + (class_of(run) == key)
                    for run, weight in zip(self._runs, weights, strict=True)
                ]
            weights = self._weights[key]
        return weights

    def _quantiles(self, weights: Sequence[float], elapsed_s: float) -> tuple[float, float | None, float | None]:
        """By weighted Kaplan and Meier, among the runs that lasted as long as `elapsed_s`.

        The outer ones are taken so much further out that a new run lies between them in 90 of 100 cases however few
        runs there are: of 19 runs of equal weight the highest is the upper edge, of fewer there is none.
        """
        first = bisect_left(self._seconds, elapsed_s)
        lasted, weighed = self._runs[first:], weights[first:]
        total = sum(weighed)
        if not lasted or total <= 0:
            return elapsed_s, None, None
        count = total**2 / sum(weight**2 for weight in weighed)
        low, median, high = QUANTILES
        outer = low - (1.0 - low) / count + _HAIR
        seen = _reached(lasted, weighed, (max(outer, 0.0), median, high * (count + 1.0) / count))
        return elapsed_s if outer <= 0.0 or seen[0] is None else seen[0], seen[1], seen[2]


def _reached(runs: Sequence[PastRun], weights: Sequence[float], shares: Sequence[float]) -> list[float | None]:
    """After how long these ascending shares of the runs have ended; None where that was not seen."""
    at_risk, surviving = sum(weights), 1.0
    found: list[float | None] = []
    for run, weight in zip(runs, weights, strict=True):
        if run.ended:
            surviving *= max(0.0, 1.0 - weight / at_risk)
            while len(found) < len(shares) and 1.0 - surviving >= shares[len(found)] - _ROUNDING:
                found.append(run.seconds)
        at_risk = max(at_risk - weight, _LEAST)
    return found + [None] * (len(shares) - len(found))
