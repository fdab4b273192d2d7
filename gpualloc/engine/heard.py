"""What nodes tell of themselves, gathered into ticks: for those who pass it on rather than decide by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.model.inventory import Node
from gpualloc.ports import WatchFigures

_SLICE_S = 0.2
"""Longest wait for the next node; how late a stop is noticed."""


class Tick(Struct, frozen=True):
    """The fleet as it was heard of at the end of a period."""

    at_s: float
    """By the clock of the nodes' world, epoch seconds."""
    nodes: tuple[Node, ...]
    """The newest of each node that ever told something, sorted by name."""
    told: tuple[Node, ...]
    """Those of them that told something since the tick before."""
    figures: WatchFigures


def ticks(
    ctx: Context,
    every_s: float,
    stopped: Callable[[], bool],
    names: Sequence[str] | None = None,
    *,
    first_s: float = 0.0,
) -> Iterator[Tick]:
    """Watch the nodes, and yield each period; the first as soon as every node told something.

    Args:
        ctx: the ports.
        every_s: the period by the clock of the nodes' world, seconds.
        stopped: asked several times a second; once True, it ends.
        names: node names; None is every node.
        first_s: for how long the first tick waits for nodes that told nothing yet, when that is longer than a period.

    Raises:
        NotFoundError: a name is not that of a configured node.
    """
    awaited = set(names if names is not None else (spec.name for spec in ctx.fleet.specs()))
    newest: dict[str, Node] = {}
    told: dict[str, Node] = {}
    longest_s = max(every_s, first_s)
    due_s = ctx.clock.now_s() + longest_s
    with closing(ctx.fleet.watch(every_s, names)) as watch:
        while not stopped():
            told.update((node.name, node) for node in watch.hear(_SLICE_S))
            now_s = ctx.clock.now_s()
            complete = bool(awaited) and awaited <= told.keys()
            # A clock that was set back would let the next tick wait for as long.
            if now_s < due_s <= now_s + longest_s and not complete:
                continue
            newest |= told
            yield Tick(now_s, tuple(newest[name] for name in sorted(newest)), tuple(told.values()), watch.figures())
            told, awaited, longest_s = {}, set(), every_s
            # Ticks keep to their grid; those that were missed are not made up for.
            due_s = due_s + every_s * ((now_s - due_s) // every_s + 1) if now_s >= due_s else now_s + every_s
