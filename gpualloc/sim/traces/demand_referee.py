"""Checks a plan over time against the demand: plain sums over what is where. It shares nothing with the policies."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.sim.traces.demand import Demand

_TOLD = 5
_TINY = 1e-6
"""What sums may be beyond a limit, in GPUs or GiB."""


class Verdict(Struct, frozen=True, eq=False):
    """What a plan comes to."""

    on: NDArray[np.int64]
    """(T,) GPUs that something is on, or that are kept for it."""
    gpu_hours: float
    """Of these GPUs; NaN when the demand has a single time."""
    moves: int
    """Items that are on another GPU than just before, while they were there."""
    overload_ratio: float
    """Part of the compute asked for that lies beyond what the GPUs have, 0..1."""
    overload_time_ratio: float
    """Part of the time of GPUs that are on in which more is asked for than they have, 0..1."""
    violations: tuple[str, ...]
    """The first few cases of more memory on a GPU than it has, or of an item without a GPU."""

    @property
    def needed(self) -> int:
        """GPUs that are on at once, at most."""
        return int(self.on.max())


def check_plan(demand: Demand, place: NDArray[np.int64], gpu_memory_gib: float) -> Verdict:
    """Measure a plan and look for what is wrong with it.

    Args:
        demand: what came.
        place: (I, T) number of the GPU of each item, from 0, or -1; one that is told for an item that is not there is
            kept for it.
        gpu_memory_gib: memory of each GPU. What an item needs is the most that it ever holds.
    """
    gpus = int(place.max(initial=0)) + 1
    memory = np.nanmax(demand.memory, axis=1)
    compute = np.where(np.isnan(demand.compute), np.nanmax(demand.compute, axis=1)[:, None], demand.compute)
    hours = np.where(np.isnan(demand.lasts_s), 1.0, demand.lasts_s) / 3600
    on = np.zeros(len(hours), np.int64)
    beyond = asked = over_hours = on_hours = 0.0
    wrong: list[str] = []
    for interval, lasts in enumerate(hours.tolist()):
        alive, there = demand.alive[:, interval], place[:, interval]
        placed = alive & (there >= 0)
        wrong += [
            f"{demand.items[item]} has no GPU at {_at(demand, interval)}" for item in np.flatnonzero(alive & ~placed)
        ]
        used = np.bincount(there[placed], weights=compute[placed, interval], minlength=gpus)
        held = np.bincount(there[there >= 0], weights=memory[there >= 0], minlength=gpus)
        kept = np.bincount(there[there >= 0], minlength=gpus) > 0
        wrong += [
            f"GPU {gpu} has {held[gpu]:g} GiB on it at {_at(demand, interval)}"
            for gpu in np.flatnonzero(held > gpu_memory_gib + _TINY)
        ]
        excess = np.maximum(used - 1.0, 0.0)
        on[interval] = kept.sum()
        beyond += lasts * float(excess.sum())
        asked += lasts * float(used.sum())
        over_hours += lasts * int((excess > _TINY).sum())
        on_hours += lasts * int(on[interval])
        del wrong[_TOLD:]
    return Verdict(
        on=on,
        gpu_hours=on_hours if not np.isnan(demand.lasts_s).any() else float("nan"),
        moves=_moves(demand, place),
        overload_ratio=beyond / asked if beyond > _TINY * asked else 0.0,
        overload_time_ratio=over_hours / on_hours if on_hours else 0.0,
        violations=tuple(wrong),
    )


def _moves(demand: Demand, place: NDArray[np.int64]) -> int:
    there = demand.alive[:, 1:] & demand.alive[:, :-1]
    return int((there & (place[:, 1:] != place[:, :-1])).sum())


def _at(demand: Demand, interval: int) -> str:
    return f"{demand.times_s[interval]:g} s"
