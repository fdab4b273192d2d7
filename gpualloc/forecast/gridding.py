"""Uneven facts on a grid of times: how much there was at each moment, and how often something happened before it."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from msgspec import Struct

from gpualloc.model.forecast import Grid
from gpualloc.model.shapes import GPU_MILLI


class Span(Struct, frozen=True):
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


def where_known(values: Sequence[float], times: Sequence[float], since_s: float, until_s: float) -> list[float]:
    """The values, unknown before `since_s` and after `until_s`."""
    return [value if since_s <= at_s <= until_s else math.nan for value, at_s in zip(values, times, strict=True)]


def joined(series: Mapping[str, Sequence[float]], times: Sequence[float], step_s: float) -> Grid:
    """The series, each with a value for every one of the even times, as a grid by name."""
    values: array[float] = array("d")
    for name in sorted(series):
        values.extend(series[name])
    return Grid(tuple(sorted(series)), times[0] if times else 0.0, step_s, len(times), values)
