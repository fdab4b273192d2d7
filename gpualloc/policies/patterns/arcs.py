"""Every way to fill one GPU, as paths: positions are what is taken so far, an arc adds one item.

A flow over these arcs is a multiset of fill patterns, with a few hundred variables where the patterns themselves
would be thousands (arc flow; Valerio de Carvalho 1999). Items are added from large to small, so that each pattern
is few paths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from gpualloc.model.shapes import GPU_MILLI


class Arcs(Struct, frozen=True):
    """The arcs, one entry of each array per arc."""

    item: npt.NDArray[np.int64]
    """Index of the added item in the sizes."""
    tail: npt.NDArray[np.int64]
    """Position before."""
    head: npt.NDArray[np.int64]
    """Position after, at most the capacity."""


COARSE_MILLI = 10
"""Step in which sizes are counted when their exact one would take too many arcs."""
MOST_ARCS = 4000
"""Arcs beyond which sizes are rounded to the coarse step."""


def step_milli(sizes: Sequence[int], starts: Sequence[int] = (0,)) -> int:
    """The step in which these sizes should be counted: their exact one, or the coarse one when that is too fine.

    Args:
        sizes: compute of parts of a GPU, 1..999 milli, from large to small.
        starts: compute taken before, 0..1000 milli.
    """
    exact = math.gcd(GPU_MILLI, *sizes, *starts)
    if exact >= COARSE_MILLI:
        return exact
    few = len(fill_arcs(sizes, GPU_MILLI, starts).item) <= MOST_ARCS
    return exact if few else COARSE_MILLI


def fill_arcs(sizes: Sequence[int], capacity: int, starts: Sequence[int] = (0,)) -> Arcs:
    """All arcs of the fill patterns.

    Args:
        sizes: of the items, 1 to the capacity, from large to small.
        capacity: what a whole GPU holds, in the unit of the sizes.
        starts: positions where paths begin: 0 for an idle GPU, more for one that is partly taken.
    """
    reached = np.zeros(capacity + 1, dtype=np.bool_)
    reached[list(starts)] = True
    items: list[npt.NDArray[np.int64]] = []
    tails: list[npt.NDArray[np.int64]] = []
    for item, size in enumerate(sizes):
        for position in range(capacity - size + 1):
            reached[position + size] |= reached[position]
        tail = np.flatnonzero(reached[: max(0, capacity - size + 1)])
        items.append(np.full(len(tail), item, dtype=np.int64))
        tails.append(tail)
    added, before = _joined(items), _joined(tails)
    return Arcs(added, before, before + np.asarray(sizes, dtype=np.int64)[added])


def _joined(parts: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
