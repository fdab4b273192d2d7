"""The sums in the header."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from operator import add

from msgspec import Struct

from gpualloc.model.inventory import Device, DeviceState
from gpualloc.model.workload import WorkloadState
from gpualloc.tui.rows import FleetRow, Moment, Standing
from gpualloc.tui.seen import Seen


class Sums(Struct, frozen=True):
    """Sums over devices; what is unknown is left out and counted."""

    memory_used_mib: int | None
    """Over devices of which both used and total are known; None when there is none."""
    memory_total_mib: int | None
    power_w: float | None
    unknown: int
    """Devices whose memory is not in the sums."""


class Totals(Struct, frozen=True):
    """The fleet in a few numbers."""

    nodes: int
    nodes_ok: int
    """Answered well, not stale."""
    devices: int
    standing: Counter[Standing]
    sums: Sums
    running: int | None
    """None while the workloads are unknown."""
    pending: int | None


def sums(devices: Sequence[Device]) -> Sums:
    """Add up what is known."""
    pairs = [
        (device.memory_used_mib, device.memory_total_mib)
        for device in devices
        if device.memory_used_mib is not None and device.memory_total_mib is not None
    ]
    powers = [device.power_w for device in devices if device.power_w is not None]
    return Sums(
        memory_used_mib=sum(used for used, _ in pairs) if pairs else None,
        memory_total_mib=sum(total for _, total in pairs) if pairs else None,
        power_w=sum(powers) if powers else None,
        unknown=len(devices) - len(pairs),
    )


class _Share(Struct, frozen=True):
    """What rows of one node that follow each other come to."""

    rows: tuple[FleetRow, ...]
    line: FleetRow
    """Stands for the node: it is as old as all its devices that do not hang."""
    lines: int
    """How many of the rows are the node's own."""
    devices: int
    """Those that do not hang; so are `standing` and `sums`."""
    standing: tuple[int, ...]
    """How many stand so, by `Standing`."""
    sums: Sums
    hung: tuple[FleetRow, ...]
    """Devices that hang, each as old as its own last answer."""

    @classmethod
    def of(cls, rows: tuple[FleetRow, ...]) -> _Share:
        """Count them once, to be asked again and again as they grow old."""
        ordinary = [row for row in rows if row.device is not None and row.device.state is not DeviceState.HUNG]
        standing = Counter(row.standing for row in ordinary)
        return cls(
            rows=rows,
            line=FleetRow(rows[0].node, None),
            lines=sum(row.device is None for row in rows),
            devices=len(ordinary),
            standing=tuple(standing[each] for each in Standing),
            sums=sums([row.device for row in ordinary if row.device is not None]),
            hung=tuple(row for row in rows if row.device is not None and row.device.state is DeviceState.HUNG),
        )

    def begins(self, rows: Sequence[FleetRow], at: int) -> bool:
        """Whether it is what these rows have of the node from there on."""
        end = at + len(self.rows)
        whole = end <= len(rows) and rows[at] is self.rows[0] and rows[end - 1] is self.rows[-1]
        return whole and (end == len(rows) or rows[end].node is not self.line.node)


class _Count:
    """Adds shares up, as they stand at a moment."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self.nodes_ok = 0
        self.devices = 0
        self._standing = [0] * len(Standing)
        self.holds_until_s = math.inf
        """Ticks up to which no row of those that are fresh grows stale."""
        self._sums: list[Sums] = []
        self._unknown = 0

    def add(self, share: _Share) -> None:
        stale = self._moment.is_stale(share.line)
        self.nodes_ok += 0 if stale else share.lines
        self.devices += share.devices + len(share.hung)
        for row in share.hung:
            self._standing[row.standing] += 1
        if stale:
            faulty = share.standing[Standing.FAULTY]
            self._standing[Standing.FAULTY] += faulty
            self._standing[Standing.UNKNOWN] += share.devices - faulty
            self._unknown += share.devices
        else:
            self._standing = list(map(add, self._standing, share.standing))
            self._sums.append(share.sums)
            self._holds_for(share.line)
        fresh = [row for row in share.hung if not self._moment.is_stale(row)]
        for row in fresh:
            self._holds_for(row)
        if fresh:
            self._sums.append(sums([row.device for row in fresh if row.device is not None]))
        self._unknown += len(share.hung) - len(fresh)

    def _holds_for(self, row: FleetRow) -> None:
        if row.heard_s is not None:
            self.holds_until_s = min(self.holds_until_s, row.heard_s + self._moment.stale_after_s)

    @property
    def standing(self) -> Counter[Standing]:
        return Counter(dict(zip(Standing, self._standing, strict=True)))

    @property
    def sums(self) -> Sums:
        used = [each.memory_used_mib for each in self._sums if each.memory_used_mib is not None]
        total = [each.memory_total_mib for each in self._sums if each.memory_total_mib is not None]
        powers = [each.power_w for each in self._sums if each.power_w is not None]
        return Sums(
            memory_used_mib=sum(used) if used else None,
            memory_total_mib=sum(total) if total else None,
            power_w=sum(powers) if powers else None,
            unknown=self._unknown + sum(each.unknown for each in self._sums),
        )


class _Lately(Struct, frozen=True):
    """What was counted last, and what of."""

    seen: Seen
    rows: Sequence[FleetRow]
    moment: Moment
    until_s: float
    totals: Totals

    def holds(self, seen: Seen, rows: Sequence[FleetRow], moment: Moment) -> bool:
        """Whether they are the same rows, and none has grown stale since."""
        same = seen is self.seen and rows is self.rows and moment.period_s == self.moment.period_s
        return same and self.moment.ticks_s <= moment.ticks_s <= self.until_s


class FleetTotals:
    """The totals of a fleet, look after look: the rows of a node that are the same objects are not counted anew."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}
        self._lately: _Lately | None = None

    def of(self, seen: Seen, rows: Sequence[FleetRow], moment: Moment) -> Totals:
        """Count what is fresh; the devices of stale rows are unknown and in no sum."""
        if self._lately is None or not self._lately.holds(seen, rows, moment):
            counted, until_s = self._count(seen, rows, moment)
            self._lately = _Lately(seen, rows, moment, until_s, counted)
        return self._lately.totals

    def _count(self, seen: Seen, rows: Sequence[FleetRow], moment: Moment) -> tuple[Totals, float]:
        count = _Count(moment)
        at = 0
        while at < len(rows):
            share = self._share(rows, at)
            count.add(share)
            at += len(share.rows)
        states = None if seen.workloads is None else Counter(workload.state for workload in seen.workloads)
        counted = Totals(
            nodes=len(seen.nodes),
            nodes_ok=count.nodes_ok,
            devices=count.devices,
            standing=count.standing,
            sums=count.sums,
            running=None if states is None else states[WorkloadState.RUNNING],
            pending=None if states is None else states[WorkloadState.PENDING],
        )
        return counted, count.holds_until_s

    def _share(self, rows: Sequence[FleetRow], at: int) -> _Share:
        """What the rows of the node that come next are."""
        node = rows[at].node
        share = self._shares.get(node.name)
        if share is None or not share.begins(rows, at):
            end = at
            while end < len(rows) and rows[end].node is node:
                end += 1
            share = self._shares[node.name] = _Share.of(tuple(rows[at:end]))
        return share


def totals(seen: Seen, rows: Sequence[FleetRow], moment: Moment) -> Totals:
    """Count what is fresh; the devices of stale rows are unknown and in no sum."""
    return FleetTotals().of(seen, rows, moment)
