"""The steps that make things again as gpualloc made them. What gpualloc did not make is never touched. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.errors import GpuallocError
from gpualloc.model.allocation import Allocation
from gpualloc.model.desired import DesiredDevice, DeviceSettings
from gpualloc.model.gang import part_on
from gpualloc.model.inventory import Device, Node, Snapshot
from gpualloc.model.mig import Layout, Place, layout_of, parse_target
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.model.workload import Workload
from gpualloc.planning.drift import LIMITS, Difference, DriftClass
from gpualloc.planning.mig import Act, Held, transition
from gpualloc.planning.mig_mode import mode_change
from gpualloc.planning.order import joined, ordered
from gpualloc.planning.settings import set_step
from gpualloc.planning.steps import cleanup_steps
from gpualloc.planning.target import limits_text, target_text

_SETTINGS = frozenset(DeviceSettings.__struct_fields__)
_OF_GROUP = frozenset({*LIMITS, "device-rule"})
_LAYOUT = frozenset({"mig-mode", "mig-instance"})

Left = tuple[tuple[Difference, str], ...]
"""Differences that no step takes away, each with the reason in words."""


class Repairs(Struct, frozen=True):
    """What can be made again, and what cannot."""

    steps: tuple[Step, ...] = ()
    left: Left = ()


def repairs(
    found: Iterable[Difference],
    snapshot: Snapshot,
    workloads: Iterable[Workload],
    desired: Iterable[DesiredDevice],
    controller: str,
) -> Repairs:
    """The steps that take the differences away, for each workload and device of ours that they are about.

    Args:
        found: what differs.
        snapshot: what it was found in.
        workloads: all work that has not ended.
        desired: what devices are meant to be.
        controller: id of our state.
    """
    works = {work.id: work for work in workloads}
    wanted = {(each.node, each.device): each for each in desired}
    made = []
    # Devices first: what else there is may rest on their layout.
    for (name, workload, device), rows in sorted(_grouped(found).items(), key=lambda group: group[0][1] is not None):
        node = snapshot.node(name)
        if node is None or not node.manageable:
            made.append(_none(rows, "gpualloc only observes this node, or it does not answer"))
        elif workload is not None and _lives(works.get(workload), name):
            made.append(_of_work(rows, works[workload], name, snapshot))
        elif workload is not None:
            made.append(_of_nobody(rows, node, works, controller))
        elif device is not None and (name, device) in wanted:
            made.append(_of_device(rows, node, wanted[name, device]))
        else:
            made.append(_none(rows, "its node has not told yet what the interrupted run has done"))
    return Repairs(ordered(joined(*(each.steps for each in made))), tuple(left for each in made for left in each.left))


def _grouped(found: Iterable[Difference]) -> Mapping[tuple[str, str | None, str | None], list[Difference]]:
    """The differences by node and workload, or by node and device where no workload is concerned."""
    groups: dict[tuple[str, str | None, str | None], list[Difference]] = {}
    for row in found:
        device = None if row.workload is not None else row.device
        groups.setdefault((row.node, row.workload, device), []).append(row)
    return groups


def _none(rows: Sequence[Difference], why: str) -> Repairs:
    return Repairs((), tuple((row, why) for row in rows))


def _lives(workload: Workload | None, node: str) -> bool:
    return workload is not None and part_on(workload, node) is not None


# ---- work


def _of_work(rows: Sequence[Difference], workload: Workload, node: str, snapshot: Snapshot) -> Repairs:
    """Claims and limits of running work are set again; a device or instance that is gone cannot be given back to it."""
    allocation = part_on(workload, node)
    assert allocation is not None
    kinds = []
    if any(row.field == "claim" for row in rows):
        kinds.append((StepKind.CLAIM, "its node no longer has the claim as it was made"))
    if any(row.field in _OF_GROUP for row in rows):
        kinds.append((StepKind.LIMIT, f"it asked for {limits_text(allocation) or 'its GPUs alone'}"))
    left = tuple((row, "work keeps running with what it has; end it with gpualloc release") for row in _gone(rows))
    target = target_text(allocation, snapshot)
    steps = [
        _work_step(seq, kind, detail, workload, allocation=allocation, target=target)
        for seq, (kind, detail) in enumerate(kinds, start=1)
    ]
    return Repairs(tuple(steps), left)


def _gone(rows: Sequence[Difference]) -> list[Difference]:
    return [row for row in rows if row.field != "claim" and row.field not in _OF_GROUP]


def _work_step(
    seq: int, kind: StepKind, detail: str, workload: Workload, *, allocation: Allocation, target: str
) -> Step:
    return Step(
        seq=seq,
        kind=kind,
        node=allocation.node,
        workload=workload.id,
        target=target,
        reason=StepReason.REPAIR,
        detail=detail,
        allocation=allocation,
        attempt=workload.attempt,
        revision=workload.revision,
        needs=(seq - 1,) if seq > 1 else (),
    )


def _of_nobody(rows: Sequence[Difference], node: Node, works: Mapping[str, Workload], controller: str) -> Repairs:
    """Our claims for work that is over are taken away; work that runs is never ended here."""
    workload = rows[0].workload
    if any(record.workload == workload and record.end is None for record in node.workloads):
        return _none(rows, "work that our books do not have runs there, and is not ended")
    own = tuple(claim for claim in node.claims if claim.workload == workload)
    steps = cleanup_steps(Snapshot(node.at_s, (replace(node, claims=own),)), works.values(), controller)
    return Repairs(steps) if steps else _none(rows, "its work waits, and may be about to use it")


# ---- devices


def _of_device(rows: Sequence[Difference], node: Node, wanted: DesiredDevice) -> Repairs:
    device = next((each for each in node.devices if each.uuid == wanted.device), None)
    if device is None:
        return _none(rows, "the device is not there; gpualloc set --release forgets what it was meant to be")
    steps: list[Step] = []
    left: list[tuple[Difference, str]] = []
    shape = [row for row in rows if row.field in _LAYOUT and row.drift is not DriftClass.FOREIGN]
    if shape:
        try:
            steps += _layout_steps(node, device, wanted)
        except GpuallocError as error:
            left += [(row, error.message) for row in shape]
    left += [(row, "gpualloc did not make it") for row in rows if row.drift is DriftClass.FOREIGN]
    settings = [row.field for row in rows if row.field in _SETTINGS]
    if settings:
        steps.append(_set_step(len(steps) + 1, node, device, wanted, settings))
    return Repairs(tuple(steps), tuple(left))


def _layout_steps(node: Node, device: Device, wanted: DesiredDevice) -> list[Step]:
    """The mode, then the instances that are missing; every instance that is there stays.

    Each step carries the whole layout: it stays what the device is meant to be when a later one fails.

    Raises:
        GpuallocError: why the layout cannot be made again beside what is there.
    """
    target = parse_target(wanted.layout or "")
    change = mode_change(device.architecture, device.mig_enabled, device.mig_pending, target is not None)
    steps = []
    if change is not None:
        detail = f"MIG mode was {'on' if change.enable else 'off'}, as gpualloc set it; it needs {change.needs}"
        step = _device_step(1, StepKind.MIG_MODE, node, device, detail)
        resets = (device.uuid,) if change.needs_reset else ()
        radius = replace(step.blast_radius, resets=resets)
        steps.append(replace(step, mig_enabled=change.enable, layout=wanted.layout, blast_radius=radius))
    if target is None:
        return steps
    there = [Held(each.uuid, each.profile, each.start, in_use=True) for each in device.mig_instances]
    standing = [each.place for each in there if each.place is not None]
    for operation in transition(device.mig_profiles, there, _together(target, standing)).operations:
        assert operation.act is Act.CREATE
        step = _device_step(len(steps) + 1, StepKind.MIG_CREATE, node, device, f"the layout is {wanted.layout}")
        steps.append(replace(step, place=str(operation.place), layout=wanted.layout))
    return steps


def _together(target: Layout, standing: Sequence[Place]) -> Layout:
    """The layout with everything that is there already."""
    return layout_of({*target, *standing})


def _set_step(seq: int, node: Node, device: Device, wanted: DesiredDevice, names: Sequence[str]) -> Step:
    again = DeviceSettings(**{name: getattr(wanted.settings_now, name) for name in names})
    detail = f"{', '.join(names)} no longer as gpualloc set it"
    step = set_step(node, device, again, StepReason.REPAIR, detail)
    return replace(step, seq=seq, needs=(seq - 1,) if seq > 1 else ())


def _device_step(seq: int, kind: StepKind, node: Node, device: Device, detail: str) -> Step:
    return Step(
        seq=seq,
        kind=kind,
        node=node.name,
        workload=None,
        target=f"GPU {device.index} ({device.model})",
        reason=StepReason.REPAIR,
        detail=detail,
        allocation=None,
        attempt=0,
        revision=0,
        needs=(seq - 1,) if seq > 1 else (),
        device=device.uuid,
    )
