"""Set power limits, clocks, compute mode and persistence of devices by a plan, and give them back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from gpualloc.engine.apply import apply, failure
from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.devices import device_of, find_device
from gpualloc.engine.observe import check_names, observe
from gpualloc.engine.plan import plan_of
from gpualloc.errors import InfeasibleError, NotFoundError, UnreachableError, UsageError
from gpualloc.model.desired import NOTHING_SET, DesiredDevice
from gpualloc.model.inventory import Device, DeviceState, Node, NodeState, Snapshot
from gpualloc.model.plan import Plan, StepReason
from gpualloc.planning.settings import SettingsChange, given_back, has, numbered, set_step, settings_for, settings_text


def settings_plan(
    ctx: Context,
    targets: Sequence[str],
    device: str | None,
    change: SettingsChange,
    progress: Callable[[Node], None] | None = None,
) -> Plan:
    """Plan new settings of devices; nothing is changed.

    Args:
        ctx: the ports.
        targets: names of nodes (all their devices), or devices as `engine.devices.find_device` takes them.
        device: index or UUID of a device of the only node named.
        change: what to set.
        progress: called with each node as it is seen.

    Raises:
        NotFoundError: no such node or device.
        UnreachableError: a node does not answer.
        InfeasibleError: a node is only observed, or a device cannot be set so.
        UsageError: a value is out of a device's range, or nothing is wanted.
    """
    if change.release is (not change.settings.empty or change.power_default):
        raise UsageError("set wants something to set, or --release", hint="such as --power 250W or --clocks reset")
    nodes = [target for target in targets if not is_device(target)]
    check_names(ctx, nodes)
    snapshot = observe(ctx, None if len(nodes) < len(targets) else nodes, progress)
    known = {(each.node, each.device): each for each in ctx.journal.desired()}
    steps = []
    for node, found in _devices(snapshot, targets, device):
        ours = known.get((node.name, found.uuid))
        if not change.release:
            wanted = settings_for(node, found, change)
            if ours is not None and has(ours.settings, wanted) and has(found.settings, wanted):
                continue
            detail = f"asked by {ctx.actor}; it has {settings_text(found.settings) or 'what it does not tell'}"
            steps.append(set_step(node, found, wanted, StepReason.OPERATOR, detail))
        elif ours is not None and not ours.settings.empty:
            detail = f"given back by {ctx.actor}: as it was before"
            steps.append(set_step(node, found, given_back(found, ours), StepReason.OPERATOR, detail))
    return plan_of(ctx, numbered(steps), (), snapshot)


def is_device(target: str) -> bool:
    """Whether a target is a device (a UUID, or `NODE:INDEX`) and not a node."""
    return target.startswith("GPU-") or ":" in target


def carry_out(ctx: Context, plan: Plan, *, release: bool, wait_s: float = 0.0, on_step: OnStep | None = None) -> Report:
    """Apply the plan; what was given back is no longer ours. Raises as `engine.apply.apply`."""
    report = apply(ctx, plan, wait_s=wait_s, on_step=on_step)
    if release and failure(report) is None:
        forget = {(step.node, step.device) for step in plan.steps}
        known = [each for each in ctx.journal.desired() if (each.node, each.device) in forget]
        with ctx.journal.write("set", wait_s) as writer:
            kept = [each for each in known if each.layout is not None or each.cap_w is not None]
            writer.save_desired([_not_ours(each) for each in kept])
            for each in known:
                if each not in kept:
                    writer.forget_desired(each.node, each.device)
    return report


def _not_ours(desired: DesiredDevice) -> DesiredDevice:
    return replace(desired, settings=NOTHING_SET, before=NOTHING_SET)


def _devices(snapshot: Snapshot, targets: Sequence[str], device: str | None) -> Iterator[tuple[Node, Device]]:
    """Each device meant, once; refuses what cannot be changed."""
    if device is not None and len(targets) != 1:
        raise UsageError("--device is one device of one node", hint="name a single node with it")
    given: set[str] = set()
    for target in targets:
        for node, found in _meant(snapshot, target, device):
            if found.uuid not in given:
                given.add(found.uuid)
                yield node, _changeable(node, found)


def _meant(snapshot: Snapshot, target: str, device: str | None) -> list[tuple[Node, Device]]:
    if is_device(target):
        return [find_device(snapshot, target)]
    node = snapshot.node(target)
    assert node is not None
    if node.state is not NodeState.OK:
        raise UnreachableError(f"{node.name} does not answer ({node.state.value})", node=node.name)
    if device is not None:
        return [(node, device_of(node, device))]
    if not node.devices:
        raise NotFoundError(f"{node.name} has no device", node=node.name)
    return [(node, each) for each in node.devices]


def _changeable(node: Node, device: Device) -> Device:
    if not node.manageable:
        raise InfeasibleError(f"{node.name} is only observed, so nothing can be set there", node=node.name)
    if device.state is not DeviceState.OK:
        raise InfeasibleError(f"{node.name}: GPU {device.index} is not well: {device.state.value}", node=node.name)
    return device
