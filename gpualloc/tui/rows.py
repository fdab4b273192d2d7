"""The rows of the fleet table: nodes and devices, with who holds each device and how it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum, StrEnum

from msgspec import Struct
from msgspec.structs import force_setattr

from gpualloc.model.inventory import Device, DeviceState, NodeState, Process
from gpualloc.model.workload import Workload
from gpualloc.tui.cells import Role
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.tui.text import age_text, plain

BUSY_RATIO = 0.02
"""Utilization from which a device counts as busy although nobody is seen on it."""
FRESH_PERIODS = 1.5
"""Up to so many periods a row is as fresh as it can be."""
STALE_PERIODS = 3
"""A row that nothing was heard of for so many periods is stale."""


class HolderKind(StrEnum):
    """What holds a device or a part of it."""

    WORKLOAD = "workload"
    OTHER = "other controller"
    """Claimed by a workload that is not in our books."""
    STRANGER = "stranger"
    """Runs there although nobody booked it."""


class Holder(Struct, frozen=True):
    """One that holds a device or a part of it."""

    name: str
    """Name of the workload, or the user of a stranger; safe to draw."""
    user: str | None
    kind: HolderKind


class Standing(IntEnum):
    """How a device stands for the counts in the header, best first."""

    BUSY = 0
    IDLE = 1
    UNKNOWN = 2
    """Its node does not answer."""
    FAULTY = 3


class FleetRow(Struct, frozen=True):
    """A line of the fleet table."""

    node: SeenNode
    device: Device | None
    """None on the node's own line."""
    holders: tuple[Holder, ...] = ()
    key: str = ""
    """Names the row for as long as the dashboard runs; made of the node and the device, whatever is given."""

    def __post_init__(self) -> None:
        """Make the key once: whoever looks for a row asks all of them."""
        name = self.node.name
        force_setattr(self, "key", name if self.device is None else f"{name}/{self.device.uuid}")

    @property
    def heard_s(self) -> float | None:
        """Ticks at which its readings were true; None when there never were any."""
        if self.device is not None and self.device.state is DeviceState.HUNG:
            return self.node.answered_s.get(self.device.uuid)
        return self.node.heard_s

    @property
    def unlisted(self) -> str | None:
        """Why nobody knows which processes are on the device; None when that is known. Untrusted text."""
        return None if self.device is None else self.device.unavailable.get("processes")

    @property
    def standing(self) -> Standing:
        """How the row's device stands; for a node, IDLE or UNKNOWN."""
        if self.device is None or self.node.failing or self.node.heard_s is None:
            return Standing.UNKNOWN if self.node.failing or self.node.heard_s is None else Standing.IDLE
        if self.device.state is not DeviceState.OK:
            return Standing.FAULTY
        ratio = self.device.gpu_utilization_ratio
        return Standing.BUSY if self.holders or (ratio is not None and ratio >= BUSY_RATIO) else Standing.IDLE


class Moment(Struct, frozen=True):
    """The time at which rows are drawn."""

    ticks_s: float
    now_s: float
    period_s: float

    @property
    def stale_after_s(self) -> float:
        """Age from which a row is stale."""
        return STALE_PERIODS * self.period_s

    def age_s(self, heard_s: float | None) -> float | None:
        """Seconds since then; None when never."""
        return None if heard_s is None else max(0.0, self.ticks_s - heard_s)

    def age_words(self, row: FleetRow) -> str:
        """Age of a row; one within reach of the period is not counted out, as it would change all the time."""
        age_s = self.age_s(row.heard_s)
        fresh_s = FRESH_PERIODS * self.period_s
        return f"<{math.ceil(fresh_s)}s" if age_s is not None and age_s <= fresh_s else age_text(age_s)

    def is_stale(self, row: FleetRow) -> bool:
        """Whether the row shows what is no longer known to be true."""
        return self.is_past(row.heard_s, failing=row.node.failing)

    def is_past(self, heard_s: float | None, *, failing: bool) -> bool:
        """Whether that is too long ago, or nothing is heard any more."""
        age_s = self.age_s(heard_s)
        return failing or age_s is None or age_s > self.stale_after_s


class StateWords(Struct, frozen=True):
    """A state in words: short for narrow tables, whole otherwise, with the role that colours it."""

    short: str
    whole: str
    role: Role


_SHORT_NODE = {NodeState.HOST_KEY: "key unknown", NodeState.HUNG: "prog. hung", NodeState.FAILED: "failed"}
_SHORT_DEVICE = {DeviceState.HUNG: "driver hung", DeviceState.NO_PERMISSION: "not allowed"}


