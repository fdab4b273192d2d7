"""How much of the GPUs is allocated at each load: the axis on which packing results are published.

The load of an event (an arrival, placed or not) is the GPU demand that has arrived with it, in percent of the cluster's
GPUs, rounded to the nearest whole percent, halves to the even one: with halves up, 23 of the 7,800 published values
that depend on no policy would not come out within 0.01. The value at a load is the mean, over its events, of the
compute allocated right after each of them. All sums are of whole numbers, so that equal runs have equal figures.
"""

from __future__ import annotations

from collections import Counter

REPORTED_PCT = (90, 95, 100, 110, 130)
"""Loads at which the unallocated part is reported."""


class Curve:
    """Collects the events of a run; memory grows with the loads seen, not with events.

    Args:
        capacity_milli: compute of all GPUs of the cluster, in 1/1000 of a GPU; above 0.

    Raises:
        ValueError: the capacity is not above 0.
    """

    def __init__(self, capacity_milli: int) -> None:
        if capacity_milli <= 0:
            raise ValueError(f"a cluster of {capacity_milli} milli has no curve")
        self._capacity_milli = capacity_milli
        self._events: Counter[int] = Counter()
        self._allocated_milli: Counter[int] = Counter()

    def add(self, arrived_milli: int, allocated_milli: int) -> None:
        """Note an event.

        Args:
            arrived_milli: GPU demand arrived so far, this event's included.
            allocated_milli: compute allocated now.
        """
        load_pct, rest = divmod(100 * arrived_milli, self._capacity_milli)
        if 2 * rest + load_pct % 2 > self._capacity_milli:
            load_pct += 1
        self._events[load_pct] += 1
        self._allocated_milli[load_pct] += allocated_milli

    @property
    def loads_pct(self) -> tuple[int, ...]:
        """The loads that have events, ascending."""
        return tuple(sorted(self._events))

    def allocated_pct(self, load_pct: int) -> float | None:
        """Mean allocated part of all GPUs at that load, 0..100; None when no event has it."""
        events = self._events[load_pct]
        return 100 * self._allocated_milli[load_pct] / (events * self._capacity_milli) if events else None

    def unallocated_pct(self, load_pct: int) -> float | None:
        """100 less the allocated part; None when no event has that load."""
        allocated_pct = self.allocated_pct(load_pct)
        return None if allocated_pct is None else 100 - allocated_pct

    def report(self) -> dict[str, float | None]:
        """The unallocated part at each of `REPORTED_PCT`, by the load as text; None where the run never was."""
        return {str(load_pct): self.unallocated_pct(load_pct) for load_pct in REPORTED_PCT}
