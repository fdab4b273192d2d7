"""A node as lines for Prometheus: one block for each family, made once for each picture of the node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from gpualloc.model.inventory import Device, Node, NodeState, Process
from gpualloc.views.prometheus import Family, Labels, label_text, sample
from gpualloc.views.prometheus_device import (
    DEVICE_READERS,
    MIG_READERS,
    PROCESS_READERS,
    THROTTLE,
    instances_of,
)
from gpualloc.views.prometheus_node import (
    CLAIM,
    DEVICE_INFO,
    DEVICE_PROCESSES,
    DEVICE_STATE,
    GPUS,
    GPUS_EXPECTED,
    HEARD,
    HOST_READERS,
    INFO,
    PORT_READERS,
    STATE,
)

_T = TypeVar("_T")

Block = Mapping[Family, bytes]
"""The lines of one node by family; a family without lines is left out."""

STANDING = (STATE, INFO, HEARD, GPUS_EXPECTED)
"""Told of every node, whether it answers or not."""
NODE_FAMILIES = (
    *STANDING,
    GPUS,
    *HOST_READERS,
    *PORT_READERS,
    CLAIM,
    DEVICE_STATE,
    DEVICE_INFO,
    DEVICE_PROCESSES,
    *DEVICE_READERS,
    THROTTLE,
    *MIG_READERS,
)
"""Every family of a node in the order of the page, without those of processes."""
PROCESS_FAMILIES = tuple(PROCESS_READERS)


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
    yield STATE, (*of, ("state", node.state.value)), 1
    yield (
        INFO,
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
        yield HEARD, of, node.at_s
    if node.spec.gpus is not None:
        yield GPUS_EXPECTED, of, node.spec.gpus


def _readings(node: Node, *, processes: bool) -> Iterator[tuple[Family, str]]:
    of = _of(node)
    known = label_text(of)
    yield GPUS, sample(GPUS, known, len(node.devices))
    yield from _read(HOST_READERS, node.host, known)
    for port in {port.name: port for port in node.host.ports}.values():
        yield from _read(PORT_READERS, port, label_text((*of, ("port", port.name), ("kind", port.kind))))
    for labels in dict.fromkeys(_claims(node)):
        yield CLAIM, sample(CLAIM, labels, 1)
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
    yield DEVICE_STATE, sample(DEVICE_STATE, label_text((*of, ("state", device.state.value))), 1)
    yield DEVICE_INFO, sample(DEVICE_INFO, label_text((*of, *about)), 1)
    if "processes" not in device.unavailable:
        yield DEVICE_PROCESSES, sample(DEVICE_PROCESSES, known, processes)
    yield from _read(DEVICE_READERS, device, known)
    for throttle in device.throttles or ():
        yield THROTTLE, sample(THROTTLE, label_text((*of, ("reason", throttle.value))), 1)
    for instance in instances_of(device):
        labels = label_text((*place, ("mig", instance.uuid), ("profile", instance.profile)))
        yield from _read(MIG_READERS, instance, labels)


def _read(readers: Mapping[Family, Callable[[_T], float | None]], of: _T, labels: str) -> Iterator[tuple[Family, str]]:
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
        yield from _read(PROCESS_READERS, process, label_text(labels))


def _program(command: str | None) -> str | None:
    """The name of the program alone: arguments may hold what is secret, and make a series of each run."""
    words = (command or "").split(maxsplit=1)
    return words[0].rpartition("/")[2] if words else None