def state_words(row: FleetRow, moment: Moment) -> StateWords:
    """How a row stands, in words."""
    node = row.node.node
    if node is None:
        return StateWords("waiting", "waiting for answer", Role.DIM)
    if node.state is not NodeState.OK:
        return StateWords(_SHORT_NODE.get(node.state, node.state.value), node.state.value, Role.BAD)
    device = row.device
    if device is not None and device.state is not DeviceState.OK:
        return StateWords(_SHORT_DEVICE.get(device.state, device.state.value), device.state.value, Role.BAD)
    if moment.is_stale(row):
        age = age_text(moment.age_s(row.heard_s))
        return StateWords(f"silent {age}", f"no answer for {age}", Role.WARN)
    cordon = node.cordon if device is None else device.cordon
    if cordon is not None:
        return StateWords("cordoned", "cordoned", Role.WARN)
    if device is None and node.nvml_reason is not None:
        return StateWords("no NVML", "no NVML", Role.WARN)
    if device is None:
        return StateWords("ok", "ok", Role.PLAIN)
    word = "busy" if row.standing is Standing.BUSY else "idle"
    return StateWords(word, word, Role.PLAIN if word == "busy" else Role.DIM)


class _Kept(Struct, frozen=True):
    """The rows of one node, and all that they were made of."""

    node: SeenNode
    workloads: tuple[str, ...]
    booked: Mapping[str, Holder]
    rows: tuple[FleetRow, ...]


class FleetRows:
    """The rows of a fleet, look after look: a node that told nothing new keeps its rows, the same objects."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def of(self, seen: Seen) -> tuple[FleetRow, ...]:
        """Every node, each followed by its devices by index."""
        workloads = None if seen.workloads is None else {workload.id: workload for workload in seen.workloads}
        kept, self._kept = self._kept, {}
        for node in seen.nodes:
            self._kept[node.name] = _renewed(kept.get(node.name), node, workloads)
        return tuple(row for each in self._kept.values() for row in each.rows)


def _renewed(kept: _Kept | None, node: SeenNode, workloads: Mapping[str, Workload] | None) -> _Kept:
    """What is kept of a node, made anew only where it, or whose the work on it is, has changed."""
    same = kept is not None and kept.node is node
    ids = kept.workloads if kept is not None and same else _workloads_on(node)
    booked = {each: _booked(each, workloads) for each in ids}
    if kept is not None and same and kept.booked == booked:
        return kept
    return _Kept(node, ids, booked, _rows_of(node, booked))


def _rows_of(node: SeenNode, booked: Mapping[str, Holder]) -> tuple[FleetRow, ...]:
    by_device: dict[str, list[Process]] = {}
    for process in node.processes:
        by_device.setdefault(process.device, []).append(process)
    devices = sorted(node.devices, key=lambda device: (device.index, device.uuid))
    return (
        FleetRow(node, None),
        *(FleetRow(node, each, _holders(node, each, by_device.get(each.uuid, []), booked)) for each in devices),
    )


def _workloads_on(node: SeenNode) -> tuple[str, ...]:
    """Ids of the workloads that claim devices of the node or have processes there, each once."""
    claims = node.node.claims if node.node is not None else ()
    running = (process.workload for process in node.processes if process.workload is not None)
    return tuple(dict.fromkeys((*(claim.workload for claim in claims), *running)))


def _holders(
    node: SeenNode, device: Device, processes: list[Process], booked: Mapping[str, Holder]
) -> tuple[Holder, ...]:
    claims = node.node.claims if node.node is not None else ()
    ids = [claim.workload for claim in claims if claim.device == device.uuid]
    ids += [process.workload for process in processes if process.workload is not None]
    holders = [booked[workload_id] for workload_id in dict.fromkeys(ids)]
    strangers = dict.fromkeys(_stranger(process) for process in processes if process.workload is None)
    return (*holders, *strangers)


def _booked(workload_id: str, workloads: Mapping[str, Workload] | None) -> Holder:
    if workloads is None:
        # Nothing can be said of whose it is before our books were read.
        return Holder(plain(workload_id, 40), None, HolderKind.WORKLOAD)
    workload = workloads.get(workload_id)
    if workload is None:
        return Holder(plain(workload_id, 40), None, HolderKind.OTHER)
    return Holder(plain(workload.name), plain(workload.owner, 40), HolderKind.WORKLOAD)


def _stranger(process: Process) -> Holder:
    user = f"pid {process.pid}" if process.user is None else plain(process.user, 40)
    return Holder(user, user, HolderKind.STRANGER)
