"""Uneven facts on a grid of times: how much there was at each moment, and how often something happened before it."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gpualloc.model.forecast import Grid
from gpualloc.model.shapes import GPU_MILLI


@dataclass(frozen=True, slots=True)
class Span:
    """GPUs wanted for a time, the end not included."""

    from_s: float
    to_s: float
    """Epoch seconds; infinite while it goes on."""
    milli: int
    """In 1/1000 of a GPU, so that sums are exact."""


def levels(spans: Sequence[Span], times: Sequence[float]) -> list[float]:
    """GPUs wanted at each of these ascending times."""
    changes = [0] * (len(times) + 1)
    for span in spans:
        changes[bisect_left(times, span.from_s)] += span.milli
        changes[bisect_left(times, max(span.from_s, span.to_s))] -= span.milli
    return [milli / GPU_MILLI for milli in accumulate(changes[:-1])]


def counts(moments: Sequence[float], times: Sequence[float], step_s: float) -> list[float]:
    """How many of the ascending moments lie in the step that ends with each time: after its begin, up to its end."""
    return [float(bisect_right(moments, at_s) - bisect_right(moments, at_s - step_s)) for at_s in times]


def ticks_of(start_s: float, step_s: float, ticks: int) -> list[float]:
    """The times of a grid."""
    return [start_s + number * step_s for number in range(ticks)]


def joined(
    series: Mapping[str, Sequence[float]], start_s: float, step_s: float, ticks: int, known_since_s: float
) -> Grid:
    """The series, each with a value for every tick, as a grid by name; what lies before `known_since_s` is unknown."""
    unknown = sum(at_s < known_since_s for at_s in ticks_of(start_s, step_s, ticks))
    values: array[float] = array("d")
    for name in sorted(series):
        values.extend(array("d", [math.nan]) * unknown)
        values.extend(series[name][unknown:])
    return Grid(tuple(sorted(series)), start_s, step_s, ticks, values)
