"""A request that was taken in, and who will start it."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.workload import Workload
from gpualloc.views.text import duration, escape
from gpualloc.views.workloads import request_text


def starter_text(kind: str, last_rebalance_s: float | None) -> str:
    """Who will start waiting work, as a sentence.

    Args:
        kind: `watch`, `cron` or `nobody`.
        last_rebalance_s: seconds since rebalance last ran; None when never.
    """
    last = "rebalance never ran" if last_rebalance_s is None else f"last rebalance {duration(last_rebalance_s)} ago"
    if kind == "watch":
        return "a running `gpualloc rebalance --watch` will start it"
    if kind == "cron":
        return f"the next `gpualloc rebalance` will start it ({last})"
    return f"nobody will start it by itself ({last}); `gpualloc apply` or `gpualloc rebalance` does"


def submission_data(
    workload: Workload, starter: str, starter_sentence: str, unseen: Sequence[str], *, simulated: bool
) -> dict[str, object]:
    """`data` of `submit --json`."""
    return {
        "id": workload.id,
        "name": workload.name,
        "state": workload.state.value,
        "simulated": simulated,
        "starter": starter,
        "starter_text": starter_sentence,
        "unseen": list(unseen),
    }


def submission_text(workload: Workload, *, simulated: bool) -> str:
    """What was taken in, in one line."""
    said = " (simulated)" if simulated else ""
    return f'{workload.id} "{escape(workload.name)}"{said} waits for {request_text(workload.request)}'
