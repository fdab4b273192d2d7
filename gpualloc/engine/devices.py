"""Devices as operators name them."""

from __future__ import annotations

from gpualloc.errors import NotFoundError
from gpualloc.model.inventory import Device, Node, NodeState, Snapshot


def find_device(snapshot: Snapshot, reference: str) -> tuple[Node, Device]:
    """The device of that UUID, unique start of a UUID (8 characters or more), or `NODE:INDEX`.

    Raises:
        NotFoundError: none or several match.
    """
    devices = [(node, device) for node in snapshot.reached for device in node.devices]
    name, _, index = reference.rpartition(":")
    found = [
        (node, device)
        for node, device in devices
        if device.uuid == reference
        or (len(reference) >= 8 and device.uuid.startswith(reference))
        or (node.name == name and str(device.index) == index)
    ]
    exact = [pair for pair in found if pair[1].uuid == reference] or found
    if len(exact) == 1:
        return exact[0]
    silent = [node.name for node in snapshot.nodes if node.state is not NodeState.OK]
    unseen = f"; {', '.join(silent)} did not answer" if silent else ""
    what = "several devices match" if exact else "there is no device"
    raise NotFoundError(
        f"{what} {reference!r}{unseen}",
        hint="name it as NODE:INDEX, by its UUID, or by the first 8 characters of that or more",
    )


def device_of(node: Node, text: str) -> Device:
    """The device of a node that an index, a UUID or the unique start of a UUID names.

    Raises:
        NotFoundError: none does, or several.
    """
    found = [each for each in node.devices if text in (each.uuid, str(each.index))]
    found = found or [each for each in node.devices if text.startswith("GPU-") and each.uuid.startswith(text)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{each.index} ({each.uuid})" for each in node.devices) or "none"
    raise NotFoundError(
        f"{node.name} has {'several devices' if found else 'no device'} {text!r}", hint=f"its devices: {there}"
    )
