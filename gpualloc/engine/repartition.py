"""Room for waiting work by another MIG layout: on idle devices and beside what is in use. Pure.

Instances that gpualloc did not lay out for waiting work itself are never destroyed here, and no device is taken out
of MIG mode unless gpualloc brought it there for waiting work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.errors import InfeasibleError
from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.decision import Decision, Problem
from gpualloc.model.desired import DesiredDevice, Repartition
from gpualloc.model.inventory import Device
from gpualloc.model.mig import OFF, Layout, Place, layout_text
from gpualloc.model.plan import StepReason
from gpualloc.model.visible import check_visible
from gpualloc.model.workload import Request, Workload
from gpualloc.planning.mig import Held
from gpualloc.planning.mig_fit import Worth, layout_for
from gpualloc.planning.partition import Partition
from gpualloc.policies.filters import allowed, matches_model, why_not
from gpualloc.policies.mig_worth import MigWorth, serving
from gpualloc.policies.objectives.aim import Scores
from gpualloc.policies.objectives.aims import aim_of
from gpualloc.policies.offer import enough, offer
from gpualloc.policies.room import DeviceRoom, NodeRoom, Target, healthy
from gpualloc.policies.survey import survey


class _Choice(Struct, frozen=True):
    """A device with the layout that would hold a request."""

    room: NodeRoom
    device: DeviceRoom
    target: Layout
    places: tuple[Place, ...]
    cost: tuple[Scores, int, int, float, int, str, int]
    """Smaller is better: what the objective has against it, mode change, instances destroyed, worth given away, units
    left free, node, index."""


def repartition(
    problem: Problem, decision: Decision, desired: Sequence[DesiredDevice], extent: Repartition
) -> tuple[Decision, tuple[Partition, ...]]:
    """Serve requests that got no place by changing layouts.

    Args:
        problem: what was decided on.
        decision: what the policy made of it.
        desired: what devices are meant to be; a layout that an operator gave is only added to.
        extent: what may be changed.

    Returns:
        the decision with what can be served now, and the layouts it rests on, each device once.
    """
    if extent is Repartition.OFF or not decision.rejections:
        return decision, ()
    workloads = {workload.id: workload for workload in problem.requests}
    attempt = _Attempt(problem, decision, desired, extent)
    served = {}
    for rejection in decision.rejections:
        allocation = attempt.serve(workloads[rejection.workload])
        if allocation is not None:
            served[rejection.workload] = allocation
    return (
        replace(
            decision,
            allocations=(*decision.allocations, *served.values()),
            rejections=tuple(rejection for rejection in decision.rejections if rejection.workload not in served),
        ),
        attempt.partitions(),
    )


class _Attempt:
    """The rooms and layouts while requests are served one after another."""

    def __init__(
        self, problem: Problem, decision: Decision, desired: Sequence[DesiredDevice], extent: Repartition
    ) -> None:
        self._extent = extent
        self._rooms = survey(problem)
        self._aim = aim_of(problem, self._rooms.values())
        for allocation in decision.allocations:
            self._rooms[allocation.node] = self._rooms[allocation.node].book(allocation)
        self._worth = MigWorth(self._rooms.values(), problem.requests)
        self._desired = {(row.node, row.device): row for row in desired}
        self._converted = {row.node for row in desired if row.automatic}
        """Nodes with devices that were brought into MIG mode for waiting work, and may be taken out of it."""
        self._targets: dict[str, tuple[NodeRoom, DeviceRoom, Layout | None]] = {}
        self._added: dict[str, tuple[Place, ...]] = {}

    def serve(self, workload: Workload) -> Allocation | None:
        """A place for the workload on a layout that is then taken as given; None when there is none."""
        request = workload.request
        if request.gpus == 0 or request.gang or request.share not in (Share.MIG, Share.EXCLUSIVE):
            return None
        wanted = self._rooms if request.share is Share.MIG else self._converted
        rooms = [room for name, room in self._rooms.items() if name in wanted and _takes(room, request)]
        if request.share is Share.MIG:
            choices = [choice for room in rooms for choice in self._choices(room, request)]
            return self._take(workload, min(choices, key=lambda choice: choice.cost)) if choices else None
        rooms.sort(key=self._against)
        parts = [part for room in rooms for part in (_by_numa_node(room) if request.numa else (room,))]
        return next(filter(None, (self._whole(part, workload) for part in parts)), None)

    def partitions(self) -> tuple[Partition, ...]:
        """The layouts to bring about, by node and device index."""
        chosen = sorted(self._targets.values(), key=lambda item: (item[0].node.name, item[1].device.index))
        return tuple(
            Partition(
                room.node,
                device.device,
                target,
                StepReason.REPARTITION,
                f"layout {layout_text(target)} holds work that waits",
            )
            for room, device, target in chosen
        )

    # ---- instances

    def _choices(self, room: NodeRoom, request: Request) -> Iterator[_Choice]:
        for device in room.devices:
            held = self._held(room, device, request)
            if held is None:
                continue
            for profile in serving(device.device.mig_profiles, request):
                target = layout_for(
                    device.device.mig_profiles, held, [profile] * request.gpus, self._worth_of(device.device)
                )
                if target is not None and _visible(room, device.device, request):
                    yield self._choice(room, device, held, target)
                    break

    def _held(self, room: NodeRoom, device: DeviceRoom, request: Request) -> list[Held] | None:
        """The device's instances, those that must stay as in use; None when the device is out of the question."""
        known = device.device
        if not healthy(device) or known.cordon is not None or not known.mig_profiles or None in device.strangers:
            return None
        if request.gpu_model is not None and not matches_model(known.model, request.gpu_model):
            return None
        if request.numa and known.numa_node is None:
            return None
        if known.uuid in self._targets and self._targets[known.uuid][2] is None:
            return None
        row = self._desired.get((room.node.name, known.uuid))
        if not known.mig_enabled and known.uuid not in self._targets:
            whole = Request(command=request.command)
            usable = self._extent is Repartition.MODE and why_not(Target(device), whole) is None
            return [] if usable and not (row and row.layout == OFF and not row.automatic) else None
        made = row.made if row is not None else ()
        held = [
            Held(
                each.uuid,
                each.profile,
                each.start,
                in_use=f"{each.profile}@{each.start}" not in made
                or device.holds(each.uuid)
                or each.uuid in device.strangers,
            )
            for each in known.mig_instances
        ]
        target = self._targets[known.uuid][2] if known.uuid in self._targets else None
        kept = [each for each in held if target is None or each.place in target]
        return kept + [Held(str(place), place.profile, place.start, True) for place in self._added.get(known.uuid, ())]

    def _choice(self, room: NodeRoom, device: DeviceRoom, held: Sequence[Held], target: Layout) -> _Choice:
        there = {each.place for each in held}
        units = {profile.name: profile.size for profile in device.device.mig_profiles}
        switched = not device.device.mig_enabled and device.device.uuid not in self._targets
        left = -sum(units[place.profile] for place in target)
        added = tuple(place for place in target if place not in there)
        used = tuple(each.place for each in held if each.in_use and each.place is not None)
        worth = self._worth_of(device.device)
        given_away = round((worth(used) or 0.0) - (worth((*used, *added)) or 0.0), 6)
        name, index = room.node.name, device.device.index
        cost = (self._against(room), int(switched), len(there - set(target)), given_away, left, name, index)
        return _Choice(room, device, target, added, cost)

    def _against(self, room: NodeRoom) -> Scores:
        """What the objective has against work on the node."""
        return self._aim.of_node(room) if self._aim is not None else ()

    def _worth_of(self, device: Device) -> Worth:
        found = self._worth.of(device)
        return found.of if found is not None else lambda _: None

    def _take(self, workload: Workload, choice: _Choice) -> Allocation:
        uuid = choice.device.device.uuid
        self._targets[uuid] = (choice.room, choice.device, choice.target)
        self._added[uuid] = (*self._added.get(uuid, ()), *choice.places)
        grants = tuple(Grant(uuid, Share.MIG, place=str(place)) for place in choice.places)
        return self._booked(_allocation(workload, choice.room, grants))

    # ---- whole devices

    def _whole(self, room: NodeRoom, workload: Workload) -> Allocation | None:
        """Whole devices, some of them taken out of the MIG mode that earlier work needed."""
        request = workload.request
        usable = [target.room.device for target in offer(room, request).usable]
        free = [device for device in room.devices if self._convertible(room, device, request)]
        missing = request.gpus - len(usable)
        if self._extent is not Repartition.MODE or not 0 < missing <= len(free):
            return None
        for device in free[:missing]:
            self._targets[device.device.uuid] = (room, device, None)
        chosen = sorted([*usable, *(each.device for each in free[:missing])], key=lambda device: device.index)
        grants = tuple(Grant(device.uuid, Share.EXCLUSIVE) for device in chosen)
        return self._booked(_allocation(workload, room, grants))

    def _convertible(self, room: NodeRoom, device: DeviceRoom, request: Request) -> bool:
        row = self._desired.get((room.node.name, device.device.uuid))
        if row is None or not row.automatic or not device.device.mig_enabled or not device.idle:
            return False
        if any(f"{each.profile}@{each.start}" not in row.made for each in device.device.mig_instances):
            return False
        fits = replace(device, device=replace(device.device, mig_enabled=False))
        return device.device.uuid not in self._targets and why_not(Target(fits), request) is None

    def _booked(self, allocation: Allocation) -> Allocation:
        # What lies at a place still to be made is in `_added`; on the device itself it would look like all of it.
        there = tuple(grant for grant in allocation.grants if grant.place is None)
        room = self._rooms[allocation.node]
        self._rooms[allocation.node] = room.book(replace(allocation, grants=there))
        return allocation


