"""Policies side by side: means over the orders of arrival, with what was published and what is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, stdev
from typing import Literal

from msgspec import Struct

from gpualloc.sim.traces.curve import REPORTED_PCT
from gpualloc.sim.traces.published import Published
from gpualloc.sim.traces.result import PackingResult

Kind = Literal["run", "published", "bound"]
LOADS = tuple(map(str, REPORTED_PCT))


class Spread(Struct, frozen=True):
    """A figure over several runs."""

    mean: float
    sd: float | None
    """Of the sample; None with a single run."""


class RunFigures(Struct, frozen=True):
    """What only a run of our own tells, as means over the orders."""

    fragmentation_pct: Spread | None
    """None where a run never came to load 100."""
    cpu_only: float
    """Tasks of this kind that got no place; the others likewise."""
    fractional: float
    single: float
    multi: float
    power_kw: Spread | None
    """At load 100; None where it is not known."""
    decisions_per_s: float | None
    violations: int
    """In all runs together."""
    refusals_that_fitted: int
    """In all runs together."""
    curve: tuple[tuple[int, float], ...]
    """Load in percent, ascending, and the mean unallocated percent; loads that every run has."""


class Entry(Struct, frozen=True):
    """One line of a comparison."""

    name: str
    kind: Kind
    runs: int
    unallocated_pct: dict[str, Spread | None]
    """By load in percent; None where a run has no figure."""
    figures: RunFigures | None = None
    """None unless it is a run of our own."""
    profile: str | None = None
    each: tuple[tuple[str, dict[str, float | None]], ...] = ()
    """Label of each order, and the unallocated percent there."""

    @property
    def label(self) -> str:
        """How it is told from the others."""
        if self.kind == "run":
            return f"{self.name} ({self.profile})" if self.profile else self.name
        return f"{self.name} (published)" if self.kind == "published" else self.name


def entry_of(runs: Sequence[tuple[str, PackingResult]]) -> Entry:
    """The line of one policy.

    Args:
        runs: label of the order and what came of it; at least one, all of the same policy and profile.
    """
    results = [result for _, result in runs]
    return Entry(
        name=results[0].policy,
        kind="run",
        runs=len(runs),
        unallocated_pct=_at_loads([result.unallocated_pct for result in results]),
        figures=_figures(results),
        profile=results[0].profile,
        each=tuple((label, result.unallocated_pct) for label, result in runs),
    )


def published_entries(published: Iterable[Published]) -> tuple[Entry, ...]:
    """A line for each policy that figures were published of, in their order."""
    runs: dict[str, list[Published]] = {}
    for run in published:
        runs.setdefault(run.policy, []).append(run)
    return tuple(
        Entry(
            name=policy,
            kind="published",
            runs=len(several),
            unallocated_pct=_at_loads([run.unallocated_pct for run in several]),
            each=tuple((f"seed {run.seed}", run.unallocated_pct) for run in several),
        )
        for policy, several in runs.items()
    )


def bound_entry(at_pct: int, bounds: Sequence[tuple[str, float]]) -> Entry:
    """The line of what no policy can go below: label of each order, and its bound at that load."""
    each: list[tuple[str, dict[str, float | None]]] = [
        (label, {load: part if load == str(at_pct) else None for load in LOADS}) for label, part in bounds
    ]
    return Entry("LP bound", "bound", len(bounds), _at_loads([values for _, values in each]), each=tuple(each))


def _figures(results: Sequence[PackingResult]) -> RunFigures:
    def mean(count: Callable[[PackingResult], float]) -> float:
        return fmean(count(result) for result in results)

    mean_us = mean(lambda result: result.times.mean_us)
    return RunFigures(
        fragmentation_pct=_spread([result.fragmentation_pct for result in results]),
        cpu_only=mean(lambda result: result.failed.cpu_only),
        fractional=mean(lambda result: result.failed.fractional),
        single=mean(lambda result: result.failed.single),
        multi=mean(lambda result: result.failed.multi),
        power_kw=_spread([None if result.power is None else result.power.all_kw for result in results]),
        decisions_per_s=1e6 / mean_us if mean_us > 0 else None,
        violations=sum(result.violations for result in results),
        refusals_that_fitted=sum(result.refusals_that_fitted for result in results),
        curve=_mean_curve(results),
    )


def _mean_curve(results: Sequence[PackingResult]) -> tuple[tuple[int, float], ...]:
    curves = [dict(result.curve) for result in results]
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    return tuple((load, fmean(curve[load] for curve in curves)) for load in shared)


def _at_loads(runs: Sequence[dict[str, float | None]]) -> dict[str, Spread | None]:
    return {load: _spread([run.get(load) for run in runs]) for load in LOADS}


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return Spread(fmean(known), stdev(known) if len(known) > 1 else None)
