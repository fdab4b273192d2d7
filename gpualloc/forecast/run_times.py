"""How long work runs, from how long work like it ran: quantiles by class, drawn towards coarser classes.

Work that still runs, or was ended by somebody, ran at least so long (it is censored, and counted by the estimator of
Kaplan and Meier); leaving it out would make long work look short.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpualloc.model.forecast import QUANTILES

SHRINKAGE = 5.0
"""Runs of the next coarser class that count beside those of a class: with five of its own, at least half is its own."""
_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run, over or not."""

    user: str
    label: str
    gpus: int
    seconds: float
    ended: bool
    """Whether it came to its own end; else it would have run longer."""


@dataclass(frozen=True, slots=True)
class RunTime:
    """How long a run of a class takes, in seconds; None is longer than can be told from what was seen."""

    low: float | None
    median: float | None
    high: float | None
    longest_s: float
    """The longest run that this rests on, over or not."""
    ended: int
    """Runs of just this user, label and number of GPUs that came to their end."""
    open: int
    """Such runs that are not over, or were ended by somebody."""
    alike: int
    """Runs of any class that came to their end."""


@dataclass(frozen=True, slots=True)
class ClassRunTime:
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

    def _quantiles(self, weights: Sequence[float], elapsed_s: float) -> list[float | None]:
        """By weighted Kaplan and Meier, among the runs that lasted longer than `elapsed_s`."""
        first = bisect_left(self._seconds, elapsed_s)
        at_risk, surviving = sum(weights[first:]), 1.0
        found: list[float | None] = []
        for run, weight in zip(self._runs[first:], weights[first:], strict=True):
            if run.ended:
                surviving *= max(0.0, 1.0 - weight / at_risk)
                while len(found) < len(QUANTILES) and 1.0 - surviving >= QUANTILES[len(found)] - 1e-9:
                    found.append(run.seconds)
            at_risk = max(at_risk - weight, 1e-300)
        return found + [None] * (len(QUANTILES) - len(found))
