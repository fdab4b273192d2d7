"""The heat grid on the screen: only lines in view are made, and only what changed on them is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from gpualloc.tui.cells import Cell, Role
from gpualloc.tui.heat import (
    Block,
    Layout,
    Metric,
    Order,
    arranged,
    is_silent,
    ordered,
)
from gpualloc.tui.heat_line import Spot, changed_cells, grid_line
from gpualloc.tui.rows import Moment
from gpualloc.tui.widgets.roles import role_style

_ORDERED_S = 5
"""An order that hangs on the time alone is made anew that often, seconds."""


class HeatGrid(ScrollView, can_focus=True):
    """One character for each GPU, with a cursor that stays on its GPU.

    Args:
        metric: what is drawn at first.
        id: name for the style sheet.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"heat-grid--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "GPU before", show=False, tooltip="The GPU before"),
        Binding("right,l", "step(1)", "next GPU", show=False, tooltip="The next GPU"),
        Binding("down,j", "line(1)", "line down", show=False, tooltip="One line down"),
        Binding("up,k", "line(-1)", "line up", show=False, tooltip="One line up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, tooltip="A screenful down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, tooltip="A screenful up"),
        Binding("home,g", "end(0)", "first", show=False, tooltip="The first GPU"),
        Binding("end,G", "end(-1)", "last", show=False, tooltip="The last GPU"),
        Binding("enter", "open", "details", tooltip="Everything known of the GPU"),
    ]

    class Moved(Message):
        """The cursor was moved to another GPU, or a node that has told of none."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Opened(Message):
        """What is under the cursor was opened."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, metric: Metric, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.metric = metric
        self.order = Order.TROUBLE
        self._given: Sequence[Block] = ()
        self._moment = Moment(0.0, 0.0, 0.0)
        self._ordered_as: tuple[object, ...] = ()
        self._blocks: tuple[Block, ...] = ()
        self._version = 0
        """Counts the blocks that were given and the ways in which they were arranged."""
        self._at: dict[str, int] = {}
        self._shapes: list[tuple[str, int]] = []
        self._laid_as: tuple[int, int, int] = (0, 0, 0)
        self._most_lines = 1
        self._layout = Layout((), 0, True, {})
        self._key = ""
        self._shown: dict[int, Cell] = {}
        """What stands on each line of the screen, to redraw only what differs."""
        self._made: dict[int, Cell] = {}
        """Lines of the grid that were made of what there is now."""
        self._made_of: tuple[object, ...] = ()

    # What its view tells it.

    def show_blocks(self, found: Sequence[Block], moment: Moment, most_lines: int) -> None:
        """Draw these blocks, given by name, as they stand at that moment.

        Args:
            found: the same object as before when nothing was heard and the filter is the same.
            moment: by which what is silent is told.
            most_lines: so high the grid may become.
        """
        self._moment, self._most_lines = moment, most_lines
        wanted = (self.order, self.metric.name, int(moment.ticks_s) // _ORDERED_S)
        if found is not self._given or wanted != self._ordered_as:
            self._given, self._ordered_as = found, wanted
            self._blocks = ordered(found, self.order, self.metric, moment)
            self._version += 1
        self._lay()
        self._redraw_changed()

    def put_cursor(self, key: str) -> None:
        """Put the cursor on the GPU or the node of that row of the fleet, without telling of it."""
        if key == self._key:
            return
        self._forget_lines()
        self._key = key
        self._forget_lines()
        self._bring_into_view()
        self._redraw_changed()

    # Where things stand.

    def _lay(self) -> None:
        width, most_lines = self.scrollable_content_region.width, self._most_lines
        laid_as = (self._version, width, most_lines)
        if laid_as == self._laid_as or not width:
            return
        shapes = [(block.node.spec.name, block.size) for block in self._blocks]
        same = shapes == self._shapes and laid_as[1:] == self._laid_as[1:]
        self._shapes, self._laid_as = shapes, laid_as
        if not same:
            self._at = {name: at for at, (name, _) in enumerate(shapes)}
            self._layout = arranged(shapes, width, most_lines)
            self._shown.clear()
            self._made.clear()
            self.refresh()
            self._fit(Size(width, len(self._layout.lines)))

    def _fit(self, size: Size) -> None:
        if size != self.virtual_size:
            self.virtual_size = size
        height = max(1, min(self._most_lines, size.height))
        if height != self.size.height:
            self.styles.height = height
        self._bring_into_view()

    def _spot(self) -> Spot | None:
        """Block under the cursor and its character there, None on the node as a whole; None: on neither."""
        name, _, uuid = self._key.partition("/")
        block = self._at.get(name)
        if block is None:
            return None
        slots = self._blocks[block].devices()
        return block, next((at for at, one in enumerate(slots) if one is not None and one.uuid == uuid), None)

    def _forget_lines(self) -> None:
        """Make the lines anew on which the cursor's block stands."""
        spot = self._spot()
        for line in () if spot is None else self._layout.place[spot[0]]:
            self._made.pop(line, None)

    def _bring_into_view(self) -> None:
        spot = self._spot()
        if spot is None:
            return
        _, line = self._layout.where(spot[0], spot[1] or 0)
        top, page = self.scroll_offset.y, max(1, self.size.height)
        wanted = min(max(top, line - page + 1), line)
        if wanted != top:
            self.scroll_to(y=wanted, animate=False, force=True)

    # Drawing.

    def render_line(self, y: int) -> Strip:
        """One line on the screen."""
        line = self._line(y + self.scroll_offset.y)
        self._shown[y] = line
        return self._strip(line)

    def _strip(self, line: Cell) -> Strip:
        base = self.rich_style
        cursor = self.get_component_rich_style("heat-grid--cursor")
        segments = [
            Segment(span.text, cursor if span.role is Role.SELECT else base + role_style(self, span.role))
            for span in line
        ]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _redraw_changed(self) -> None:
        made_of = self._look()
        if made_of != self._made_of:
            self._made_of = made_of
            self._made.clear()
        for y in range(self.size.height):
            new, old = self._line(y + self.scroll_offset.y), self._shown.get(y)
            if new != old:
                first, last = changed_cells(old, new, self.size.width)
                self.refresh(Region(first, y, last - first, 1))

    def _look(self) -> tuple[object, ...]:
        """What the lines in view are made of: as long as it is the same, so are they."""
        top = self.scroll_offset.y
        silent = tuple(
            is_silent(self._blocks[piece.block].node, self._moment)
            for line in self._layout.lines[top : top + self.size.height]
            for piece in line
        )
        return (self._laid_as, self.metric.name, self.size, top, silent)

    def _line(self, at: int) -> Cell:
        if at not in self._made:
            self._made[at] = self._new_line(at) if at < len(self._layout.lines) else ()
        return self._made[at]

    def _new_line(self, at: int) -> Cell:
        return grid_line(self._blocks, self._layout, at, self._spot(), metric=self.metric, moment=self._moment)

    # Events and keys.

    def on_resize(self) -> None:
        """Arrange it anew."""
        self._lay()
        self._redraw_changed()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a double click opens."""
        found = self._layout.at(event.x, event.y + self.scroll_offset.y)
        if found is not None:
            self._move(found)
            if event.chain == 2:
                self.action_open()

    def action_step(self, by: int) -> None:
        """Move along the line, and on to the next."""
        spot = self._spot()
        if spot is None:
            return
        block, slot = spot[0], (spot[1] or 0) + by
        if slot < 0:
            block, slot = block - 1, -1
        elif slot >= self._shapes[block][1]:
            block, slot = block + 1, 0
        if 0 <= block < len(self._blocks):
            self._move((block, slot))

    def action_line(self, by: int) -> None:
        """Move to another line."""
        spot = self._spot()
        if spot is None:
            return
        x, line = self._layout.where(spot[0], spot[1] or 0)
        found = self._layout.at(x, min(max(0, line + by), len(self._layout.lines) - 1))
        if found is not None:
            self._move(found)

    def action_page(self, by: int) -> None:
        """Move by a screenful."""
        self.action_line(by * max(1, self.size.height - 1))

    def action_end(self, at: int) -> None:
        """Go to the first or the last GPU."""
        if self._blocks:
            self._move((at % len(self._blocks), at))

    def action_open(self) -> None:
        """Say that what is under the cursor was opened."""
        if self._spot() is not None:
            self.post_message(self.Opened(self._key))

    def _move(self, to: tuple[int, int]) -> None:
        key = self._blocks[to[0]].key(to[1])
        if key != self._key:
            self.put_cursor(key)
            self.post_message(self.Moved(key))
