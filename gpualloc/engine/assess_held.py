"""Who held which device when, and who waited: from workloads, the audit trail and what is seen now. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from gpualloc.model.assessment import HolderKind
from gpualloc.model.audit import AuditEntry
from gpualloc.model.enforcement import Sighting
from gpualloc.model.inventory import Snapshot
from gpualloc.model.workload import Workload, WorkloadState

_BEGINS = frozenset({"start", "adopt", "resume"})
"""Kinds of audit entries that name devices which a workload has from then on."""
_WAITS_AGAIN = frozenset({"requeue", "start-undone"})
_ENDS = frozenset({"suspend", "end", "release"}) | _WAITS_AGAIN


class Holder(Struct, frozen=True):
    """Somebody who held devices."""

    kind: HolderKind
    id: str
    name: str
    owner: str | None
    workload: Workload | None = None
    """Of work of ours."""


class Stay(Struct, frozen=True):
    """A time in which a holder had a device. Epoch seconds."""

    device: str
    """UUID of the whole device."""
    holder: Holder
    from_s: float
    to_s: float


class Wait(Struct, frozen=True):
    """A time in which a workload waited for GPUs. Epoch seconds."""

    workload: Workload
    from_s: float
    to_s: float


def lives(
    workloads: Iterable[Workload], trail: Sequence[AuditEntry], snapshot: Snapshot, now_s: float
) -> tuple[list[Stay], list[Wait]]:
    """When workloads had devices, and when they waited for them.

    The audit trail tells of every start, suspension and end; where it tells of no start, the workload's own record
    does, which knows the last one only. Of work that was lost, nobody knows how long it held what it had.

    Args:
        workloads: those to tell of.
        trail: audit entries, oldest first.
        snapshot: what is seen now; tells which device has which MIG instance.
        now_s: until when what goes on is told of.
    """
    wholes = _wholes(workloads, snapshot)
    by_workload: defaultdict[str | None, list[AuditEntry]] = defaultdict(list)
    for entry in trail:
        by_workload[entry.workload].append(entry)
    stays: list[Stay] = []
    waits: list[Wait] = []
    for workload in workloads:
        life = _Life(workload, wholes)
        for entry in by_workload[workload.id]:
            life.hear(entry)
        life.close(now_s)
        stays += life.stays
        waits += life.waits
    return stays, waits


def strangers(
    snapshot: Snapshot, sightings: Sequence[Sighting], ours: Iterable[str], controller: str, now_s: float
) -> Iterator[Stay]:
    """Processes and claims on devices that are not of our workloads, as far as they were seen.

    Args:
        snapshot: what is seen now.
        sightings: processes seen on devices that they were not given.
        ours: ids of our workloads.
        controller: id of our state; what others claimed is theirs.
        now_s: when the snapshot was taken.
    """
    known = frozenset(ours)
    seen = set()
    for node in snapshot.reached:
        for process in node.processes:
            if process.workload not in known:
                seen.add((node.name, process.device, process.pid))
                who = Holder(
                    HolderKind.STRANGER, f"{node.name}:{process.pid}", process.command or "a process", process.user
                )
                yield Stay(process.device, who, min(now_s, process.started_at_s or now_s), now_s)
        for claim in node.claims:
            if claim.controller != controller and claim.workload not in known:
                who = Holder(HolderKind.STRANGER, claim.workload, "work of another gpualloc", None)
                yield Stay(claim.device, who, min(now_s, claim.at_s), now_s)
    for one in sightings:
        if (one.node, one.device, one.pid) not in seen:
            who = Holder(HolderKind.STRANGER, f"{one.node}:{one.pid}", "a process that is gone", None)
            yield Stay(one.device, who, one.first_seen_s, one.last_seen_s)


def _wholes(workloads: Iterable[Workload], snapshot: Snapshot) -> dict[str, str]:
    """The device of each MIG instance that is known, by UUID."""
    found = {
        grant.mig_instance: grant.device
        for workload in workloads
        if workload.allocation is not None
        for grant in workload.allocation.grants
        if grant.mig_instance is not None
    }
    for node in snapshot.nodes:
        for device in node.devices:
            found.update({instance.uuid: device.uuid for instance in device.mig_instances})
    return found


class _Life:
    """One workload, as its entries are heard one after another."""

    def __init__(self, workload: Workload, wholes: Mapping[str, str]) -> None:
        self._workload = workload
        self._wholes = wholes
        self._holder = Holder(HolderKind.WORKLOAD, workload.id, workload.name, workload.owner, workload)
        self._held: dict[str, float] = {}
        self._waits_since_s: float | None = workload.submitted_at_s
        self._begun = False
        self.stays: list[Stay] = []
        self.waits: list[Wait] = []

    def hear(self, entry: AuditEntry) -> None:
        if entry.kind in _BEGINS:
            self._begin(_texts(entry.detail.get("devices")), entry.at_s)
        elif entry.kind in _ENDS:
            self._end(entry.at_s)
            self._waits_since_s = entry.at_s if entry.kind in _WAITS_AGAIN else None

    def close(self, now_s: float) -> None:
        """Nothing more is to be heard."""
        work = self._workload
        if not self._begun and work.started_at_s is not None and work.allocation is not None:
            self._begin([grant.device for grant in work.allocation.grants], work.started_at_s)
        if work.state.ended:
            if work.ended_at_s is None:
                self._held.clear()
                self._waits_since_s = None
            self._end(work.ended_at_s or now_s)
        elif work.state is WorkloadState.SUSPENDED:
            self._held.clear()
        self._end(now_s)

    def _begin(self, devices: Iterable[str], at_s: float) -> None:
        self._begun = True
        self._end_wait(at_s)
        for uuid in devices:
            self._held.setdefault(self._wholes.get(uuid, uuid), at_s)

    def _end(self, at_s: float) -> None:
        self._end_wait(at_s)
        for device, since_s in self._held.items():
            self.stays.append(Stay(device, self._holder, since_s, max(since_s, at_s)))
        self._held.clear()

    def _end_wait(self, at_s: float) -> None:
        if self._waits_since_s is not None and self._workload.request.gpus and at_s > self._waits_since_s:
            self.waits.append(Wait(self._workload, self._waits_since_s, at_s))
        self._waits_since_s = None


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list | tuple) else []
