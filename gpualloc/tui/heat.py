"""The heat grid: one character for each GPU of the fleet, and where each of them stands. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct
from rich.cells import cell_len

from gpualloc.model.inventory import Device, DeviceState
from gpualloc.tui.cells import memory_ratio
from gpualloc.tui.rows import FleetRow, Moment
from gpualloc.tui.seen import SeenNode
from gpualloc.tui.text import plain

MARGIN = 1
"""Cells left of everything, for the mark of the node under the cursor."""
_LONGEST_LABEL = 14
_LABELS_FROM = 40
"""Width from which lines of a dense grid begin with the name of their first node."""
_COOL_C, _HOT_C = 30, 90


class Metric(Struct, frozen=True):
    """A reading that the grid can draw."""

    name: str
    """As the field of the list is named."""
    title: str
    low: str
    """What the lowest character stands for."""
    high: str
    ratio: Callable[[Device], float | None]
    """How full, 0..1, bounded when drawn; None is unknown."""


def _power(device: Device) -> float | None:
    if device.power_w is None or not device.power_limit_w:
        return None
    return device.power_w / device.power_limit_w


def _warmth(device: Device) -> float | None:
    return None if device.temperature_c is None else (device.temperature_c - _COOL_C) / (_HOT_C - _COOL_C)


METRICS: tuple[Metric, ...] = (
    Metric("util", "utilization", "0%", "100%", lambda device: device.gpu_utilization_ratio),
    Metric("mem", "memory", "0%", "100%", lambda device: memory_ratio(device.memory_used_mib, device.memory_total_mib)),
    Metric("temp", "temperature", f"{_COOL_C}°C", f"{_HOT_C}°C", _warmth),
    Metric("power", "power of its limit", "0%", "100%", _power),
    Metric("sm", "SM active", "0%", "100%", lambda device: device.activity.sm_active_ratio),
)
"""In the order in which a key goes through them; the first is usual."""


def metric_named(name: str) -> Metric:
    """The metric of that name; the usual one when there is none."""
    return next((one for one in METRICS if one.name == name), METRICS[0])


def metric_after(metric: Metric) -> Metric:
    """The next one."""
    return METRICS[(METRICS.index(metric) + 1) % len(METRICS)]


class Order(StrEnum):
    """How nodes follow each other; the GPUs of a node always do by index."""

    TROUBLE = "trouble first"
    """Nodes that fail, are silent or have a faulty GPU, then the others, both by name: a node has its place for as
    long as nothing breaks or heals, so that a picture can be known by heart, and what is broken is in sight."""
    NAME = "by name"
    HIGHEST = "highest first"
    """Nodes in trouble, then the others by their highest value."""

    @property
    def following(self) -> Order:
        """The next one."""
        orders = list(Order)
        return orders[(orders.index(self) + 1) % len(orders)]


class Block(NamedTuple):
    """What stands together: the GPUs of a node, or one character for a node that has not told of any."""

    node: SeenNode
    kept: Set[str] | None = None
    """UUIDs of its GPUs that are shown; None: all."""

    @property
    def size(self) -> int:
        """How many characters it has."""
        return max(1, len(self.node.devices) if self.kept is None else len(self.kept))

    def devices(self) -> tuple[Device | None, ...]:
        """What its characters stand for: devices by index, None for the node itself."""
        kept = self.kept
        shown = [device for device in self.node.devices if kept is None or device.uuid in kept]
        return tuple(sorted(shown, key=lambda device: (device.index, device.uuid))) or (None,)

    def key(self, slot: int) -> str:
        """Key of the fleet's row for the character at that place."""
        device = self.devices()[slot]
        return self.node.name if device is None else f"{self.node.name}/{device.uuid}"


def blocks(nodes: Iterable[SeenNode]) -> tuple[Block, ...]:
    """Of these nodes those that have GPUs, or may have: one that answered and has none is left out."""
    return tuple(Block(node) for node in nodes if node.devices or node.heard_s is None)


def blocks_of(rows: Iterable[FleetRow]) -> tuple[Block, ...]:
    """The same of rows that a filter kept: no GPU is shown that is not among them. In the order of names."""
    nodes: dict[str, SeenNode] = {}
    kept: dict[str, set[str]] = {}
    for row in rows:
        uuids = kept.setdefault(row.node.name, set())
        nodes[row.node.name] = row.node
        if row.device is not None:
            uuids.add(row.device.uuid)
    return tuple(Block(nodes[name], kept[name]) for name in sorted(nodes) if kept[name] or nodes[name].heard_s is None)


