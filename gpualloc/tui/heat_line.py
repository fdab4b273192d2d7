"""Lines of the heat grid as cells. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import groupby, takewhile

from rich.cells import cell_len

from gpualloc.model.inventory import Device, DeviceState
from gpualloc.tui import glyphs
from gpualloc.tui.cells import HEATS, Cell, Role, Span, cell, fitted, heat_step, width_of
from gpualloc.tui.heat import Block, Layout, Metric, Piece, is_silent
from gpualloc.tui.rows import Moment
from gpualloc.tui.text import clip_middle, plain

_MARK = ">"
Spot = tuple[int, int | None]
"""Which block, and which of its characters; None: the node as a whole."""


def grid_line(
    blocks: Sequence[Block], layout: Layout, at: int, spot: Spot | None, *, metric: Metric, moment: Moment
) -> Cell:
    """A line of the grid.

    Args:
        blocks: what there is.
        layout: where it stands.
        at: which line.
        spot: where the cursor is; None: nowhere.
        metric: what is drawn.
        moment: by which what is silent is told.
    """
    spans: list[Span] = []
    x = 0
    for number, piece in enumerate(layout.lines[at]):
        label = layout.label_width if layout.named or number == 0 else 0
        begin = piece.x - (label + 1 if label else 0)
        current = spot is not None and spot[0] == piece.block
        spans.append(Span(" " * (begin - x - 1)))
        spans.append(Span(_MARK if current else " ", Role.KEY))
        if label:
            spans += _label(blocks[piece.block], label, current=current)
        shown = characters(blocks[piece.block], piece, metric, moment)
        slot = spot[1] if spot is not None and current else None
        if slot is not None and piece.first <= slot < piece.first + piece.length:
            place = slot - piece.first
            shown[place] = _under_cursor(shown[place], blocks[piece.block].devices()[slot])
        spans += shown
        x = piece.x + piece.length
    runs = groupby(spans, key=lambda span: span.role)
    return tuple(Span("".join(span.text for span in run), role) for role, run in runs)


def _label(block: Block, width: int, *, current: bool) -> Cell:
    name = clip_middle(plain(block.node.name), width)
    return (*fitted(cell(name, Role.NAME if current else Role.DIM), width), Span(" "))


def _under_cursor(span: Span, device: Device | None) -> Span:
    """The digit of its index: a form that no value has, in every theme; what it hides is told beside the legend."""
    return Span(span.text if device is None else str(device.index % 10), Role.SELECT)


def changed_cells(old: Cell | None, new: Cell, width: int) -> tuple[int, int]:
    """The first cell in which a line may differ from what is drawn of it, and the one behind the last."""
    if old is None:
        return 0, width
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    first = width_of(new[:same])
    if width_of(old) != width_of(new):
        return first, width
    rest = zip(reversed(old[same:]), reversed(new[same:]), strict=False)
    last = sum(cell_len(span.text) for span, _ in takewhile(lambda pair: pair[0] == pair[1], rest))
    return first, width_of(new) - last


def characters(block: Block, piece: Piece, metric: Metric, moment: Moment) -> list[Span]:
    """The characters of a block that stand in a piece."""
    node = block.node
    signs = glyphs.current()
    steps, fault, unknown = _spans(signs.heat), Span(signs.fault, Role.FAULT), Span(signs.unknown, Role.UNKNOWN)
    quiet = None if not is_silent(node, moment) else unknown if node.node is None else _SILENT
    found = []
    for device in block.devices()[piece.first : piece.first + piece.length]:
        if device is not None and device.state is not DeviceState.OK:
            found.append(fault)
            continue
        ratio = None if device is None or quiet is not None else metric.ratio(device)
        found.append(quiet or unknown if ratio is None else steps[heat_step(ratio)])
    return found


_SILENT = Span("!", Role.WARN)


@cache
def _spans(signs: tuple[str, ...]) -> tuple[Span, ...]:
    return tuple(Span(sign, role) for sign, role in zip(signs, HEATS, strict=True))


def legend(metric: Metric, *, whole: bool) -> Cell:
    """What the characters mean.

    Args:
        metric: what is drawn.
        whole: whether there is room for the words of each.
    """
    signs = glyphs.current()
    scale = (Span(f"{metric.low} ", Role.DIM), *_spans(signs.heat), Span(f" {metric.high}", Role.DIM))
    if not whole:
        return scale
    words = ((Span(signs.fault, Role.FAULT), "faulty"), (_SILENT, "silent"), (Span(signs.unknown, Role.UNKNOWN), "n/a"))
    return (*scale, *(part for sign, word in words for part in (Span("  "), sign, Span(f" {word}", Role.DIM))))
