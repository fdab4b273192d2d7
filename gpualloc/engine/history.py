"""Read back what was remembered."""

from __future__ import annotations

import difflib

from gpualloc.engine.context import Context
from gpualloc.errors import NotFoundError
from gpualloc.model.sample import METRICS, Series


def history(
    ctx: Context, metric: str, since_s: float, *, node: str | None = None, device: str | None = None
) -> tuple[Series, ...]:
    """Series of one metric over the last `since_s` seconds, sorted by node and key.

    Raises:
        NotFoundError: no such metric; names the nearest.
    """
    if metric not in METRICS:
        near = difflib.get_close_matches(metric, METRICS, n=1)
        raise NotFoundError(
            f"there is no metric {metric!r}",
            hint=f"did you mean {near[0]}?" if near else "the metrics are: " + ", ".join(METRICS),
        )
    now_s = ctx.clock.now_s()
    found = ctx.history.read(METRICS[metric], now_s - since_s, now_s + 1, node=node, key=device)
    return tuple(sorted(found, key=lambda series: (series.key.node, series.key.kind.value, series.key.key)))
