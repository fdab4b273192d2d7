"""What to do when no node has a GPU: in place of empty lists, with commands to take away."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct
from textual import events
from textual.binding import Binding, BindingType

from gpualloc.tui.cells import Cell, Role, Span, cell, fitted
from gpualloc.tui.messages import Said
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.lines import Lines

_NAMED = 5
"""Of so many nodes it is told why they have no GPU."""
_MARK = "> "


class Way(Struct, frozen=True):
    """Something to try."""

    command: str
    what: str


WAYS = (
    Way("gpualloc --sim demo top", "look round a simulated cluster"),
    Way("gpualloc init", "write a configuration from your ssh hosts"),
    Way("gpualloc doctor", "what is wrong where, and what to do about it"),
    Way("gpualloc run --gpus 0 -- date", "run work here that needs no GPU"),
)
"""What can be done now, the easiest first."""
_COMMAND_WIDTH = max(len(way.command) for way in WAYS) + 2


def welcome_lines(seen: Seen, chosen: int) -> list[Cell]:
    """Why there is no device, and ways to see some.

    Args:
        seen: what was seen; no node of it has a device.
        chosen: which of the ways is marked.
    """
    return [
        (),
        cell(" No GPU is to be seen", Role.NAME),
        *_reasons(seen),
        (),
        (Span(" What you can do now", Role.NAME), Span("   y or Enter copies the command, q leaves", Role.DIM)),
        *(_way_line(way, marked=at == chosen) for at, way in enumerate(WAYS)),
        (),
        (
            Span(" GPUs of other machines", Role.NAME),
            Span("   three lines of configuration, and your own ssh", Role.DIM),
        ),
        cell("   [pools.a100]", Role.KEY),
        cell('   nodes = "gpu[01-04]"', Role.KEY),
        cell('   labels = { rack = "b2" }', Role.KEY),
        (),
        cell(" This screen changes by itself as soon as a GPU is seen. ? lists all keys.", Role.DIM),
    ]


class Welcome(Lines, can_focus=True):
    """Shown in place of the lists while there is no device."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "choose(1)", "next", show=False, tooltip="The next command"),
        Binding("up,k", "choose(-1)", "previous", show=False, tooltip="The command before"),
        Binding("y,enter", "copy", "copy", tooltip="Copy the command"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._seen: Seen | None = None
        self._chosen = 0

    def show_for(self, seen: Seen) -> None:
        """Draw what fits the nodes seen."""
        self._seen = seen
        width = max(1, self.size.width)
        # Each line stays one, so that a click finds its command.
        self.show([fitted(line, width) for line in welcome_lines(seen, self._chosen)])

    def on_resize(self) -> None:
        """Cut the lines anew."""
        if self._seen is not None:
            self.show_for(self._seen)

    def action_choose(self, by: int) -> None:
        """Mark another command."""
        self._chosen = (self._chosen + by) % len(WAYS)
        if self._seen is not None:
            self.show_for(self._seen)

    def action_copy(self) -> None:
        """Copy the marked command; nothing is started."""
        command = WAYS[self._chosen].command
        self.app.copy_to_clipboard(command)
        self.post_message(Said(f"copied: {command}"))

    def on_click(self, event: events.Click) -> None:
        """Mark the command under the mouse; a double click copies it."""
        commands = [way.command for way in WAYS]
        line = "".join(span.text for span in self.lines[event.y]) if event.y < len(self.lines) else ""
        for at, command in enumerate(commands):
            if command in line:
                self.action_choose(at - self._chosen)
                if event.chain == 2:
                    self.action_copy()


def _way_line(way: Way, *, marked: bool) -> Cell:
    mark = Span(f" {_MARK}" if marked else "   ", Role.KEY)
    return (
        mark,
        Span(f"{way.command:<{_COMMAND_WIDTH}}", Role.KEY),
        Span(way.what, Role.PLAIN if marked else Role.DIM),
    )


def _reasons(seen: Seen) -> list[Cell]:
    lines: list[Cell] = [
        (Span(f"   {plain(node.name, 30)}  "), Span(_reason(node), Role.WARN)) for node in seen.nodes[:_NAMED]
    ]
    if not seen.nodes:
        lines.append(cell("   no node is configured", Role.WARN))
    if len(seen.nodes) > _NAMED:
        lines.append(cell(f"   and {len(seen.nodes) - _NAMED} more nodes; 2 lists them", Role.DIM))
    return lines


def _reason(node: SeenNode) -> str:
    """Why it shows no device, safe to draw."""
    answer = node.node
    if answer is None:
        return "has not answered yet"
    if node.failing:
        return plain(f"{answer.state.value}: {answer.reason or 'no reason was given'}", 200)
    if answer.nvml_reason is not None:
        return plain(f"no NVML: {answer.nvml_reason}", 200)
    return "its driver has no GPU"
