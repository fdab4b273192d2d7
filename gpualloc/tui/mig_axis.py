"""The MIG instances of a device, drawn where they lie on its axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gpualloc.model.inventory import Device, MigInstance, Node
from gpualloc.model.mig import Place, axis_units, free_places, layout_of
from gpualloc.tui.cells import Cell, Role, Span, bar, cell, fitted, gib, memory_ratio
from gpualloc.tui.text import clip, plain
from gpualloc.views.device_marks import holders

_LEAST_UNIT = 5
_MOST_UNIT = 12
_USED_WIDTH = 10


class _Drawn(Struct, frozen=True):
    """An instance, and who has it."""

    instance: MigInstance
    held: Cell

    @property
    def start(self) -> int:
        return self.instance.start or 0

    @property
    def role(self) -> Role:
        if not self.held:
            return Role.GOOD
        return Role.WARN if self.held[0].role is Role.WARN else Role.MEMORY


def mig_lines(node: Node, device: Device, names: Mapping[str, str], width: int) -> list[Cell]:
    """The axis with its units, the instances in their places, then a line for each; empty without MIG.

    Args:
        node: the device's node, for its claims.
        device: what it is about.
        names: of workloads, by id.
        width: terminal cells.
    """
    if not device.mig_enabled:
        return []
    if not device.mig_profiles:
        return [cell(" MIG is on; the driver does not tell which instances it could have", Role.DIM)]
    units = axis_units(device.mig_profiles)
    unit = max(_LEAST_UNIT, min(_MOST_UNIT, (width - 2) // units))
    drawn = [_Drawn(one, _holders(node, device, one, names)) for one in device.mig_instances]
    numbers = cell(" " + "".join(f"{at:<{unit}}" for at in range(units)), Role.DIM)
    lines = [_instance_line(one, width) for one in drawn]
    return [numbers, _axis(drawn, units, unit), *lines, _free_line(device)]


def _axis(drawn: Sequence[_Drawn], units: int, unit: int) -> Cell:
    spans: list[Span] = [Span(" ")]
    at = 0
    for one in sorted(drawn, key=lambda one: one.start):
        if one.instance.start is None or one.instance.size is None:
            continue
        spans.append(_gap((one.start - at) * unit))
        room = one.instance.size * unit - 2
        who = one.held[0].text if one.held else "free"
        spans.append(Span("[" + clip(f"{plain(one.instance.profile, 20)} {who}", room).ljust(room) + "]", one.role))
        at = one.start + one.instance.size
    spans.append(_gap((units - at) * unit))
    return tuple(spans)


def _gap(cells: int) -> Span:
    return Span("·" * max(0, cells), Role.DIM)


def _instance_line(drawn: _Drawn, width: int) -> Cell:
    one = drawn.instance
    place = "at n/a" if one.start is None else f"at {one.start}"
    used = "n/a" if one.memory_used_mib is None else gib(one.memory_used_mib)
    total = "n/a" if one.memory_total_mib is None else gib(one.memory_total_mib)
    active = one.activity.sm_active_ratio
    line = (
        *fitted(cell(f" {plain(one.profile, 20)}", Role.NAME), 14),
        *fitted(cell(place), 7),
        *bar(memory_ratio(one.memory_used_mib, one.memory_total_mib), _USED_WIDTH, Role.MEMORY),
        *fitted(cell(f" {used}/{total} GiB"), 18),
        *fitted(cell("SMs n/a" if active is None else f"SMs {active * 100:.0f} %", Role.DIM), 10),
        *fitted(drawn.held or cell("free", Role.DIM), 20),
        *cell(plain(one.uuid), Role.DIM),
    )
    return fitted(line, width)


def _holders(node: Node, device: Device, one: MigInstance, names: Mapping[str, str]) -> Cell:
    """The workloads that claim an instance, else whose processes are on it."""
    booked = [plain(names.get(each, each), 30) for each in holders(node, device.uuid, one.uuid)]
    if booked:
        return cell(", ".join(booked))
    users = {process.user or f"pid {process.pid}" for process in node.processes if process.mig_instance == one.uuid}
    return cell(", ".join(plain(user, 30) for user in sorted(users)) + " stranger", Role.WARN) if users else ()


def _free_line(device: Device) -> Cell:
    layout = layout_of(Place(one.profile, one.start) for one in device.mig_instances if one.start is not None)
    found: dict[str, list[str]] = {}
    for place in free_places(device.mig_profiles, layout):
        found.setdefault(place.profile, []).append(str(place.start))
    room = "  ".join(f"{plain(profile)} at {','.join(starts)}" for profile, starts in found.items())
    return (Span(" room for  ", Role.DIM), Span(room or "nothing more", Role.PLAIN if room else Role.WARN))
