"""The order of rows, and which of them a filter keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from gpualloc.model.workload import Workload
from gpualloc.tui.cells import memory_ratio
from gpualloc.tui.rows import FleetRow, Moment, Standing, state_words


class SortKey(StrEnum):
    """What the fleet table can be sorted by; the value is the key of its column."""

    NODE = "node"
    STATE = "state"
    UTILIZATION = "util"
    MEMORY = "memory"
    POWER = "power"
    TEMPERATURE = "temp"
    WHO = "who"
    AGE = "age"

    @property
    def following(self) -> SortKey:
        """The next one in the cycle."""
        keys = list(SortKey)
        return keys[(keys.index(self) + 1) % len(keys)]

    @property
    def descends(self) -> bool:
        """Whether the largest comes first unless the order is reversed."""
        return self not in (SortKey.NODE, SortKey.WHO)


def arranged(rows: Sequence[FleetRow], key: SortKey, reverse: bool, moment: Moment) -> tuple[FleetRow, ...]:
    """Put rows in order: by node, devices stay under their node; by anything else, devices stand alone.

    A node without a device keeps its line in every order, so that no node is ever out of sight. Rows whose
    value is unknown come last either way.
    """
    if key is SortKey.NODE:
        names = sorted({row.node.name for row in rows}, reverse=reverse)
        place = {name: at for at, name in enumerate(names)}
        return tuple(sorted(rows, key=lambda row: place[row.node.name]))
    flat = [row for row in rows if row.device is not None or not row.node.devices]
    value = _VALUES[key]
    known = [(found, row) for row in flat if (found := value(row, moment)) is not None]
    unknown = [row for row in flat if value(row, moment) is None]
    known.sort(key=lambda pair: pair[0], reverse=key.descends != reverse)
    return (*(row for _, row in known), *unknown)


def kept(rows: Sequence[FleetRow], needle: str, moment: Moment) -> tuple[FleetRow, ...]:
    """Keep rows whose node, model, state, user or workload contains `needle`, and the nodes of kept devices."""
    if not needle:
        return tuple(rows)
    wanted = needle.casefold()
    matching = {row.key for row in rows if _contains(_row_texts(row, moment), wanted)}
    owners = {row.node.name for row in rows if row.key in matching}
    return tuple(row for row in rows if row.key in matching or (row.device is None and row.node.name in owners))


def kept_workloads(workloads: Sequence[Workload], needle: str) -> tuple[Workload, ...]:
    """Keep workloads whose id, name, owner, state, reason or node contains `needle`."""
    wanted = needle.casefold()
    return tuple(workload for workload in workloads if not needle or _contains(_workload_texts(workload), wanted))


def _contains(texts: Iterable[str], wanted: str) -> bool:
    return any(wanted in text.casefold() for text in texts)


def _row_texts(row: FleetRow, moment: Moment) -> Iterable[str]:
    yield row.node.name
    words = state_words(row, moment)
    yield words.short
    yield words.whole
    if row.device is None:
        return
    yield row.device.model
    if not row.holders:
        yield "free"
    for holder in row.holders:
        yield holder.name
        yield holder.user or ""
        yield holder.kind.value


def _workload_texts(workload: Workload) -> Iterable[str]:
    yield from (workload.id, workload.name, workload.owner, workload.state.value, workload.reason or "")
    if workload.allocation is not None:
        yield from workload.allocation.nodes


def _state_order(row: FleetRow, moment: Moment) -> float:
    standing = row.standing
    if moment.is_stale(row) and standing in (Standing.BUSY, Standing.IDLE):
        return Standing.IDLE + 0.5
    # Busy before idle among the healthy, so that descending reads faulty, silent, busy, idle.
    return {Standing.IDLE: -1.0}.get(standing, float(standing))


def _who(row: FleetRow, _: Moment) -> str | None:
    return row.holders[0].name.casefold() if row.holders else None


def _memory(row: FleetRow, _: Moment) -> float | None:
    device = row.device
    return None if device is None else memory_ratio(device.memory_used_mib, device.memory_total_mib)


_VALUES: dict[SortKey, Callable[[FleetRow, Moment], float | None] | Callable[[FleetRow, Moment], str | None]] = {
    SortKey.STATE: _state_order,
    SortKey.UTILIZATION: lambda row, _: row.device and row.device.gpu_utilization_ratio,
    SortKey.MEMORY: _memory,
    SortKey.POWER: lambda row, _: row.device and row.device.power_w,
    SortKey.TEMPERATURE: lambda row, _: row.device and row.device.temperature_c,
    SortKey.WHO: _who,
    SortKey.AGE: lambda row, moment: moment.age_s(row.heard_s),
}
