"""How many devices small use would have needed, if it had been put together. Pure.

A block of time is looked at by itself: who was on a device in it is one item, with the most compute and GPU memory that
it used in the block. Items are put together one after another as far as they fit; a device with several of them counts
while at least one of them is there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from msgspec import Struct

from gpualloc.engine.assess_rows import HOUR_S, IDLE, UNKNOWN, USED, Row, Ticks
from gpualloc.model.assessment import HolderKind

CAUTIOUS_H, HOPEFUL_H = 4, 1
"""Hours of a block: over longer ones peaks are higher, and work is moved less often."""
CAUTIOUS_USE, HOPEFUL_USE = 0.7, 1.0
"""Sum of the peaks of compute that a device may have."""
MEMORY_RATIO = 0.9
"""Sum of the peaks of memory that a device may have, as a part of what it has."""


class Item(Struct, frozen=True):
    """What was on one device in one block."""

    device: str
    held: int
    """A bit for each tick of the block in which it was there."""
    use: float
    """Most compute, 0..1."""
    memory: float
    """Most GPU memory, as a part of the device's."""


class Freed(Struct, frozen=True):
    """Ticks of devices that would not have been needed in a block."""

    block: range
    ticks: int
    price: float | None
    """Of a device of the group."""


def freed(rows: Sequence[Row], ticks: Ticks, *, cautious: bool) -> Iterator[Freed]:
    """What sharing would have freed, block by block.

    Cautious: on its own node, for 4 hours at least, with some compute left, and only what was seen: nobody knows of the
    rest whether it has several devices. Hopeful: anywhere in its pool on a device of its model, for an hour, up to the
    brim. What has several devices at once stays alone, and so does what is not known all the time.

    Args:
        rows: devices, settled; those in MIG mode have no readings and stay as they are.
        ticks: the grid.
        cautious: which of the two.
    """
    hours, most_use = (CAUTIOUS_H, CAUTIOUS_USE) if cautious else (HOPEFUL_H, HOPEFUL_USE)
    width = max(1, round(hours * HOUR_S / ticks.step_s))
    groups: defaultdict[tuple[str | None, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[(row.pool, row.model, row.node if cautious else None)].append(row)
    for own in groups.values():
        for first in range(0, ticks.count, width):
            block = range(first, min(ticks.count, first + width))
            items = [item for row in own if (item := _item(row, block)) is not None]
            items = _movable(items, own, block, seen_only=cautious)
            saved = sum(item.held.bit_count() for item in items) - sum(_bins(items, most_use))
            if saved > 0:
                yield Freed(block, saved, min((row.price for row in own if row.price is not None), default=None))


def _item(row: Row, block: range) -> Item | None:
    """What was on it; None when nothing was, or when that is not known well enough to move it."""
    states = row.states[block.start : block.stop]
    if UNKNOWN in states or not row.memory_total_mib:
        return None
    held, use, memory = 0, 0.0, 0.0
    for place, tick in enumerate(block):
        if states[place] in (USED, IDLE):
            if math.isnan(row.memory[tick]):
                return None
            held |= 1 << place
            use, memory = max(use, row.high[tick]), max(memory, row.memory[tick])
    return Item(row.uuid, held, use, memory / row.memory_total_mib) if held else None


def _movable(items: Sequence[Item], rows: Sequence[Row], block: range, *, seen_only: bool) -> list[Item]:
    """Those whose holders have no other device in the block, and were seen if that is asked for."""
    seats: defaultdict[str, set[str]] = defaultdict(set)
    fixed: set[str] = set()
    for row in rows:
        for holder in {holder for tick in block for holder in row.holders[tick]}:
            seats[holder.id].add(row.uuid)
            if seen_only and holder.kind is HolderKind.UNSEEN:
                fixed.add(row.uuid)
    fixed |= {device for devices in seats.values() if len(devices) > 1 for device in devices}
    return [item for item in items if item.device not in fixed]


def _bins(items: Sequence[Item], most_use: float) -> Iterator[int]:
    """How many ticks each device is needed for: those there longest first, each to whom it is together with longest."""
    bins: list[tuple[float, float, int]] = []
    for item in sorted(items, key=lambda item: (-item.held.bit_count(), item.device)):
        fitting = [
            number
            for number, (use, memory, _) in enumerate(bins)
            if use + item.use <= most_use and memory + item.memory <= MEMORY_RATIO
        ]
        best = max(fitting, key=lambda number: ((bins[number][2] & item.held).bit_count(), -number), default=None)
        if best is None:
            bins.append((item.use, item.memory, item.held))
        else:
            use, memory, held = bins[best]
            bins[best] = (use + item.use, memory + item.memory, held | item.held)
    return (held.bit_count() for _, _, held in bins)
