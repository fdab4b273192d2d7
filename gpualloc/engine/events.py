"""What happened, out of what nodes tell: lines of their kernel logs, and conditions that begin and end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.health import judge
from gpualloc.model.health import (
    MAX_CLOCK_OFF_S,
    Condition,
    Event,
    HealthRules,
    Heard,
    Looked,
    SeenDevice,
    Severity,
    Trouble,
)
from gpualloc.model.inventory import Device, Node, NodeState
from gpualloc.model.xids import meaning_of, sentence_of

NVLINK_GROWTH = 10
"""So many more errors on the NVLinks of a device are growth: a few now and then are corrected and harmless."""


def record(ctx: Context, nodes: Sequence[Node]) -> tuple[Event, ...]:
    """Judge these nodes, keep what is wrong with them and what happened, and return what is new.

    Nodes that are not among them stay as they were. The same nodes a second time change nothing, and then nothing is
    written.

    Args:
        ctx: the ports.
        nodes: all nodes of the fleet or some of them, each once, as they told of themselves.

    Raises:
        StateError: it cannot be kept, as on a full disk; nothing of it is kept then.
    """
    looked = look_back(ctx, nodes)
    if looked is None:
        return ()
    return tuple(event for event in ctx.events.keep(looked) if event.news)


def look_back(ctx: Context, nodes: Sequence[Node]) -> Looked | None:
    """What these nodes tell, compared with what is kept; None when nothing changed. Nothing is written."""
    names = frozenset(node.name for node in nodes)
    heard, before = ctx.events.heard(names), ctx.events.conditions(names, suspected=True)
    new = [node.name for node in nodes if node.name not in heard and node.state is NodeState.OK]
    sampled = sampled_devices(ctx, new) if new else {}
    looked = compare(nodes, before, heard, sampled, now_s=ctx.clock.now_s(), rules=ctx.settings.health)
    same = all(heard.get(each.node) == each for each in looked.heard)
    return None if same and looked.conditions == before and not looked.events else looked


def sampled_devices(ctx: Context, nodes: Sequence[str]) -> dict[str, list[str]]:
    """UUIDs of devices by node of which samples are kept: not of those that only rollups remember."""
    since_s = ctx.clock.now_s() - ctx.settings.history_retention_s
    seen = ctx.events.devices_seen(nodes[0] if len(nodes) == 1 else None)
    return {node: [uuid for uuid, at_s in devices.items() if at_s >= since_s] for node, devices in seen.items()}


def compare(
    nodes: Sequence[Node],
    before: Sequence[Condition],
    heard: Mapping[str, Heard],
    sampled: Mapping[str, Iterable[str]],
    *,
    now_s: float,
    rules: HealthRules,
) -> Looked:
    """What a look at nodes comes to; pure.

    Args:
        nodes: the nodes that were looked at.
        before: the conditions of these nodes that were kept, told and suspected.
        heard: what is remembered of them, by name; nothing of a node that was never reached.
        sampled: the UUIDs of devices that samples were kept of, by node; used for nodes that are reached first.
        now_s: epoch seconds.
        rules: for `judge`.
    """
    after = {node.name: remember(node, heard.get(node.name), sampled.get(node.name, ()), now_s) for node in nodes}
    conditions = judge(nodes, before, after, now_s, rules)
    events = [event for node in nodes for event in _of_node(node, heard.get(node.name), after[node.name], now_s)]
    events += _of_conditions(before, conditions, now_s)
    reached = {node.name for node in nodes if node.state is NodeState.OK}
    kept = tuple(after[name] for name in sorted(after) if name in reached or name in heard)
    return Looked(
        tuple(sorted(after)), kept, conditions, tuple(sorted(events, key=lambda event: (event.at_s, event.key)))
    )


def remember(node: Node, before: Heard | None, sampled: Iterable[str], now_s: float) -> Heard:
    """What is to be remembered of a node after this look."""
    if before is None:
        unplaced = tuple(SeenDevice(uuid, None, None) for uuid in sorted(sampled))
        before = Heard(node.name, None, None, None, unplaced, ())
    if node.state is not NodeState.OK:
        return before
    up = {port.name for port in node.host.ports if port.up}
    rebooted = node.boot_id is not None and node.boot_id != before.boot_id
    newest = max((message.seq for message in node.kernel_messages), default=None)
    known = None if rebooted else before.kernel_seq
    return Heard(
        node=node.name,
        boot_id=node.boot_id or before.boot_id,
        driver_version=node.driver_version or before.driver_version,
        kernel_seq=known if newest is None else max(newest, known or newest),
        devices=_expected(node, before.devices, now_s),
        ports=tuple(sorted(up | set(before.ports))),
    )


def _expected(node: Node, before: Sequence[SeenDevice], now_s: float) -> tuple[SeenDevice, ...]:
    """Devices that are there, and those that should be: not those whose place another board took, nor any beyond the
    number that the configuration names.
    """
    if node.nvml_reason is not None:
        return tuple(before)
    seen = {device.uuid: device for device in before}
    present = {device.uuid: _seen(device, seen.get(device.uuid), now_s) for device in node.devices}
    gone: list[SeenDevice] = []
    if node.spec.gpus is None or len(present) < node.spec.gpus:
        places = {device.pci_bus_id for device in present.values()} - {None}
        gone = [one for one in before if one.uuid not in present and one.pci_bus_id not in places]
    return tuple(sorted([*present.values(), *gone], key=lambda device: device.uuid))


def _seen(device: Device, before: SeenDevice | None, now_s: float) -> SeenDevice:
    errors = [link.errors for link in device.nvlinks if link.errors is not None]
    total = sum(errors) if errors else None
    bus_id = device.board.pci_bus_id or (None if before is None else before.pci_bus_id)
    if before is None or total is None:
        kept = (total, None) if before is None else (before.nvlink_errors, before.nvlink_errors_at_s)
        return SeenDevice(device.uuid, device.index, bus_id, *kept)
    noted, at_s = before.nvlink_errors, before.nvlink_errors_at_s
    if noted is None or total < noted:
        noted = total
    elif total - noted >= NVLINK_GROWTH:
        noted, at_s = total, now_s
    return SeenDevice(device.uuid, device.index, bus_id, noted, at_s)


def _of_node(node: Node, before: Heard | None, after: Heard, now_s: float) -> Iterator[Event]:
    if node.state is not NodeState.OK:
        return
    yield from _of_kernel_log(node, before, after, now_s)
    if before is None:
        return
    if before.boot_id and node.boot_id and before.boot_id != node.boot_id:
        what = "the node was booted"
        key = f"{node.name}/restarted/{node.boot_id}"
        yield Event(now_s, Trouble.RESTARTED, Severity.WARNING, node.name, None, what, None, key)
    if before.driver_version and node.driver_version and before.driver_version != node.driver_version:
        what = f"the driver is {node.driver_version}, it was {before.driver_version}"
        key = f"{node.name}/driver/{node.driver_version}/{now_s:.3f}"
        yield Event(now_s, Trouble.DRIVER, Severity.INFO, node.name, None, what, None, key)


def _of_kernel_log(node: Node, before: Heard | None, after: Heard, now_s: float) -> Iterator[Event]:
    """Lines that are new since the last look, by our clock; none later than now."""
    same_boot = before is not None and (node.boot_id is None or node.boot_id == before.boot_id)
    taken = before.kernel_seq if before is not None and same_boot else None
    off_s = node.clock_offset_s or 0.0
    off_s = off_s if abs(off_s) > MAX_CLOCK_OFF_S else 0.0
    by_place = {_slot(device.pci_bus_id): device.uuid for device in after.devices if device.pci_bus_id}
    for message in node.kernel_messages:
        if taken is not None and message.seq <= taken:
            continue
        meaning = meaning_of(message)
        yield Event(
            at_s=min(now_s, message.at_s - off_s),
            trouble=message.trouble,
            severity=meaning.severity,
            node=node.name,
            device=by_place.get(_slot(message.pci_bus_id)) if message.pci_bus_id else None,
            what=sentence_of(message),
            advice=meaning.advice,
            key=f"{node.boot_id or node.name}:{message.seq}",
            code=message.code,
            news=before is not None,
        )


def _slot(bus_id: str | None) -> str:
    """A PCI address without its function and the zeros of its domain, which not everybody writes."""
    domain, _, rest = (bus_id or "").casefold().partition(":")
    return f"{domain.lstrip('0')}:{rest.partition('.')[0]}"


def _of_conditions(before: Iterable[Condition], after: Iterable[Condition], now_s: float) -> Iterator[Event]:
    """Conditions that begin to be told, that grew worse, and that are over."""
    known = {condition.key: condition for condition in before if condition.confirmed}
    told = {condition.key: condition for condition in after if condition.confirmed}
    for key, condition in told.items():
        earlier = known.get(key)
        if earlier is None:
            yield _event(condition, condition.since_s, "begun")
        elif condition.severity.rank > earlier.severity.rank:
            yield _event(condition, now_s, f"worse/{condition.severity.value}")
    for key, condition in known.items():
        if key not in told:
            yield replace(_event(condition, now_s, "over"), over=True, advice=None, what=f"over: {condition.what}")


def _event(condition: Condition, at_s: float, what_of_it: str) -> Event:
    return Event(
        at_s=at_s,
        trouble=condition.trouble,
        severity=condition.severity,
        node=condition.node,
        device=condition.device,
        what=condition.what,
        advice=condition.advice,
        key=f"{condition.node}/{condition.device or ''}/{condition.trouble.value}/{condition.since_s:.3f}/{what_of_it}",
    )
