"""The whole fleet in one text: what the dashboard shows, where there is no terminal to draw it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpualloc.model.health import Condition
from gpualloc.model.inventory import Snapshot
from gpualloc.model.progress import Progress
from gpualloc.model.workload import Workload
from gpualloc.views.events import Indices
from gpualloc.views.health import health_text, summary_text
from gpualloc.views.look import Look, Role
from gpualloc.views.nodes import nodes_text
from gpualloc.views.workloads import workloads_text

MAX_CONDITIONS = 5
"""So much of what is wrong is told; `gpualloc health` tells all of it."""


def top_text(
    snapshot: Snapshot,
    workloads: Sequence[Workload],
    look: Look,
    *,
    progress: Mapping[str, Progress],
    conditions: Sequence[Condition],
    indices: Indices,
    recent: int,
    simulated: bool,
) -> str:
    """Nodes with their devices, workloads, and what is wrong.

    Args:
        snapshot: what was seen.
        workloads: those that wait, run, or ended not long ago.
        look: the terminal it is made for.
        progress: how far work says it is, by workload id.
        conditions: what is wrong, worst first.
        indices: index of each device, by UUID.
        recent: how many events of severity error or worse began in the last day.
        simulated: whether it is a simulated world; said once, above everything.
    """
    banner = [look.paint("SIMULATED: nothing here is real", Role.WARN)] if simulated else []
    unreached = len(snapshot.nodes) - len(snapshot.reached)
    summary = summary_text(conditions, len(snapshot.nodes), unreached, recent)
    left = len(conditions) - MAX_CONDITIONS
    wrong = health_text(
        conditions[:MAX_CONDITIONS],
        f"and {left} more (`gpualloc health`)\n{summary}" if left > 0 else summary,
        indices,
        look,
        now_s=snapshot.at_s,
        simulated=False,
    )
    parts = [
        *banner,
        nodes_text(snapshot, workloads, look),
        workloads_text(workloads, snapshot.at_s, look, progress, simulated=False),
        wrong,
    ]
    return "\n\n".join(parts)
