"""How the devices of a node reach each other, as a matrix."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.inventory import Device
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.text import plain

_WORDS = {
    "NV": "NVLinks",
    "PIX": "one PCIe switch",
    "PXB": "several PCIe switches",
    "PHB": "host bridge",
    "NODE": "one NUMA node",
    "SYS": "across NUMA nodes",
}
_NEAR, _FAR = ("NV", "PIX"), ("SYS", "NODE")


def topology_lines(devices: Sequence[Device], width: int) -> list[Cell]:
    """A line per device with the way to each other one, then what the words mean; empty where none is known."""
    placed = sorted(devices, key=lambda device: device.index)
    if not any(device.peers for device in placed):
        return []
    room = max(1, (width - 12) // 5)
    shown = placed[:room]
    heading = "".join(f"{f'GPU{device.index}':>5}" for device in shown)
    lines: list[Cell] = [cell(f"       {heading}  NUMA", Role.DIM)]
    for device in placed:
        numa = "" if device.numa_node is None else str(device.numa_node)
        row = tuple(_way(device, other) for other in shown)
        lines.append((*cell(f" GPU{device.index:<3}", Role.DIM), *row, *cell(f"  {numa:>4}", Role.DIM)))
    ways = {plain(way, 8) for device in placed for way in device.peers.values()}
    known = [f"{name} {what}" for name, what in _WORDS.items() if any(way.startswith(name) for way in ways)]
    lines.append(cell("  ".join((" ", *known)), Role.DIM))
    if len(shown) < len(placed):
        lines.append(cell(f"  {len(placed) - len(shown)} more columns do not fit", Role.DIM))
    return lines


def _way(device: Device, other: Device) -> Span:
    if other.uuid == device.uuid:
        return Span("    ·", Role.DIM)
    way = device.peers.get(other.uuid)
    if way is None:
        return Span("  n/a", Role.DIM)
    role = Role.GOOD if way.startswith(_NEAR) else Role.WARN if way.startswith(_FAR) else Role.PLAIN
    return Span(f"{plain(way, 4):>5}", role)
