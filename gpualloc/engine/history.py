"""Read back what was remembered."""

from __future__ import annotations

import difflib

from gpualloc.engine.context import Context
from gpualloc.engine.observe import check_names
from gpualloc.errors import NotFoundError
from gpualloc.model.sample import METRICS, Level, Metric, Rollup, Series


def history(
    ctx: Context, metric: str, since_s: float, *, node: str | None = None, device: str | None = None
) -> tuple[Series, ...]:
    """Series of one metric over the last `since_s` seconds, sorted by node and key.

    Raises:
        NotFoundError: no such metric, or nothing was sampled of a node that is not in the fleet; names the nearest.
    """
    now_s = ctx.clock.now_s()
    found = tuple(ctx.history.read(metric_named(metric), now_s - since_s, now_s + 1, node=node, key=device))
    if not found and node is not None:
        check_names(ctx, [node])
    return found


def rollups(
    ctx: Context, metric: str, level: Level, since_s: float, *, node: str | None = None, device: str | None = None
) -> tuple[Rollup, ...]:
    """Lowest, mean, highest and 95th percentile by minutes or hours over the last `since_s` seconds, sorted as above.

    Raises:
        NotFoundError: as `history`.
        ValueError: the level is that of single samples.
    """
    now_s = ctx.clock.now_s()
    since_s, until_s = now_s - since_s - level.step_s, now_s + 1
    found = tuple(ctx.history.rollups(metric_named(metric), level, since_s, until_s, node=node, key=device))
    if not found and node is not None:
        check_names(ctx, [node])
    return found


def metric_named(name: str) -> Metric:
    """The metric of that name.

    Raises:
        NotFoundError: there is none; names the nearest.
    """
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS, n=1)
    raise NotFoundError(
        f"there is no metric {name!r}",
        hint=f"did you mean {near[0]}?" if near else "the metrics are: " + ", ".join(METRICS),
    )


def forget_old(ctx: Context, now_s: float) -> int:
    """Delete what is older than the settings want it kept; returns samples deleted.

    Raises:
        StateError: the history cannot be written.
    """
    settings = ctx.settings
    return ctx.history.prune(
        now_s - settings.history_retention_s,
        minutes_before_s=now_s - settings.history_minutes_s,
        hours_before_s=now_s - settings.history_hours_s,
    )
