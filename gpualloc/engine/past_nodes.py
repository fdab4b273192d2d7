"""Nodes as they were at a moment, out of the samples of that moment and what is known of the nodes today; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from gpualloc.engine.past_devices import gone_device, known_device, sampled_device, sampled_instance
from gpualloc.model.allocation import Claim
from gpualloc.model.health import Condition, Heard, SeenDevice, Trouble
from gpualloc.model.inventory import Device, HostReading, MigInstance, Node, NodeSpec, NodeState
from gpualloc.model.sample import Sample, SeriesKind

LIMITED = "it is as the history has it, which keeps nothing of processes, settings and most error counts"
"""`Node.limited` of every node of the past."""
UNSAMPLED = "no sample of it is kept of that time"
GONE = "unknown"
"""Transport of a node that is not configured any more."""

_Values = Mapping[str, float | None]


class Today:
    """What is known of the fleet today: what nodes and boards are, made ready to be asked of many moments.

    Args:
        specs: the nodes that are configured.
        nodes: as they were last seen, each once; those that were not reached with the devices that they had.
        heard: what is remembered of nodes, by name: of boards that are not there any more.
    """

    def __init__(self, specs: Iterable[NodeSpec], nodes: Iterable[Node], heard: Mapping[str, Heard]) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.nodes = {node.name: node for node in nodes}
        self.devices: dict[str, tuple[Device, ...]] = {
            node.name: tuple(known_device(device) for device in node.devices) for node in self.nodes.values()
        }
        self._bases = {device.uuid: device for devices in self.devices.values() for device in devices}
        self.instances: dict[str, tuple[str, MigInstance]] = {
            instance.uuid: (device.uuid, instance)
            for node in self.nodes.values()
            for device in node.devices
            for instance in device.mig_instances
        }
        self._heard: dict[tuple[str, str], SeenDevice] = {
            (name, device.uuid): device for name, one in heard.items() for device in one.devices
        }

    def bases(self, node: str, uuids: Iterable[str]) -> list[Device]:
        """What these boards of a node are; of one that is gone hardly anything."""
        known = [(uuid, self._bases.get(uuid)) for uuid in uuids]
        taken = {device.index for _, device in known if device is not None}
        found = []
        for uuid, device in known:
            found.append(device or self._gone(node, uuid, taken))
            taken.add(found[-1].index)
        return found

    def _gone(self, node: str, uuid: str, taken: set[int]) -> Device:
        """A board that is not there any more, with the number it had if no other has it now."""
        seen = self._heard.get((node, uuid))
        index = None if seen is None else seen.index
        if index is None or index in taken:
            index = max(taken, default=-1) + 1
        return gone_device(uuid, index, None if seen is None else seen.pci_bus_id)


class Then(Struct, frozen=True):
    """What is known of a moment beside its samples."""

    troubles: Mapping[tuple[str, str | None, Trouble], Condition]
    """Conditions by node, device and what they are about."""
    claims: Mapping[str, Sequence[Claim]]
    """What work of ours had, by node."""
    places: Mapping[str, tuple[str, str | None]]
    """By MIG instance that work of ours had, the UUID of its device, and where it was to lie there."""

    def of(self, node: str, device: str | None, trouble: Trouble) -> str | None:
        """What was wrong; None when nothing was."""
        condition = self.troubles.get((node, device, trouble))
        return None if condition is None else condition.what


def nodes_of(samples: Sequence[Sample], at_s: float, today: Today, then: Then) -> tuple[Node, ...]:
    """Every node that is configured or was sampled, as it was, by name.

    Args:
        samples: of that moment, one of each series at most.
        at_s: the moment, epoch seconds.
        today: what is known of the fleet today.
        then: what else is known of that moment.
    """
    by_node: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.series.kind is not SeriesKind.WORKLOAD:
            by_node.setdefault(sample.series.node, []).append(sample)
    names = sorted(today.specs.keys() | by_node.keys())
    return tuple(
        _sampled(name, by_node[name], today, then) if name in by_node else _unsampled(name, at_s, today, then)
        for name in names
    )


def _sampled(name: str, samples: Sequence[Sample], today: Today, then: Then) -> Node:
    values = {sample.series.key: sample.values for sample in samples if sample.series.kind is SeriesKind.DEVICE}
    host = next((sample.values for sample in samples if sample.series.kind is SeriesKind.NODE), {})
    instances = _instances([one for one in samples if one.series.kind is SeriesKind.MIG_INSTANCE], values, today, then)
    state, reason = _state(then.of(name, None, Trouble.NODE_STATE), NodeState.OK, None)
    return _node(
        name,
        today,
        state=state,
        reason=reason,
        at_s=float(max(sample.at_s for sample in samples)),
        nvml_reason=None if values else then.of(name, None, Trouble.DRIVER),
        host=_host(host, today.nodes.get(name)),
        devices=tuple(
            sampled_device(
                base, values[base.uuid], instances.get(base.uuid, ()), then.of(name, base.uuid, Trouble.DEVICE_STATE)
            )
            for base in sorted(today.bases(name, values), key=lambda device: (device.index, device.uuid))
        ),
        claims=tuple(then.claims.get(name, ())),
    )


def _unsampled(name: str, at_s: float, today: Today, then: Then) -> Node:
    state, reason = _state(then.of(name, None, Trouble.NODE_STATE), NodeState.STALE, UNSAMPLED)
    host = _host({}, today.nodes.get(name))
    devices, claims = today.devices.get(name, ()), tuple(then.claims.get(name, ()))
    return _node(name, today, state=state, reason=reason, at_s=at_s, host=host, devices=devices, claims=claims)


def _node(
    name: str,
    today: Today,
    *,
    state: NodeState,
    reason: str | None,
    at_s: float,
    host: HostReading,
    devices: tuple[Device, ...],
    claims: tuple[Claim, ...],
    nvml_reason: str | None = None,
) -> Node:
    """A node with what does not change of it; what can, and is not kept, is as of a node of which nothing is known."""
    known = today.nodes.get(name)
    return Node(
        spec=today.specs.get(name) or NodeSpec(name, "", GONE),
        state=state,
        at_s=at_s,
        reason=reason,
        hostname=None if known is None else known.hostname,
        nvml_reason=nvml_reason,
        host=host,
        devices=devices,
        claims=claims,
        limited=LIMITED,
    )


def _state(trouble: str | None, well: NodeState, reason: str | None) -> tuple[NodeState, str | None]:
    """The state that a condition begins with, and what follows it; without one those that are given."""
    if trouble is None:
        return well, reason
    state = next((state for state in NodeState if trouble.startswith(state.value)), NodeState.FAILED)
    return state, trouble.removeprefix(f"{state.value}: ")


def _instances(
    samples: Iterable[Sample], devices: Mapping[str, object], today: Today, then: Then
) -> Mapping[str, list[MigInstance]]:
    """By device the instances on it, by their place; one of which nobody knows any more where it was is left out."""
    found: dict[str, list[MigInstance]] = {}
    for sample in samples:
        uuid = sample.series.key
        booked = then.places.get(uuid)
        device, instance = today.instances.get(uuid, (None, None))
        place = None
        if booked is not None:
            device, place = device or booked[0], booked[1]
        if device is None and len(devices) == 1:
            (device,) = devices
        if device is not None:
            found.setdefault(device, []).append(sampled_instance(uuid, instance, place, sample.values))
    for instances in found.values():
        instances.sort(key=lambda one: (one.start is None, one.start or 0, one.uuid))
    return found


def _host(values: _Values, today: Node | None) -> HostReading:
    """What the host had to do, and how big it is today."""
    size = HostReading() if today is None else today.host
    available, disk = values.get("memory_available_mib"), values.get("disk_used_mib")
    return HostReading(
        cpus=size.cpus,
        cpu_utilization_ratio=values.get("cpu_utilization_ratio"),
        memory_total_mib=size.memory_total_mib,
        memory_available_mib=None if available is None else round(available),
        disk_total_mib=size.disk_total_mib,
        disk_used_mib=None if disk is None else round(disk),
        network_rx_bytes_per_s=values.get("network_rx_bytes_per_s"),
        network_tx_bytes_per_s=values.get("network_tx_bytes_per_s"),
        swap_in_bytes_per_s=values.get("swap_in_bytes_per_s"),
        disk_reads_per_s=values.get("disk_reads_per_s"),
        disk_writes_per_s=values.get("disk_writes_per_s"),
        network_errors_per_s=values.get("network_errors_per_s"),
        rdma_rx_bytes_per_s=values.get("rdma_rx_bytes_per_s"),
        rdma_tx_bytes_per_s=values.get("rdma_tx_bytes_per_s"),
    )
