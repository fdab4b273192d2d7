"""A node as lines for Prometheus: one block for each family, made once for each picture of the node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gpualloc.model.inventory import Device, Node, NodeState, Process
from gpualloc.views import prometheus_device as of_device
from gpualloc.views import prometheus_node as of_node
from gpualloc.views.prometheus import Family, Labels, Reader, label_text, sample

Block = Mapping[Family, bytes]
"""The lines of one node by family; a family without lines is left out."""

NODE_FAMILIES = (
    of_node.STATE,
    of_node.INFO,
    of_node.HEARD,
    of_node.GPUS_EXPECTED,
    of_node.GPUS,
    *of_node.HOST_READERS,
    *of_node.PORT_READERS,
    of_node.CLAIM,
    of_device.STATE,
    of_device.INFO,
    of_device.PROCESSES,
    *of_device.DEVICE_READERS,
    of_device.THROTTLE,
    *of_device.MIG_READERS,
)
"""Every family of a node in the order of the page, without those of processes."""
PROCESS_FAMILIES = tuple(of_device.PROCESS_READERS)


def node_block(node: Node, *, processes: bool) -> Block:
    """What there is to tell of a node.

    Readings of a node that does not answer now are left out: what it told last is not how it is.

    Args:
        node: the node.
        processes: whether each process has series of its own.
    """
    lines: dict[Family, list[str]] = {}
    for family, labels, value in _standing(node):
        lines.setdefault(family, []).append(sample(family, label_text(labels), value))
    if node.state is NodeState.OK:
        for family, line in _readings(node, processes=processes):
            lines.setdefault(family, []).append(line)
    return {family: "".join(each).encode() for family, each in lines.items()}


def _of(node: Node) -> Labels:
    return ("node", node.name), ("pool", node.spec.pool)


def _standing(node: Node) -> Iterator[tuple[Family, Labels, float]]:
    of = _of(node)
    yield of_node.STATE, (*of, ("state", node.state.value)), 1
    yield (
        of_node.INFO,
        (
            *of,
            ("transport", node.spec.transport),
            ("simulated", "true" if node.simulated else None),
            ("limited", None if node.limited is None else "true"),
            ("hostname", node.hostname),
            ("driver_version", node.driver_version),
        ),
        1,
    )
    if node.state in (NodeState.OK, NodeState.STALE):
        yield of_node.HEARD, of, node.at_s
    if node.spec.gpus is not None:
        yield of_node.GPUS_EXPECTED, of, node.spec.gpus


def _readings(node: Node, *, processes: bool) -> Iterator[tuple[Family, str]]:
    of = _of(node)
    known = label_text(of)
    yield of_node.GPUS, sample(of_node.GPUS, known, len(node.devices))
    yield from _read(of_node.HOST_READERS, node.host, known)
    for port in {port.name: port for port in node.host.ports}.values():
        yield from _read(of_node.PORT_READERS, port, label_text((*of, ("port", port.name), ("kind", port.kind))))
    for labels in dict.fromkeys(_claims(node)):
        yield of_node.CLAIM, sample(of_node.CLAIM, labels, 1)
    counts = _processes_by_device(node.processes)
    devices = {device.uuid: device for device in node.devices}
    for device in devices.values():
        yield from _device(node, device, counts.get(device.uuid, 0))
    if processes:
        yield from _processes(node, devices)


def _claims(node: Node) -> Iterator[str]:
    for claim in node.claims:
        yield label_text(
            (
                *_of(node),
                ("uuid", claim.device),
                ("mig", claim.mig_instance),
                ("workload", claim.workload),
                ("share", claim.share.value),
            )
        )


def _device(node: Node, device: Device, processes: int) -> Iterator[tuple[Family, str]]:
    place: Labels = (*_of(node), ("gpu", str(device.index)), ("uuid", device.uuid))
    of: Labels = (*place, ("model", device.model))
    known = label_text(of)
    board = device.board
    about: Labels = (
        ("architecture", device.architecture),
        ("pci_bus_id", board.pci_bus_id),
        ("vbios_version", board.vbios_version),
    )
    yield of_device.STATE, sample(of_device.STATE, label_text((*of, ("state", device.state.value))), 1)
    yield of_device.INFO, sample(of_device.INFO, label_text((*of, *about)), 1)
    if "processes" not in device.unavailable:
        yield of_device.PROCESSES, sample(of_device.PROCESSES, known, processes)
    yield from _read(of_device.DEVICE_READERS, device, known)
    for throttle in device.throttles or ():
        yield of_device.THROTTLE, sample(of_device.THROTTLE, label_text((*of, ("reason", throttle.value))), 1)
    for instance in of_device.instances_of(device):
        labels = label_text((*place, ("mig", instance.uuid), ("profile", instance.profile)))
        yield from _read(of_device.MIG_READERS, instance, labels)


def _read(readers: Mapping[Family, Reader], of: object, labels: str) -> Iterator[tuple[Family, str]]:
    for family, read in readers.items():
        value = read(of)
        if value is not None:
            yield family, sample(family, labels, value)


def _processes_by_device(processes: Iterable[Process]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for process in processes:
        counts[process.device] = counts.get(process.device, 0) + 1
    return counts


def _processes(node: Node, devices: Mapping[str, Device]) -> Iterator[tuple[Family, str]]:
    told = {(process.pid, process.device, process.mig_instance): process for process in node.processes}
    for process in told.values():
        device = devices.get(process.device)
        labels: Labels = (
            ("node", node.name),
            ("gpu", None if device is None else str(device.index)),
            ("uuid", process.device),
            ("mig", process.mig_instance),
            ("pid", str(process.pid)),
            ("user", process.user),
            ("program", _program(process.command)),
            ("workload", process.workload),
            ("slurm_job", process.slurm_job),
            ("pod", process.pod),
            ("container", process.container),
        )
        yield from _read(of_device.PROCESS_READERS, process, label_text(labels))


def _program(command: str | None) -> str | None:
    """The name of the program alone: arguments may hold what is secret, and make a series of each run."""
    words = (command or "").split(maxsplit=1)
    return words[0].rpartition("/")[2] if words else None
