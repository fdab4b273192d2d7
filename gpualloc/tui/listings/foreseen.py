"""The lists of what is expected: of series at several horizons, and of how long work runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from gpualloc.forecast.run_times import ClassRunTime
from gpualloc.model.forecast import Band
from gpualloc.model.foresight import By, Foresight, Score
from gpualloc.tui.cells import Cell, Role, Span, cell, width_of
from gpualloc.tui.fields import Field, Unit, Value
from gpualloc.tui.graph_axis import amount
from gpualloc.tui.listing import Listing
from gpualloc.tui.past_graph import unit_of
from gpualloc.tui.rows import Moment
from gpualloc.tui.text import age_text, plain
from gpualloc.views.forecast import span

HORIZONS_S = (900, 1800, 3600, 10_800, 21_600, 43_200, 86_400)
"""Horizons that a column can be of."""
_LEAST_BAND, _MOST_BAND, _EDGES = 14, 20, 10


class ForeseenRow(Struct, frozen=True):
    """One series."""

    place: int
    """Of the series in its grid."""
    name: str
    """As the grid has it; untrusted text."""
    shown: str
    """As people call it, safe to draw."""
    unit: Unit
    latest: float | None
    bands: Mapping[int, Band | None]
    """By horizon in seconds; None where nothing can be told."""
    models: tuple[str, ...]
    """That told of it, each once."""
    ticks: int
    """How many steps back it is known, gaps or not."""
    least: int | None
    """How many the forecaster needs for the longest horizon; None: it does not say."""
    scores: tuple[Score, ...]
    """How earlier forecasts turned out, by horizon."""

    @property
    def score(self) -> Score | None:
        """That of the longest horizon that was ever compared; of one horizon, that of all models."""
        longest_s = max((score.horizon_s for score in self.scores), default=0)
        return next((score for score in self.scores if score.horizon_s == longest_s), None)


def foreseen_rows(
    seen: Foresight, scores: Mapping[str, Sequence[Score]], indices: Mapping[str, int]
) -> tuple[ForeseenRow, ...]:
    """A row for each series, by node and index of its device; `indices` of devices by UUID."""
    if not seen.grid.ticks:
        return ()
    horizons_s = [round(horizon_s) for horizon_s in seen.horizons_s]
    step_s, least_s = seen.grid.step_s, seen.least_s[-1] if seen.least_s else None
    order = sorted(range(len(seen.grid.names)), key=lambda place: _order(seen.grid.names[place], indices))
    return tuple(
        ForeseenRow(
            place,
            name,
            _shown(name, indices) if seen.subject.by is By.SERIES else plain(name, 60),
            unit_of(seen.unit),
            seen.latest(place),
            {horizon_s: seen.forecasts.band(place, at) for at, horizon_s in enumerate(horizons_s)},
            tuple(dict.fromkeys(model for model in seen.forecasts.models[place] if model)),
            round(seen.known_s(place) / step_s),
            None if least_s is None else round(least_s / step_s),
            tuple(scores.get(name, ())),
        )
        for place, name in ((place, seen.grid.names[place]) for place in order)
    )


def _order(name: str, indices: Mapping[str, int]) -> tuple[str, float, str]:
    node, _, device = name.partition("/")
    return node, indices.get(device, math.inf), name


def _shown(name: str, indices: Mapping[str, int]) -> str:
    node, _, device = name.partition("/")
    if not device:
        return plain(node, 60)
    index = indices.get(device)
    return f"{plain(node, 40)} {plain(device, 48) if index is None else f'GPU {index}'}"


def too_little(row: ForeseenRow) -> str | None:
    """How much of the past is missing; None where enough is known."""
    if row.ticks == 0:
        return "nothing is known of it"
    if row.least is None or row.ticks >= row.least:
        return None
    return f"{row.ticks} of {row.least} steps are known"


def band_text(band: Band, unit: Unit) -> str:
    """`71-80`, from the lower to the upper edge; each with its unit where that is not the one of the median."""
    (_, suffix), *edges = (_parted(value, unit) for value in (band.median, band.low, band.high))
    shown = [number if own == suffix else f"{number} {own}" for number, own in edges]
    return "-".join(shown)


def _parted(value: float, unit: Unit) -> tuple[str, str]:
    number, _, suffix = amount(value, unit).partition(" ")
    return number, suffix


def _band_cell(horizon_s: int) -> Callable[[ForeseenRow, Moment, int], Cell]:
    def draw(row: ForeseenRow, _: Moment, width: int) -> Cell:
        band = row.bands.get(horizon_s)
        if band is None:
            return cell("n/a".rjust(width), Role.DIM)
        edges = band_text(band, row.unit)
        # Where there is room, medians stand below each other.
        edges = edges.ljust(_EDGES) if width >= _MOST_BAND else edges
        whole: Cell = (Span(amount(band.median, row.unit), Role.NAME), Span(f" {edges}", Role.DIM))
        shown = whole if width_of(whole) <= width else whole[:1]
        return (Span(" " * max(0, width - width_of(shown))), *shown)

    return draw


def _edge(horizon_s: int, edge: str) -> Callable[[ForeseenRow, Moment], Value]:
    def value(row: ForeseenRow, _: Moment) -> Value:
        band = row.bands.get(horizon_s)
        found: float | None = None if band is None else getattr(band, edge)
        return found

    return value


def _of_horizon(horizon_s: int) -> tuple[Field[ForeseenRow], ...]:
    name = f"in{span(horizon_s)}"
    return (
        Field(
            name,
            f"IN {span(horizon_s)}",
            f"what is expected in {span(horizon_s)}, and where 90 of 100 values are expected",
            _edge(horizon_s, "median"),
            Unit.COUNT,
            draw=_band_cell(horizon_s),
            reason=too_little,
            least=_LEAST_BAND,
            most=_MOST_BAND,
            priority=3,
            descends=True,
        ),
        Field(
            f"{name}-low",
            f"{span(horizon_s)} LOW",
            "the lower edge of that",
            _edge(horizon_s, "low"),
            Unit.COUNT,
            shown=False,
        ),
        Field(
            f"{name}-high",
            f"{span(horizon_s)} HIGH",
            "the upper edge of that",
            _edge(horizon_s, "high"),
            Unit.COUNT,
            shown=False,
        ),
    )


def _now_cell(row: ForeseenRow, _: Moment, width: int) -> Cell:
    return cell("n/a".rjust(width), Role.DIM) if row.latest is None else cell(amount(row.latest, row.unit).rjust(width))


def _error_cell(row: ForeseenRow, _: Moment, width: int) -> Cell:
    score = row.score
    if score is None:
        return cell("none yet".rjust(width), Role.DIM)
    return cell(f"{amount(score.error, row.unit)} in {span(score.horizon_s)}".rjust(width))


FORESEEN: Listing[ForeseenRow] = Listing(
    "forecast",
    (
        Field("series", "SERIES", "what it is of", lambda row, _: row.shown, least=13, most=28, priority=0),
        Field(
            "now",
            "NOW",
            "its latest value",
            lambda row, _: row.latest,
            Unit.COUNT,
            draw=_now_cell,
            least=8,
            most=9,
            priority=1,
            descends=True,
        ),
        *(field for horizon_s in HORIZONS_S for field in _of_horizon(horizon_s)),
        Field(
            "error",
            "PAST ERROR",
            "by how much forecasts were off, in the mean",
            lambda row, _: None if row.score is None else row.score.error,
            Unit.COUNT,
            draw=_error_cell,
            least=10,
            most=16,
            priority=4,
            descends=True,
        ),
        Field("model", "MODEL", "the models that told of it", lambda row, _: row.models, least=8, most=20, priority=6),
        Field(
            "known", "STEPS", "so many steps of the past are known", lambda row, _: row.ticks, Unit.COUNT, priority=7
        ),
        Field("unit", "UNIT", "of its numbers", lambda row, _: row.unit.value, shown=False),
        Field("name", "NAME", "as it is stored", lambda row, _: plain(row.name), least=12, most=60, shown=False),
    ),
    key=lambda row: row.name,
    absent="",
)
"""What is expected, by node and device."""


def _seconds(told: Callable[[ClassRunTime], float | None]) -> Callable[[ClassRunTime, Moment, int], Cell]:
    def draw(row: ClassRunTime, _: Moment, width: int) -> Cell:
        seconds = told(row)
        text = f"> {age_text(row.run_time.longest_s)}" if seconds is None else age_text(seconds)
        return cell(text.rjust(width), Role.DIM if seconds is None else Role.PLAIN)

    return draw


def _run_time(name: str, title: str, what: str, told: Callable[[ClassRunTime], float | None]) -> Field[ClassRunTime]:
    return Field(
        name,
        title,
        what,
        lambda row, _: told(row),
        Unit.SECONDS,
        draw=_seconds(told),
        reason=lambda _: "longer than can be told from what was seen",
        least=6,
        most=8,
        priority=3,
        descends=True,
    )


def _runs(name: str, what: str, told: Callable[[ClassRunTime], int]) -> Field[ClassRunTime]:
    return Field(
        name, name.upper(), what, lambda row, _: told(row), Unit.COUNT, least=5, most=6, priority=5, descends=True
    )


RUN_TIMES: Listing[ClassRunTime] = Listing(
    "run-times",
    (
        Field("owner", "OWNER", "whose work", lambda row, _: plain(row.user, 40), least=8, most=20, priority=1),
        Field(
            "work",
            "WORK",
            "its name without a number",
            lambda row, _: plain(row.label, 60),
            least=10,
            most=30,
            priority=0,
        ),
        _runs("gpus", "GPUs that it asks for", lambda row: row.gpus),
        _run_time("low", "5 %", "5 of 100 runs take no longer", lambda row: row.run_time.low),
        _run_time("median", "MEDIAN", "half of the runs take no longer", lambda row: row.run_time.median),
        _run_time("high", "95 %", "95 of 100 runs take no longer", lambda row: row.run_time.high),
        _runs("ended", "runs that came to their end", lambda row: row.run_time.ended),
        _runs("open", "runs that are not over, or were ended by somebody", lambda row: row.run_time.open),
        _runs("alike", "runs of any class that came to their end", lambda row: row.run_time.alike),
    ),
    key=lambda row: f"{row.user}/{row.label}/{row.gpus}",
    absent="no work came to its end yet: nothing can be told of how long it runs",
)
"""How long work runs, by owner, name and number of GPUs."""
