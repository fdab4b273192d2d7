"""The steps that bring a device's MIG layout about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.errors import InfeasibleError
from gpualloc.model.inventory import Device, MigInstance, Node
from gpualloc.model.mig import Layout, Place, layout_of, layout_text
from gpualloc.model.plan import BlastRadius, Step, StepKind, StepReason
from gpualloc.planning.mig import Act, Held, Operation, Transition, in_the_way, transition
from gpualloc.planning.mig_mode import ModeChange, mode_change

_DRAIN_FIRST = "drain it first: --drain ends or suspends what gpualloc runs there; nobody else's process is touched"
_NOT_OURS = "gpualloc did not start it and leaves it alone: ask its user to end it, or choose another GPU"


class Partition(Struct, frozen=True):
    """A device of a node and what its layout is to become."""

    node: Node
    device: Device
    target: Layout | None
    """None is MIG mode off."""
    reason: StepReason
    detail: str
    """One sentence behind the reason."""


def held_instances(node: Node, device: Device, *, kept: frozenset[str] = frozenset()) -> tuple[Held, ...]:
    """The device's MIG instances; one is in use when it is claimed, runs a process, or is among those `kept`.

    A process of which the driver does not tell the instance keeps them all in use.
    """
    claimed = {claim.mig_instance for claim in node.claims if claim.device == device.uuid}
    running = {process.mig_instance for process in node.processes if process.device == device.uuid}
    used = claimed | running | kept
    return tuple(
        Held(instance.uuid, instance.profile, instance.start, None in used or instance.uuid in used)
        for instance in device.mig_instances
    )


def obstacles(node: Node, device: Device, target: Layout | None) -> tuple[str, ...]:
    """Ids of the workloads that must be gone before the target can come about, sorted."""
    if target is not None and device.mig_enabled:
        stuck = {held.uuid for held in in_the_way(held_instances(node, device), target)}
        return tuple(sorted({claim.workload for claim in node.claims if claim.mig_instance in stuck}))
    if target is None and not device.mig_enabled:
        return ()
    return tuple(sorted({claim.workload for claim in node.claims if claim.device == device.uuid}))


def partition_steps(partition: Partition, *, drained: bool = False) -> tuple[Step, ...]:
    """The steps in order, numbered from 1, each needing the one before; none when the device is as wanted.

    Args:
        partition: what is to become of which device.
        drained: whether the work in the way is ended by other steps of the plan; what nobody booked still refuses.

    Raises:
        UsageError: the target is no layout of this device.
        InfeasibleError: something in use would have to go, the device has no MIG, or the driver does not tell enough.
    """
    device, target = partition.device, partition.target
    mode = mode_change(device.architecture, device.mig_enabled, device.mig_pending, target is not None)
    if not device.mig_profiles and target:
        raise InfeasibleError(
            f"the driver of {partition.node.name} does not tell what MIG instances {device.uuid} can have",
            hint="gpualloc mig show tells why",
            node=partition.node.name,
        )
    held = held_instances(partition.node, device)
    if drained:
        held = tuple(_released(partition.node, each) for each in held)
    if target is not None and device.mig_enabled:
        _refuse_strangers(partition.node, in_the_way(held, target))
    if mode is not None and not mode.takes_back:
        _refuse_in_use(partition, drained=drained)
    way = Transition((), ()) if target is None and not held else transition(device.mig_profiles, held, target or ())
    return _steps(partition, mode, way)


def resting_on_layouts(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, each that gives a device of which the same plan changes the layout coming after that change."""
    last = {step.chain: step.seq for step in steps if step.workload is None}
    return tuple(
        replace(step, needs=tuple(sorted({*step.needs, *_layouts_under(step, last)})))
        if step.kind is StepKind.CLAIM
        else step
        for step in steps
    )


def _layouts_under(step: Step, last: Mapping[tuple[str, str], int]) -> list[int]:
    grants = step.allocation.grants if step.allocation else ()
    return [last[step.node, grant.device] for grant in grants if (step.node, grant.device) in last]


def _released(node: Node, held: Held) -> Held:
    """The instance once the work that claims it has ended: only what nobody booked still uses it."""
    claims = {claim.workload for claim in node.claims if claim.mig_instance == held.uuid}
    strangers = any(process.mig_instance == held.uuid and process.workload not in claims for process in node.processes)
    return Held(held.uuid, held.profile, held.start, strangers)


