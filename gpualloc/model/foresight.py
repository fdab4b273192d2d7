"""Which series of our own are looked ahead at, what was forecast of them, and how well that turned out."""

from __future__ import annotations

import math
from enum import StrEnum

from msgspec import Struct

from gpualloc.model.forecast import Band, Forecasts, Grid

DEMAND = "demand"
"""GPUs held by work and GPUs asked for by work that waits."""
ARRIVALS = "arrivals"
"""Requests submitted in one step of a grid."""
RUN_TIME = "run-time"
"""How long work runs; not a series, but told by the same verb."""
CHOSEN = "chosen"
"""Stands for whichever model was chosen at the time."""
ANY_POOL = "*"
"""Stands for the pool of work that could be in several, or that was on nodes which are in none any more."""


class By(StrEnum):
    """What the series of a subject are told apart by."""

    SERIES = "series"
    """Sampled readings: each device, or whatever they are of."""
    POOL = "pool"
    TENANT = "tenant"
    """The account that owns the work."""
    PROFILE = "profile"
    """MIG profile; for other work how devices are shared."""
    ALL = "all"
    """One series of everything."""


class Subject(Struct, frozen=True, order=True):
    """What is looked ahead at."""

    what: str
    """Name of a metric that is kept, `DEMAND` or `ARRIVALS`."""
    by: By
    pool: str = ""
    """Only what belongs to this pool; empty: to any."""


class Steps(Struct, frozen=True):
    """The steps that means are taken over."""

    since_s: int
    """Where the first begins, a multiple of `step_s`."""
    step_s: int
    count: int

    @property
    def until_s(self) -> int:
        """Where the last one ends."""
        return self.since_s + self.count * self.step_s


class Foresight(Struct, frozen=True):
    """What series were, and what they are expected to become."""

    subject: Subject
    unit: str
    grid: Grid
    forecasts: Forecasts
    age_s: float | None
    """Seconds since the fleet was last sampled: what happened after is not in it, but for submissions. None: never."""
    forecaster: str
    """Name and version."""
    least_s: tuple[float | None, ...] = ()
    """By horizon: how much of the past the forecaster needs, without gaps; None, or empty: it does not say."""

    @property
    def horizons_s(self) -> tuple[float, ...]:
        """Seconds after the last tick, ascending."""
        return tuple(horizon * self.grid.step_s for horizon in self.forecasts.horizons)

    def latest(self, series: int) -> float | None:
        """The value of the series at that place at the last tick; None is unknown."""
        if not self.grid.ticks:
            return None
        value = self.grid.values[(series + 1) * self.grid.ticks - 1]
        return None if math.isnan(value) else value

    def known_s(self, series: int) -> float:
        """How far back the series at that place is known, gaps or not, in seconds before the last tick."""
        row = self.grid.values[series * self.grid.ticks : (series + 1) * self.grid.ticks]
        first = next((tick for tick, value in enumerate(row) if not math.isnan(value)), None)
        return 0.0 if first is None else (self.grid.ticks - first) * self.grid.step_s


class KeptForecast(Struct, frozen=True):
    """What was once forecast of one series at one horizon."""

    subject: Subject
    series: str
    """Name of the series in its grid."""
    made_at_s: int
    """Epoch second of the last tick that was known then."""
    step_s: int
    """Seconds between the ticks."""
    horizon_s: int
    """Seconds from then to what was forecast."""
    model: str
    band: Band
    last: float | None
    """The value of the last tick then, which is what the naive row forecasts; None was unknown."""

    @property
    def due_s(self) -> int:
        """Epoch second of what was forecast."""
        return self.made_at_s + self.horizon_s


class Score(Struct, frozen=True):
    """How well the forecasts of one subject, horizon and model turned out, in the unit of the subject."""

    subject: Subject
    horizon_s: int
    """0 of run times, which are told of a whole run."""
    model: str
    """`CHOSEN` is all of them together."""
    count: int
    """Forecasts that could be compared with what came."""
    series: int
    """Of how many series they are."""
    error: float
    """Mean distance between the median and what came."""
    last_error: float | None
    """The same for the last value, where that was known; None: it never was."""
    ratio: float | None
    """`error` over `last_error`, on the forecasts that both are known of; below 1 the model is nearer. None: not to
    be told, or the last value was always right."""
    pinball: float
    """Mean pinball loss over the three quantiles."""
    covered: float
    """Part of what came that lay inside the band, 0..1; 0.9 is right."""


class Scored(Struct, frozen=True):
    """What can be said of the forecasts that were kept."""

    scores: tuple[Score, ...]
    """By subject, horizon and model."""
    kept: int
    """Forecasts that were looked at."""
    early: int
    """Of these, whose time has not come, or was not looked at since."""
    unknown: int
    """Of these, whose time has come, and nobody knows what was then."""
