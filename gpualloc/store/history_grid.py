"""Many series on one even grid of times, straight into flat buffers: what forecasts and assessments read."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from gpualloc.model.forecast import Grid
from gpualloc.model.foresight import Steps
from gpualloc.model.sample import Digest, Metric, Rollup, SeriesKey
from gpualloc.store.history_packing import Bools, Floats, Ints
from gpualloc.store.history_reading import Seen
from gpualloc.store.history_rolling import means

Row = tuple[SeriesKey, Floats]


class Means(Struct, frozen=True):
    """One metric of a block of series by steps."""

    sampled: Bools
    """By slot, whether there is any sample."""
    values: Floats
    """Series x steps, NaN where nothing is known."""

    @classmethod
    def of(cls, seen: Seen, metric: Metric) -> Means:
        """Of what was read."""
        found = means(seen.rolled.known, seen.rolled.total, metric.scale)
        short = len(seen.present) - len(found)
        whole = np.pad(found, ((0, short), (0, 0)), constant_values=np.nan) if short > 0 else found
        return cls(np.any(seen.present, axis=1), whole)


def grid_of(rows: Sequence[Row], steps: Steps) -> Grid:
    """Means as a grid; a tick is the end of its step."""
    values = array("d", bytes(8 * steps.count * len(rows)))
    if len(values):
        target = np.frombuffer(values).reshape(len(rows), steps.count)
        for place, (_, row) in enumerate(rows):
            target[place] = row
    names = tuple(series_name(key) for key, _ in rows)
    return Grid(names, steps.since_s + steps.step_s, steps.step_s, steps.count, values)


def series_name(key: SeriesKey) -> str:
    """What a series is called in a grid: its node, and what it is of there."""
    return f"{key.node}/{key.key}" if key.key else key.node


def sampled(seen: Seen, slot: int) -> bool:
    """Whether there is any sample of the series."""
    return slot < len(seen.present) and bool(seen.present[slot].any())


def digest_of(key: SeriesKey, slot: int, seen: Sequence[tuple[Metric, Seen]], steps: Steps) -> Digest:
    """Mean and highest of some metrics of a series."""
    mean = {metric.name: _doubles(_mean(its, slot, metric, steps)) for metric, its in seen}
    high = {metric.name: _doubles(_scaled(its, its.rolled.high, slot, metric, steps)) for metric, its in seen}
    return Digest(key, steps.since_s, steps.step_s, mean, high)


def rollup_of(key: SeriesKey, slot: int, metric: Metric, seen: Seen, steps: Steps) -> Rollup:
    """All that is kept of a series."""
    whole = seen.rolled
    known = whole.known[slot] if slot < len(whole.known) else np.zeros(steps.count, np.int64)
    low, high, p95 = (_doubles(_scaled(seen, part, slot, metric, steps)) for part in (whole.low, whole.high, whole.p95))
    mean, unknown = _doubles(_mean(seen, slot, metric, steps)), seen.present[slot] - known
    return Rollup(
        key, metric, steps.since_s, steps.step_s, low, mean, high, p95, _whole_numbers(known), _whole_numbers(unknown)
    )


def _mean(seen: Seen, slot: int, metric: Metric, steps: Steps) -> Floats:
    known = seen.rolled.known
    if slot >= len(known):
        return np.full(steps.count, np.nan)
    return means(known[slot], seen.rolled.total[slot], metric.scale)


def _scaled(seen: Seen, part: Ints, slot: int, metric: Metric, steps: Steps) -> Floats:
    known = seen.rolled.known
    if slot >= len(known):
        return np.full(steps.count, np.nan)
    return np.where(known[slot] > 0, part[slot] / metric.scale, np.nan)


def _doubles(values: Floats) -> array[float]:
    return array("d", values.tobytes())


def _whole_numbers(values: Ints) -> array[int]:
    return array("q", values.tobytes())