def _refuse_strangers(node: Node, stuck: Sequence[Held]) -> None:
    """Name the processes on instances that would have to go, when nobody booked those."""
    booked = {claim.mig_instance for claim in node.claims}
    places = {held.uuid: str(held) for held in stuck if held.uuid not in booked}
    users = [
        f"process {process.pid} of {process.user or 'an unknown user'} on {places[process.mig_instance]}"
        for process in node.processes
        if process.mig_instance in places
    ]
    if users:
        raise InfeasibleError(
            f"MIG instances in use would have to go: {', '.join(users[:8])}", hint=_NOT_OURS, node=node.name
        )


def _refuse_in_use(partition: Partition, *, drained: bool) -> None:
    """MIG mode changes on a device that nobody uses only."""
    node, device = partition.node, partition.device
    claims = {claim.workload for claim in node.claims if claim.device == device.uuid}
    users = [
        f"process {process.pid} of {process.user or 'an unknown user'}"
        for process in node.processes
        if process.device == device.uuid and not (drained and process.workload in claims)
    ]
    holders = users if drained else [*(f"workload {claim}" for claim in sorted(claims)), *users]
    if holders:
        raise InfeasibleError(
            f"the MIG mode of {device.uuid} on {node.name} cannot change while it is in use: {', '.join(holders[:8])}",
            hint=_DRAIN_FIRST if claims and not drained else _NOT_OURS,
            node=node.name,
        )


def _steps(partition: Partition, mode: ModeChange | None, way: Transition) -> tuple[Step, ...]:
    """Mode on first, then the instances; MIG mode off comes last."""
    layout = layout_of(place for instance in partition.device.mig_instances if (place := _place(instance)))
    drafts: list[Step] = []
    if mode is not None and mode.enable:
        drafts.append(_mode_step(partition, mode, layout_text(layout)))
    for operation in way.operations:
        layout = _after(layout, operation)
        drafts.append(_instance_step(partition, operation, layout_text(layout)))
    if mode is not None and not mode.enable:
        drafts.append(_mode_step(partition, mode, layout_text(None)))
    return tuple(_numbered(drafts))


def _place(instance: MigInstance) -> Place | None:
    return None if instance.start is None else Place(instance.profile, instance.start)


def _after(layout: Layout, operation: Operation) -> Layout:
    if operation.place is None:
        return layout
    if operation.act is Act.CREATE:
        return layout_of([*layout, operation.place])
    return tuple(place for place in layout if place != operation.place)


def _mode_step(partition: Partition, mode: ModeChange, layout: str) -> Step:
    resets = (partition.device.uuid,) if mode.needs_reset else ()
    return _step(partition, StepKind.MIG_MODE, layout, mig_enabled=mode.enable, blast_radius=BlastRadius(resets=resets))


def _instance_step(partition: Partition, operation: Operation, layout: str) -> Step:
    if operation.place is None:
        raise InfeasibleError(f"the driver does not tell where MIG instance {operation.uuid} lies")
    kind = StepKind.MIG_CREATE if operation.act is Act.CREATE else StepKind.MIG_DESTROY
    return _step(partition, kind, layout, place=str(operation.place), mig_instance=operation.uuid)


def _step(
    partition: Partition,
    kind: StepKind,
    layout: str,
    *,
    place: str | None = None,
    mig_instance: str | None = None,
    mig_enabled: bool | None = None,
    blast_radius: BlastRadius = BlastRadius(),  # noqa: B008 - frozen and without state
) -> Step:
    device = partition.device
    return Step(
        seq=1,
        kind=kind,
        node=partition.node.name,
        workload=None,
        target=f"GPU {device.index} ({device.model})",
        reason=partition.reason,
        detail=partition.detail,
        allocation=None,
        attempt=0,
        revision=0,
        blast_radius=blast_radius,
        device=device.uuid,
        place=place,
        mig_instance=mig_instance,
        mig_enabled=mig_enabled,
        layout=layout,
    )


def _numbered(drafts: Sequence[Step]) -> list[Step]:
    return [replace(step, seq=seq, needs=(seq - 1,) if seq > 1 else ()) for seq, step in enumerate(drafts, start=1)]
