"""What reading the nodes costs them, by group of readings."""

from __future__ import annotations

from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe
from gpualloc.errors import GpuallocError, UnreachableError
from gpualloc.model.readings import NodeCost

_LOOKS = 3
"""How often nodes are looked at first: what was read once only tells how the start was."""


def reading_costs(ctx: Context) -> tuple[tuple[NodeCost, ...], tuple[GpuallocError, ...]]:
    """What reading each node costs at the configured sampling period, and what went wrong with nodes.

    Raises:
        UnreachableError: no node answered.
    """
    snapshot = observe(ctx)
    reached = [node.name for node in snapshot.reached]
    for _ in range(_LOOKS - 1):
        for _node in ctx.fleet.observe(reached):
            pass
    found, errors = [], []
    for name in reached:
        try:
            groups = sorted(ctx.fleet.cost(name), key=lambda group: (-group.mean_s, group.group))
            found.append(NodeCost(name, tuple(groups), ctx.settings.sample_every_s, _LOOKS))
        except UnreachableError as error:
            errors.append(error)
    return tuple(found), tuple(errors)