def _takes(room: NodeRoom, request: Request) -> bool:
    """Whether the node may be changed and its host has room for the request."""
    host = replace(
        request, gpus=0, gpu_memory_mib=None, gpu_model=None, mig_profile=None, sm_count=None, share_asked=None
    )
    manageable = room.node.manageable and room.node.cordon is None
    return manageable and allowed(room.node, request) and enough(offer(room, host), host)


def _by_numa_node(room: NodeRoom) -> list[NodeRoom]:
    """The room with the devices near one NUMA node alone, for each that is known."""
    numbers = {each.device.numa_node for each in room.devices if each.device.numa_node is not None}
    return [
        replace(room, devices=tuple(each for each in room.devices if each.device.numa_node == number))
        for number in sorted(numbers)
    ]


def _visible(room: NodeRoom, device: Device, request: Request) -> bool:
    grants = [Grant(device.uuid, Share.MIG, place=str(number)) for number in range(request.gpus)]
    try:
        check_visible(grants, room.node.driver_version, device.mig_instances)
    except InfeasibleError:
        return False
    return request.gpus == 1 or request.several_instances


def _allocation(workload: Workload, room: NodeRoom, grants: tuple[Grant, ...]) -> Allocation:
    request = workload.request
    return Allocation(
        workload=workload.id,
        node=room.node.name,
        grants=grants,
        cpus=request.cpus,
        cpuset=request.cpuset,
        memory_mib=request.memory_mib,
        pids=request.pids,
        cpu_weight=request.cpu_weight,
        io_weight=request.io_weight,
    )
