"""The form of `gpualloc forecast` that looks ahead at series of our own, and scores what was forecast before."""

from __future__ import annotations

from dataclasses import dataclass

from gpualloc.cli.outcome import Answer
from gpualloc.engine.context import Context
from gpualloc.engine.foresee import foresee, remember
from gpualloc.engine.observe import check_names
from gpualloc.engine.run_times import run_times_by_class
from gpualloc.engine.score import score
from gpualloc.errors import StateError, UsageError
from gpualloc.model.foresight import DEMAND, RUN_TIME, By
from gpualloc.model.units import parse_duration_s
from gpualloc.views.foresight import foresight_data, foresight_text
from gpualloc.views.run_times import run_times_data, run_times_text
from gpualloc.views.score import score_data, score_text

_STEPS_S = (300, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400)
"""Horizons that are told on the way to the longest one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options ask for; None was not given."""

    metric: str | None = None
    by: str | None = None
    pool: str | None = None
    node: str | None = None
    device: str | None = None
    horizon: str = "6h"


def live(world: Context, asked: Asked) -> Answer:
    """Look ahead, and keep what was forecast.

    Raises:
        NotFoundError: no such metric, pool or node.
        UsageError: options that do not go together.
    """
    what = asked.metric or DEMAND
    if what == RUN_TIME:
        return _run_times(world, asked)
    seen = foresee(
        world,
        what,
        horizons_to(parse_duration_s(asked.horizon)),
        by=_by(asked.by),
        pool=asked.pool,
        node=asked.node,
        device=asked.device,
    )
    if not seen.grid.names and asked.node is not None:
        check_names(world, [asked.node])
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


def scored(world: Context, metric: str | None) -> Answer:
    """Compare what was forecast with what came."""
    found, simulated = score(world, metric), world.simulated
    return Answer(
        score_data(found, simulated=simulated),
        lambda look: score_text(found, look, simulated=simulated),
    )


def horizons_to(longest_s: float) -> list[float]:
    """The usual horizons up to the longest, and that one."""
    return [*(float(step_s) for step_s in _STEPS_S if step_s < longest_s), longest_s]


def _run_times(world: Context, asked: Asked) -> Answer:
    if asked.by or asked.pool or asked.node or asked.device:
        raise UsageError(f"{RUN_TIME} is told by owner, name and number of GPUs", hint="leave the other options out")
    classes, simulated = run_times_by_class(world), world.simulated
    return Answer(
        run_times_data(classes, simulated=simulated),
        lambda look: run_times_text(classes, look, simulated=simulated),
    )


def _by(text: str | None) -> By | None:
    if text is None:
        return None
    choices = [by.value for by in By if by is not By.SERIES]
    if text not in choices:
        raise UsageError(f"--by {text!r} is not known", hint=f"it takes {', '.join(choices)}")
    return By(text)
