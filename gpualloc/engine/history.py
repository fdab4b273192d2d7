"""Read back what was remembered."""

from __future__ import annotations

import difflib

from gpualloc.engine.context import Context
from gpualloc.engine.observe import check_names
from gpualloc.errors import NotFoundError
from gpualloc.model.sample import METRICS, Series


def history(
    ctx: Context, metric: str, since_s: float, *, node: str | None = None, device: str | None = None
) -> tuple[Series, ...]:
    """Series of one metric over the last `since_s` seconds, sorted by node and key.

    Raises:
        NotFoundError: no such metric, or nothing was sampled of a node that is not in the fleet; names the nearest.
    """
    if metric not in METRICS:
        near = difflib.get_close_matches(metric, METRICS, n=1)
        raise NotFoundError(
            f"there is no metric {metric!r}",
            hint=f"did you mean {near[0]}?" if near else "the metrics are: " + ", ".join(METRICS),
        )
    now_s = ctx.clock.now_s()
    found = list(ctx.history.read(METRICS[metric], now_s - since_s, now_s + 1, node=node, key=device))
    if not found and node is not None:
        check_names(ctx, [node])
    return tuple(sorted(found, key=lambda series: (series.key.node, series.key.kind.value, series.key.key)))
