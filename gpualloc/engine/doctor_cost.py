"""What reading the nodes costs them, by group of readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe
from gpualloc.errors import GpuallocError, UnreachableError
from gpualloc.model.readings import ReadingCost

_LOOKS = 3
"""How often nodes are looked at first: what was read once only tells how the start was."""


@dataclass(frozen=True, slots=True)
class NodeCost:
    """What reading one node costs it."""

    node: str
    groups: tuple[ReadingCost, ...]
    """The dearest first."""
    every_s: float
    """The sampling period for which `share` tells."""

    def share(self, group: ReadingCost) -> float:
        """Part of one CPU that the group takes at that period."""
        return group.mean_s / max(self.every_s, group.every_s or 0.0)

    @property
    def total(self) -> float:
        """Part of one CPU that all groups take."""
        return sum(self.share(group) for group in self.groups)


def reading_costs(
    ctx: Context, names: Sequence[str] | None = None
) -> tuple[tuple[NodeCost, ...], tuple[GpuallocError, ...]]:
    """What reading each node costs at the configured sampling period, and what went wrong with nodes.

    Raises:
        NotFoundError: a name is not in the fleet.
        UnreachableError: no node answered.
    """
    snapshot = observe(ctx, names)
    reached = [node.name for node in snapshot.reached]
    for _ in range(_LOOKS - 1):
        for _node in ctx.fleet.observe(reached):
            pass
    found, errors = [], []
    for name in reached:
        try:
            groups = sorted(ctx.fleet.cost(name), key=lambda group: (-group.mean_s, group.group))
            found.append(NodeCost(name, tuple(groups), ctx.settings.sample_every_s))
        except UnreachableError as error:
            errors.append(error)
    return tuple(found), tuple(errors)
