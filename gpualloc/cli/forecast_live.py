"""The form of `gpualloc forecast` that looks ahead at series of our own, and scores what was forecast before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from gpualloc.cli.outcome import Answer
from gpualloc.engine.foresee import foresee, remember
from gpualloc.engine.observe import check_names
from gpualloc.engine.run_times import run_times_by_class, score_run_times
from gpualloc.engine.score import score
from gpualloc.engine.serial import NoForecaster
from gpualloc.errors import StateError, UsageError
from gpualloc.model.foresight import DEMAND, RUN_TIME, By, Foresight, Scored
from gpualloc.model.units import parse_duration_s
from gpualloc.views.foresight import foresight_data, foresight_text
from gpualloc.views.run_times import run_times_data, run_times_text
from gpualloc.views.score import score_data, score_text

if TYPE_CHECKING:
    from gpualloc.engine.context import Context
    from gpualloc.model.forecast import Grid
    from gpualloc.ports import Forecaster

_STEPS_S = (300, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400)
"""Horizons that are told on the way to the longest one."""


class Asked(Struct, frozen=True):
    """What the options ask for; None was not given."""

    metric: str | None = None
    by: str | None = None
    pool: str | None = None
    node: str | None = None
    device: str | None = None
    horizon: str = "6h"
    model: str | None = None
    """Name of a forecaster in place of the one that is configured."""


def live(world: Context, asked: Asked) -> Answer:
    """Look ahead, and keep what was forecast.

    Raises:
        NotFoundError: no such metric, pool, node or forecaster.
        UsageError: options that do not go together.
    """
    what = asked.metric or DEMAND
    if what == RUN_TIME:
        return _run_times(world, asked)
    seen = _foreseen(world, what, asked, _forecaster(asked.model))
    simulated, messages = world.simulated, []
    try:
        remember(world, seen)
    except StateError as error:
        messages.append(f"the forecast is not kept to be scored: {error.message}")
    return Answer(
        foresight_data(seen, simulated=simulated),
        lambda look: foresight_text(seen, look, simulated=simulated),
        messages=tuple(messages),
    )


def recorded(world: Context, asked: Asked) -> Grid:
    """The past of what is asked for, for a back-test.

    Raises:
        NotFoundError: as `live`.
        UsageError: as `live`, or nothing of it is recorded.
    """
    what = asked.metric or DEMAND
    if what == RUN_TIME:
        raise UsageError(
            f"{RUN_TIME} is no series that a back-test could be made of", hint="--score tells how good it is"
        )
    grid = _foreseen(world, what, asked, NoForecaster()).grid
    if not grid.names or not grid.ticks:
        raise UsageError(f"nothing of {what} is recorded yet", hint="`gpualloc forecast` tells what records it")
    return grid


def scored(world: Context, asked: Asked) -> Answer:
    """Compare what was forecast with what came; of run times, what would have been told.

    Raises:
        UsageError: an option but `--metric` was given.
    """
    if asked != Asked(asked.metric, horizon=asked.horizon):
        raise UsageError("--score takes --metric, and no other option")
    what = asked.metric
    found = Scored(score_run_times(world), 0, 0, 0) if what == RUN_TIME else score(world, what)
    simulated = world.simulated
    return Answer(
        score_data(found, simulated=simulated),
        lambda look: score_text(found, look, simulated=simulated),
    )


def horizons_to(longest_s: float) -> list[float]:
    """The usual horizons up to the longest, and that one."""
    return [*(float(step_s) for step_s in _STEPS_S if step_s < longest_s), longest_s]


def _foreseen(world: Context, what: str, asked: Asked, forecaster: Forecaster | None) -> Foresight:
    seen = foresee(
        world,
        what,
        horizons_to(parse_duration_s(asked.horizon)),
        by=_by(asked.by),
        pool=asked.pool,
        node=asked.node,
        device=asked.device,
        forecaster=forecaster,
    )
    if not seen.grid.names and asked.node is not None:
        check_names(world, [asked.node])
    return seen


def _run_times(world: Context, asked: Asked) -> Answer:
    if asked.by or asked.pool or asked.node or asked.device or asked.model:
        raise UsageError(f"{RUN_TIME} is told by owner, name and number of GPUs", hint="leave the other options out")
    classes, simulated = run_times_by_class(world), world.simulated
    return Answer(
        run_times_data(classes, simulated=simulated),
        lambda look: run_times_text(classes, look, simulated=simulated),
    )


def _forecaster(name: str | None) -> Forecaster | None:
    if name is None:
        return None
    from gpualloc.forecast.registry import load

    return load(name)


def _by(text: str | None) -> By | None:
    if text is None:
        return None
    choices = [by.value for by in By if by is not By.SERIES]
    if text not in choices:
        raise UsageError(f"--by {text!r} is not known", hint=f"it takes {', '.join(choices)}")
    return By(text)
