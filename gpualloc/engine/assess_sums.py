"""Where the time of devices went: added up by device, node, holder and along the time line. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from gpualloc.engine.assess_held import Holder
from gpualloc.engine.assess_rows import FREE, IDLE, UNKNOWN, USED, Row, Ticks
from gpualloc.model.assessment import Holding, Ledger, Moment, NodeUse, OwnerUse

MOMENTS = 168
"""Most parts of the time line: the hours of a week."""
_GIB = 1024.0
_KILO = 1000.0


def ledger(row: Row, ticks: Ticks, waited: Sequence[int]) -> Ledger:
    """The time of one device.

    Args:
        row: the device.
        ticks: the grid.
        waited: by tick, whether work waited for GPUs.
    """
    hour, price = ticks.step_h, row.price
    counts = [row.states.count(state) for state in (UNKNOWN, USED, IDLE, FREE)]
    unknown_h, used_h, idle_h, free_h = (count * hour for count in counts)
    energy = dict.fromkeys((UNKNOWN, USED, IDLE, FREE), 0.0)
    waited_h = dict(energy)
    powered = 0
    computed = memory = 0.0
    for tick, state in enumerate(row.states):
        if not math.isnan(row.watts[tick]):
            powered += 1
            energy[state] += row.watts[tick] * hour / _KILO
        if waited[tick]:
            waited_h[state] += hour
        if state != UNKNOWN:
            computed += row.mean[tick] * hour
        if state == IDLE and not math.isnan(row.memory[tick]):
            memory += row.memory[tick] / _GIB * hour
    all_h = ticks.count * hour
    return Ledger(
        used_h=used_h,
        held_idle_h=idle_h,
        free_h=free_h,
        unknown_h=unknown_h,
        computed_h=computed,
        idle_memory_gib_h=memory,
        held_idle_waited_h=waited_h[IDLE],
        free_waited_h=waited_h[FREE],
        energy_kwh=sum(energy.values()),
        held_idle_kwh=energy[IDLE],
        free_kwh=energy[FREE],
        energy_known_h=powered * hour,
        priced_h=0.0 if price is None else all_h,
        cost=(price or 0.0) * all_h,
        held_idle_cost=(price or 0.0) * idle_h,
        free_cost=(price or 0.0) * free_h,
    )


def together(ledgers: Iterable[Ledger]) -> Ledger:
    """Their sum."""
    every = list(ledgers)
    return Ledger(**{name: math.fsum(getattr(one, name) for one in every) for name in Ledger.__struct_fields__})


def moments(rows: Sequence[Row], ticks: Ticks) -> tuple[Moment, ...]:
    """The time line of all devices: at most `MOMENTS` parts of whole ticks, of equal length but for the last."""
    found = []
    for part in _parts(ticks):
        counts = [sum(row.states.count(state, part.start, part.stop) for row in rows) for state in range(4)]
        unknown, used, idle, free = (count / len(part) for count in counts)
        at_s = ticks.start_s + part.start * ticks.step_s
        found.append(Moment(at_s, used, idle, free, unknown, _use(rows, part)))
    return tuple(found)


def nodes(rows: Sequence[Row], ledgers: Sequence[Ledger], ticks: Ticks) -> tuple[NodeUse, ...]:
    """The devices by node."""
    grouped: defaultdict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        grouped[row.node].append(number)
    line = _parts(ticks)
    found = []
    for name, numbers in sorted(grouped.items()):
        own = [rows[number] for number in numbers]
        use = tuple(_use(own, part) for part in line)
        found.append(NodeUse(name, own[0].pool, len(own), together(ledgers[number] for number in numbers), use))
    return tuple(found)


def _parts(ticks: Ticks) -> list[range]:
    width = max(1, -(-ticks.count // MOMENTS))
    return [range(first, min(ticks.count, first + width)) for first in range(0, ticks.count, width)]


def _use(rows: Sequence[Row], part: range) -> float | None:
    known = [value for row in rows for value in row.mean[part.start : part.stop] if not math.isnan(value)]
    return sum(known) / len(known) if known else None


class _Tally(Struct):
    """One holder, as its time is added up."""

    holder: Holder
    devices: set[str] = field(default_factory=set)
    held_h: float = 0.0
    idle_h: float = 0.0
    computed_h: float = 0.0
    memory_gib_h: float = 0.0
    cost: float = 0.0
    priced: bool = False

    def told(self) -> Holding:
        return Holding(
            kind=self.holder.kind,
            id=self.holder.id,
            name=self.holder.name,
            owner=self.holder.owner,
            devices=len(self.devices),
            held_h=self.held_h,
            idle_h=self.idle_h,
            use_ratio=self.computed_h / self.held_h if self.held_h else None,
            idle_memory_gib_h=self.memory_gib_h,
            idle_cost=self.cost if self.priced else None,
        )


def holdings(rows: Iterable[Row], ticks: Ticks) -> tuple[Holding, ...]:
    """What every holder made of its time, those that held the most idle first.

    Several who hold one device at once have equal parts of that time.
    """
    tallies: dict[str, _Tally] = {}
    for row in rows:
        for tick, holders in enumerate(row.holders):
            state = row.states[tick]
            if state not in (USED, IDLE):
                continue
            part_h = ticks.step_h / len(holders)
            for holder in holders:
                tally = tallies.get(holder.id) or tallies.setdefault(holder.id, _Tally(holder))
                _add(tally, row, tick, part_h)
    return tuple(sorted((tally.told() for tally in tallies.values()), key=lambda one: (-one.idle_h, one.id)))


def _add(tally: _Tally, row: Row, tick: int, part_h: float) -> None:
    tally.devices.add(row.uuid)
    tally.held_h += part_h
    tally.computed_h += row.mean[tick] * part_h
    tally.priced |= row.price is not None
    if row.states[tick] == IDLE:
        tally.idle_h += part_h
        tally.cost += (row.price or 0.0) * part_h
        if not math.isnan(row.memory[tick]):
            tally.memory_gib_h += row.memory[tick] / _GIB * part_h


def owners(holdings: Iterable[Holding]) -> tuple[OwnerUse, ...]:
    """The holders by account, those that held the most idle first."""
    grouped: defaultdict[str | None, list[Holding]] = defaultdict(list)
    for one in holdings:
        grouped[one.owner].append(one)
    found = []
    for owner, own in grouped.items():
        held_h = sum(one.held_h for one in own)
        costs = [one.idle_cost for one in own if one.idle_cost is not None]
        found.append(
            OwnerUse(
                owner=owner,
                holders=len(own),
                held_h=held_h,
                idle_h=sum(one.idle_h for one in own),
                use_ratio=sum((one.use_ratio or 0.0) * one.held_h for one in own) / held_h if held_h else None,
                idle_cost=sum(costs) if costs else None,
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.idle_h, one.owner or "")))