def is_silent(node: SeenNode, moment: Moment) -> bool:
    """Whether what the node said is no longer known to be true."""
    return moment.is_stale(FleetRow(node, None))


def in_trouble(node: SeenNode, moment: Moment) -> bool:
    """Whether somebody should look at it: it fails, is silent, or has a faulty GPU. One not heard yet is waited for."""
    if node.node is None:
        return False
    return is_silent(node, moment) or any(device.state is not DeviceState.OK for device in node.devices)


def ordered(found: Sequence[Block], order: Order, metric: Metric, moment: Moment) -> tuple[Block, ...]:
    """Blocks, given by name, in that order."""
    if order is Order.NAME:
        return tuple(found)
    troubled = [block for block in found if in_trouble(block.node, moment)]
    names = {block.node.name for block in troubled}
    well = [block for block in found if block.node.name not in names]
    if order is Order.HIGHEST:
        well.sort(key=lambda block: -_highest(block, metric))
    return (*troubled, *well)


def _highest(block: Block, metric: Metric) -> float:
    values = (metric.ratio(device) for device in block.node.devices if block.kept is None or device.uuid in block.kept)
    return max((value for value in values if value is not None), default=-1.0)


class Piece(NamedTuple):
    """A run of characters of one block on one line."""

    block: int
    """Which block."""
    first: int
    """The first of its characters."""
    length: int
    x: int
    """Where the characters begin."""


class Layout(Struct, frozen=True):
    """Where every character stands; made of sizes and names alone."""

    lines: tuple[tuple[Piece, ...], ...]
    label_width: int
    """Of names in front of characters; 0: there are none."""
    named: bool
    """Whether every block has its name in front, else only the first of each line."""
    place: Mapping[int, tuple[int, ...]]
    """By block the lines that it stands on."""

    def at(self, x: int, line: int) -> tuple[int, int] | None:
        """Block and character that stand nearest to `x` on that line; None when there is no such line."""
        if not 0 <= line < len(self.lines):
            return None
        piece = min(self.lines[line], key=lambda one: max(one.x - x, x - one.x - one.length + 1, 0))
        return piece.block, piece.first + min(max(0, x - piece.x), piece.length - 1)

    def where(self, block: int, slot: int) -> tuple[int, int]:
        """Column and line of a character."""
        for line in self.place[block]:
            for piece in self.lines[line]:
                if piece.block == block and piece.first <= slot < piece.first + piece.length:
                    return piece.x + slot - piece.first, line
        raise KeyError((block, slot))


def arranged(shapes: Sequence[tuple[str, int]], width: int, most_lines: int) -> Layout:
    """Where the characters of blocks stand.

    Args:
        shapes: name and size of each block, in order.
        width: cells of a line.
        most_lines: so many are in view; with names in front of all blocks there are no more, or they are left out.
    """
    longest = min(_LONGEST_LABEL, max((cell_len(plain(name)) for name, _ in shapes), default=0))
    widest = max((size for _, size in shapes), default=1)
    column = longest + 1 + widest + 2
    columns = (width - MARGIN + 1) // column
    if columns and -(-len(shapes) // columns) <= most_lines:
        return _laid(_named(shapes, columns, column, longest + 1), longest, named=True)
    label = longest if width >= _LABELS_FROM else 0
    return _laid(_dense(shapes, MARGIN + (label + 1 if label else 0), width), label, named=False)


def _named(shapes: Sequence[tuple[str, int]], columns: int, column: int, indent: int) -> Iterable[tuple[Piece, ...]]:
    for first in range(0, len(shapes), columns):
        row = shapes[first : first + columns]
        yield tuple(Piece(first + at, 0, size, MARGIN + at * column + indent) for at, (_, size) in enumerate(row))


def _dense(shapes: Sequence[tuple[str, int]], indent: int, width: int) -> Iterable[tuple[Piece, ...]]:
    line: list[Piece] = []
    x = indent
    room = max(1, width - indent)
    for block, (_, size) in enumerate(shapes):
        if line and x + size > width:
            yield tuple(line)
            line, x = [], indent
        for first in range(0, size, room):
            if first:
                yield tuple(line)
                line, x = [], indent
            count = min(room, size - first)
            line.append(Piece(block, first, count, x))
            x += count + 1
    if line:
        yield tuple(line)


def _laid(lines: Iterable[tuple[Piece, ...]], label_width: int, *, named: bool) -> Layout:
    made = tuple(lines)
    place: dict[int, tuple[int, ...]] = {}
    for at, line in enumerate(made):
        for piece in line:
            place[piece.block] = (*place.get(piece.block, ()), at)
    return Layout(made, label_width, named, place)
