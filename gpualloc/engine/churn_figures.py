"""The figures of a run with arrivals and departures, gathered as it goes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from gpualloc.engine.books import MOST_TOLD, Books
from gpualloc.engine.churn_trial import ChurnTrial
from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.sim.traces.churn import ChurnResult, Migrations, Moment, Waits, waits_of
from gpualloc.sim.traces.fragmentation import expected_fragment_milli, usual_shapes
from gpualloc.sim.traces.result import KINDS, Failures, kind_of
from gpualloc.sim.traces.timeline import Timeline

PARTS = 120
"""Into how many parts the time line is divided; half of them are half of the time."""


class Figures:
    """Told of every change just before and after it; `waiting` is how many tasks wait now."""

    def __init__(self, books: Books, trial: ChurnTrial) -> None:
        self.waiting = 0
        self._books = books
        self._trial = trial
        self._arrives_s = trial.times.arrives_s
        self._ends_s = trial.times.ends_s
        self._capacity = sum(node.gpus for node in trial.nodes) * GPU_MILLI
        self._usual = usual_shapes(_counts(trial))
        self._allocated, self._waiting = Timeline(self._ends_s, PARTS), Timeline(self._ends_s, PARTS)
        self._fragment: list[float | None] = [None] * PARTS
        self._at_s = 0.0
        self._makespan_s = 0.0
        self._waits: defaultdict[str, list[float]] = defaultdict(list)
        self._longest_s: dict[str, float] = {}
        self._dropped: Counter[str] = Counter()
        self._waiting_at_end = 0

    def holds(self, at_s: float) -> None:
        """All was until then as it is now: the clock moves there."""
        if at_s <= self._at_s:
            return
        if self._at_s < self._ends_s:
            before, after = self._part(self._at_s), self._part(at_s)
            self._allocated.hold(self._at_s, at_s, self._books.allocated_milli)
            self._waiting.hold(self._at_s, at_s, self.waiting)
            if after > before:
                self._fragment[after - 1] = expected_fragment_milli(self._books.referee, self._usual)
            if at_s >= self._ends_s:
                self._waiting_at_end = self.waiting
        self._at_s = at_s

    def left(self, at_s: float) -> None:
        """A task has left."""
        self._makespan_s = at_s

    def started(self, arrival: int, shape: Shape, at_s: float) -> None:
        """A task got its first place."""
        wait_s, kind = at_s - float(self._arrives_s[arrival]), kind_of(shape)
        self._longest_s[kind] = max(self._longest_s.get(kind, 0.0), wait_s)
        if self._arrives_s[arrival] >= self._trial.times.measured_from_s:
            self._waits[kind].append(wait_s)

    def dropped(self, shape: Shape) -> None:
        """A task was given a place that is none."""
        self._dropped[kind_of(shape)] += 1

    def result(self, policy: str, never: Sequence[tuple[int, Shape]]) -> ChurnResult:
        """The figures at the end; `never` are the arrivals without a place."""
        times = self._trial.times
        for arrival, shape in never:
            wait_s = self._makespan_s - float(self._arrives_s[arrival])
            self._longest_s[kind_of(shape)] = max(self._longest_s.get(kind_of(shape), 0.0), wait_s)
        measured = self._timeline()[round(PARTS * times.measured_from_s / self._ends_s) if self._ends_s else 0 :]
        fragments = [one.fragmentation_pct for one in measured if one.fragmentation_pct is not None]
        return ChurnResult(
            policy=policy,
            profile=self._trial.profile,
            seed=self._trial.seed,
            load=self._trial.load,
            offered_pct=100 * times.offered,
            rounds=times.rounds,
            factor=times.factor,
            arrivals=len(times.rows),
            without_times=times.without_times,
            capacity_milli=self._capacity,
            measured_s=(times.measured_from_s, self._ends_s),
            makespan_s=self._makespan_s,
            allocated_pct=float(np.mean([one.allocated_pct for one in measured])),
            fragmentation_pct=float(np.mean(fragments)) if fragments else None,
            timeline=self._timeline(),
            waits=self._all_waits(),
            waiting_at_end=self._waiting_at_end,
            never_placed=Failures(**(Counter(kind_of(shape) for _, shape in never) + self._dropped)),
            migrations=Migrations(0, 0, 0),
            violations=len(self._books.violations),
            violations_told=tuple(self._books.violations[:MOST_TOLD]),
            refusals_that_fitted=self._books.refused_that_fitted,
            decision_us=np.array(self._books.decision_us),
        )

    def _part(self, at_s: float) -> int:
        return min(PARTS, int(at_s / self._ends_s * PARTS))

    def _timeline(self) -> tuple[Moment, ...]:
        allocated, waiting = self._allocated.means(), self._waiting.means()
        return tuple(
            Moment(
                at_s=(part + 1) * self._ends_s / PARTS,
                allocated_pct=100 * allocated[part] / self._capacity,
                waiting=waiting[part],
                fragmentation_pct=_pct(self._fragment[part], self._capacity),
            )
            for part in range(PARTS)
        )

    def _all_waits(self) -> dict[str, Waits]:
        return {kind: waits_of(self._waits[kind], self._longest_s.get(kind)) for kind in KINDS}


def _pct(milli: float | None, capacity_milli: int) -> float | None:
    return None if milli is None else 100 * milli / capacity_milli


def _counts(trial: ChurnTrial) -> dict[Shape, int]:
    counts = np.bincount(trial.tasks.shape_of[trial.times.rows], minlength=len(trial.tasks.shapes)).tolist()
    return dict(zip(trial.tasks.shapes, counts, strict=True))
