"""What the forecast view asks of the engine, what came of it, and the sentences that go with it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.engine.foresee import foresee
from gpualloc.engine.run_times import run_times_by_class
from gpualloc.engine.score import scores_by_series
from gpualloc.forecast.registry import load
from gpualloc.forecast.run_times import ClassRunTime
from gpualloc.model.foresight import ARRIVALS, DEMAND, RUN_TIME, By, Foresight, Score
from gpualloc.tui.cells import Role
from gpualloc.tui.listings.foreseen import HORIZONS_S, ForeseenRow
from gpualloc.tui.text import age_text, plain

USUAL = (
    DEMAND,
    ARRIVALS,
    RUN_TIME,
    "gpu_utilization_ratio",
    "gpu_memory_used_mib",
    "power_w",
    "temperature_c",
    "cpu_utilization_ratio",
)
"""What `m` goes through; any other metric can be typed."""
BYS = (By.POOL, By.TENANT, By.PROFILE, By.ALL)
"""What `b` goes through."""
REACHES = ((900, 1800, 3600), (3600, 10_800, 21_600), (21_600, 43_200, 86_400))
"""Horizons that have a column, seconds; the last one is how far the chart reaches."""


class Wish(Struct, frozen=True):
    """What is asked for."""

    what: str = DEMAND
    by: By = By.POOL
    """Counts only for demand and arrivals."""
    reach: int = 1
    """Place in `REACHES`."""
    forecaster: str | None = None
    """Name of one in place of the one that is configured."""

    @property
    def has_by(self) -> bool:
        """Whether there is a choice what series are told apart by."""
        return self.what in (DEMAND, ARRIVALS)


class Found(Struct, frozen=True):
    """What came of it."""

    wish: Wish
    seen: Foresight | None = None
    scores: tuple[tuple[str, tuple[Score, ...]], ...] = ()
    """By name of the series."""
    classes: tuple[ClassRunTime, ...] = ()
    """Of run times."""
    problem: str = ""
    """Why there is nothing, safe to draw."""


def look_ahead(ctx: Context, wish: Wish) -> Found:
    """Ask the engine. Blocks; nothing is written, so that the forecasts made here are not scored later.

    Raises:
        GpuallocError: as `foresee`; or there is no such forecaster.
    """
    if wish.what == RUN_TIME:
        return Found(wish, classes=run_times_by_class(ctx))
    longest_s = REACHES[wish.reach][-1]
    seen = foresee(
        ctx,
        wish.what,
        [horizon_s for horizon_s in HORIZONS_S if horizon_s <= longest_s],
        by=wish.by if wish.has_by else None,
        forecaster=None if wish.forecaster is None else load(wish.forecaster),
    )
    return Found(wish, seen, tuple(scores_by_series(ctx, seen.subject).items()))


def remedy(wish: Wish) -> str:
    """How more of the past becomes known."""
    if wish.has_by:
        return "more becomes known as time passes, from the books of what was asked for"
    return "`gpualloc sample --every 10s` keeps what is seen"


def run_time_words(row: ClassRunTime | None) -> list[tuple[str, Role]]:
    """How long such runs take, and from how many that is told; nothing without a row."""
    if row is None:
        return []
    told = row.run_time
    median = f"longer than {age_text(told.longest_s)}" if told.median is None else f"{age_text(told.median)} or less"
    gpus = "1 GPU" if row.gpus == 1 else f"{row.gpus} GPUs"
    few = "; with few of its own it leans on other work" if told.ended < told.alike else ""
    return [
        (f"half of the runs of {plain(row.label, 60)} on {gpus} take {median}", Role.PLAIN),
        (f"from {told.ended} that ended, {told.open} that did not, {told.alike} of any work{few}", Role.DIM),
    ]


def with_indices(note: str, rows: Sequence[ForeseenRow]) -> str:
    """A note with devices as people call them."""
    for row in rows:
        if row.name in note:
            note = note.replace(row.name, row.shown)
    return plain(note, 400)
