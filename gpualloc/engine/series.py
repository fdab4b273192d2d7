"""The past of one thing, as finely as a chart of it can show: readings, or what minutes and hours came to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.history import metric_named
from gpualloc.model.sample import Level, Metric, Rollup, SeriesKey

PER_COLUMN = 4
"""So many single readings fall into a column of a chart at most; with more, minutes and hours are read."""
_APART, _STEPS_APART = 2.5, 1.5
"""Single readings, and steps, that many usual distances apart have something missing between them."""


class Reading(Struct, frozen=True):
    """What is known of one metric from a moment on, until the next reading."""

    at_s: float
    """Epoch seconds."""
    low: float | None
    """The lowest; None, as the others: unknown, or nothing was sampled from here on."""
    mean: float | None
    high: float | None


class Past(Struct, frozen=True):
    """Readings of one metric of one series, oldest first; where nothing was sampled, one without values begins."""

    key: SeriesKey
    metric: Metric
    level: Level
    step_s: float
    """How long a reading tells of, if the next is not earlier."""
    readings: tuple[Reading, ...] = ()


def past_of(
    ctx: Context, key: SeriesKey, metrics: Sequence[str], *, since_s: float, until_s: float, columns: int
) -> Mapping[str, Past]:
    """Metrics of one series in a time, by name; of what nothing is stored there are no readings.

    Args:
        ctx: the ports.
        key: which series.
        metrics: names of metrics.
        since_s: epoch seconds; a reading that begins before and reaches into the time is among them.
        until_s: epoch seconds.
        columns: of the chart, 1 or more.

    Raises:
        NotFoundError: no such metric; names the nearest.
    """
    level, step_s = grain_of(ctx, since_s, until_s, columns)
    found = {}
    for metric in map(metric_named, metrics):
        past = Past(key, metric, level, step_s)
        read = _single if level is Level.RAW else _rolled
        found[metric.name] = replace(past, readings=tuple(_with_gaps(read(ctx, past, since_s, until_s), past)))
    return found


def grain_of(ctx: Context, since_s: float, until_s: float, columns: int) -> tuple[Level, float]:
    """What to read for a chart of a time, and how many seconds each reading tells of.

    Steps are of whole minutes or hours, about two in a column; from where finer ones are not kept, hours are read.
    """
    now_s, span_s, settings = ctx.clock.now_s(), max(1.0, until_s - since_s), ctx.settings
    every_s = max(1.0, settings.sample_every_s)
    if span_s <= PER_COLUMN * columns * every_s and since_s >= now_s - settings.history_retention_s:
        return Level.RAW, every_s
    wanted_s = span_s / (2 * columns)
    is_kept = since_s >= now_s - settings.history_minutes_s
    level = Level.MINUTE if is_kept and wanted_s < Level.HOUR.step_s else Level.HOUR
    return level, float(max(1, math.ceil(wanted_s / level.step_s)) * level.step_s)


def merged(rollup: Rollup, step_s: int) -> list[Reading]:
    """A rollup in steps of `step_s`, a multiple of its own; those in which nothing was sampled are left out."""
    sampled = [step for step in range(len(rollup.mean)) if rollup.known[step] or rollup.unknown[step]]
    return [
        _sum(number * step_s, rollup, [step for step in steps if rollup.known[step]])
        for number, steps in groupby(sampled, key=lambda step: (rollup.start_s + step * rollup.step_s) // step_s)
    ]


def joined(past: Past, newer: Sequence[tuple[float, float | None]]) -> Past:
    """What is stored, and behind it what was seen since; behind steps the latest single reading too.

    Args:
        past: what is stored.
        newer: (epoch seconds, value or None), oldest first; what `past` tells of already is left out.
    """
    told_s = past.readings[-1].at_s + past.step_s if past.readings else -math.inf
    live = [(at_s, value) for at_s, value in newer if at_s >= told_s]
    if past.level is Level.RAW:
        # They are closer together than stored ones, so that a gap is shorter among them.
        added = _with_gaps([Reading(at_s, value, value, value) for at_s, value in live], replace(past, step_s=0.0))
    else:
        added = _with_gaps(_gathered(live, past.step_s), past)
    if past.readings and added and added[0].at_s - told_s > (_apart(past.level) - 1) * past.step_s:
        added = [_nothing(told_s), *added]
    readings = (*past.readings, *added)
    return replace(past, readings=readings if past.level is Level.RAW else _ending(readings, newer))


def averaged(pasts: Sequence[Past]) -> Past:
    """The mean of one metric over several series, between the lowest and the highest of them.

    What is not known of some is left out; where nothing is known of any there is a gap.

    Args:
        pasts: at least one, of the same metric and with steps of the same length.
    """
    times = sorted({reading.at_s for past in pasts for reading in past.readings})
    courses = [_at_times(past, times) for past in pasts]
    readings = [_over(at_s, [course[at] for course in courses]) for at, at_s in enumerate(times)]
    return replace(pasts[0], readings=tuple(readings))


def _at_times(past: Past, times: Sequence[float]) -> list[Reading | None]:
    """The reading that tells of each moment; None before the first, and long after the last."""
    found: list[Reading | None] = []
    place, ends_s = -1, past.readings[-1].at_s + _APART * past.step_s if past.readings else -math.inf
    for at_s in times:
        while place + 1 < len(past.readings) and past.readings[place + 1].at_s <= at_s:
            place += 1
        found.append(past.readings[place] if place >= 0 and at_s <= ends_s else None)
    return found


def _over(at_s: float, readings: Sequence[Reading | None]) -> Reading:
    known = [reading for reading in readings if reading is not None]
    lows = [reading.low for reading in known if reading.low is not None]
    means = [reading.mean for reading in known if reading.mean is not None]
    highs = [reading.high for reading in known if reading.high is not None]
    return Reading(at_s, min(lows), sum(means) / len(means), max(highs)) if means else _nothing(at_s)


def _single(ctx: Context, past: Past, since_s: float, until_s: float) -> list[Reading]:
    key, since_s = past.key, since_s - past.step_s
    found = ctx.history.read(past.metric, since_s, until_s, kind=key.kind, node=key.node, key=key.key)
    return [Reading(at_s, value, value, value) for series in found for at_s, value in series.points]


def _rolled(ctx: Context, past: Past, since_s: float, until_s: float) -> list[Reading]:
    key, since_s = past.key, since_s // past.step_s * past.step_s
    found = ctx.history.rollups(past.metric, past.level, since_s, until_s, kind=key.kind, node=key.node, key=key.key)
    return [reading for rollup in found for reading in merged(rollup, int(past.step_s))]


def _sum(at_s: float, rollup: Rollup, steps: Sequence[int]) -> Reading:
    """Some steps of a rollup, of each of which something is known."""
    if not steps:
        return _nothing(at_s)
    known = sum(rollup.known[step] for step in steps)
    mean = sum(rollup.mean[step] * rollup.known[step] for step in steps) / known
    return Reading(at_s, min(rollup.low[step] for step in steps), mean, max(rollup.high[step] for step in steps))


def _gathered(points: Sequence[tuple[float, float | None]], step_s: float) -> list[Reading]:
    """Single readings put together to steps."""
    found = []
    for number, group in groupby(points, key=lambda point: point[0] // step_s):
        values = [value for _, value in group if value is not None]
        step = Reading(0.0, min(values), sum(values) / len(values), max(values)) if values else _nothing(0.0)
        found.append(replace(step, at_s=number * step_s))
    return found


def _ending(readings: tuple[Reading, ...], newer: Sequence[tuple[float, float | None]]) -> tuple[Reading, ...]:
    """The same, and the latest single reading at the end: a step does not tell how it is now."""
    if not newer or (readings and readings[-1].at_s >= newer[-1][0]):
        return readings
    at_s, value = newer[-1]
    return (*readings, Reading(at_s, value, value, value))


def _nothing(at_s: float) -> Reading:
    return Reading(at_s, None, None, None)


def _apart(level: Level) -> float:
    return _APART if level is Level.RAW else _STEPS_APART


def _with_gaps(readings: Sequence[Reading], past: Past) -> list[Reading]:
    """The same, with one that knows nothing where the next is later than usual."""
    if len(readings) < 2:
        return list(readings)
    usual_s = max(past.step_s, median(later.at_s - earlier.at_s for earlier, later in pairwise(readings)))
    found = []
    for reading, following in pairwise(readings):
        found.append(reading)
        if following.at_s - reading.at_s > _apart(past.level) * usual_s:
            found.append(_nothing(reading.at_s + usual_s))
    return [*found, readings[-1]]
