"""Every key, view and command, taken from the bindings and the commands themselves."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.commands import Command
from gpualloc.tui.keys import bindings_of, key_name
from gpualloc.tui.screens.catalog import PLACES
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.screens.view import View
from gpualloc.tui.state import State
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.table import Table

_KEY_WIDTH = 16
_LEAST_TEXT = 20
_LISTS = (ListedView, ListTable, Table)
_LIST_KEYS = [one for kind in _LISTS for one in bindings_of(kind)]
_Group = tuple[str, Sequence[Binding]]
_WORD = re.compile("([A-Z])")
NOTES = (
    "n/a is a reading that nobody could take; Enter on the row tells why. It is never shown as 0.",
    "AGE is the time since the readings of a row were true. Rows that are no longer known to be true are dim.",
    "A stranger is a process that nobody booked; its GPU is not free.",
)


def key_lines(groups: Iterable[_Group], width: int) -> list[Cell]:
    """Bindings under the title of their group, in lines of that width; nothing of a group without any."""
    lines: list[Cell] = []
    for title, bindings in groups:
        if not bindings:
            continue
        lines.append(cell(title, Role.NAME))
        for binding in bindings:
            keys = " ".join(key_name(key.strip()) for key in binding.key.split(","))
            lines += _entry(keys, binding.tooltip or binding.description, width)
        lines.append(())
    return lines


def _entry(name: str, what: str, width: int, room: int = _KEY_WIDTH) -> list[Cell]:
    """A name in its room, and what it means; what is too long goes on below its own beginning."""
    head = f"  {name:<{room}}"
    first, *more = textwrap.wrap(what, max(_LEAST_TEXT, width - len(head))) or [""]
    return [(Span(head, Role.KEY), Span(first)), *(cell(" " * len(head) + text) for text in more)]


def _declaring(kind: type, *others: type) -> list[type]:
    """The classes of the dashboard that give this kind its keys, without those that are told elsewhere."""
    return [
        one
        for one in kind.__mro__
        if one.__module__.startswith("gpualloc.") and one not in others and "BINDINGS" in vars(one)
    ]


def _title_of(kind: type) -> str:
    """`PromptLine` as `Prompt line`."""
    return _WORD.sub(r" \1", kind.__name__).strip().capitalize()


def command_lines(commands: Iterable[Command], width: int) -> list[Cell]:
    """Commands and what they do, in lines of that width."""
    lines: list[Cell] = [cell("Commands behind :", Role.NAME)]
    named = [(f":{command.name} {command.argument}".rstrip(), command) for command in commands]
    room = max((len(name) + 2 for name, _ in named), default=_KEY_WIDTH)
    for name, command in named:
        also = f"  (also {', '.join(command.aliases)})" if command.aliases else ""
        lines += _entry(name, f"{command.what}{also}", width, room)
    return [*lines, ()]


def _own(kind: type[View]) -> list[Binding]:
    """The keys of a view itself."""
    return [one for declares in _declaring(kind, *_LISTS, View) for one in bindings_of(declares)]


def _elsewhere(below: View) -> list[_Group]:
    """Keys of the views that can be gone to from that one."""
    kinds = [one.kind() for one in PLACES if one.name != below.NAME]
    lists: _Group = ("Lists of other views", [] if _has_list(below) else _LIST_KEYS)
    return [*((f"{kind.HEADING} view (:{kind.NAME})", _own(kind)) for kind in kinds if kind is not HelpView), lists]


def _has_list(view: View) -> bool:
    return any(_in_sight(table) for table in view.query(ListTable))


def _in_sight(widget: Widget) -> bool:
    return all(one.display for one in widget.ancestors_with_self if isinstance(one, Widget))


class HelpView(View):
    """Keys that work where it was called from, the commands, and the keys of the other views."""

    NAME = "help"
    HEADING = "Help"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll(1)", "down", show=False, tooltip="One line down"),
        Binding("up,k", "scroll(-1)", "up", show=False, tooltip="One line up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, tooltip="A screenful down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, tooltip="A screenful up"),
    ]

    def body(self) -> ComposeResult:
        """One long text."""
        with VerticalScroll(id="help-body", can_focus=False):
            yield Lines(id="help-lines", classes="wrapped")

    def draw(self, state: State) -> None:  # noqa: ARG002 (the same whatever was seen)
        """Write it down."""
        views = [screen for screen in self.app.screen_stack if isinstance(screen, View) and screen is not self]
        below = views[-1] if views else self
        width = self.query_one("#help-body").scrollable_content_region.width
        lines = [*key_lines(self._here(below), width), *command_lines(self.shell.commands().all, width)]
        lines.append(cell("Reading the screen", Role.NAME))
        lines += [cell(f"  {text}") for note in NOTES for text in textwrap.wrap(note, max(_LEAST_TEXT, width - 2))]
        lines += [(), *key_lines(_elsewhere(below), width)]
        self.query_one("#help-lines", Lines).show(lines)

    def _here(self, below: View) -> list[_Group]:
        """What works in the view below, as it stands."""
        shown = [widget for widget in below.query("*") if _in_sight(widget)]
        parts = dict.fromkeys(kind for widget in shown for kind in _declaring(type(widget), *_LISTS))
        allows = below.check_action
        offered = [one for one in _own(type(below)) if allows(one.action.partition("(")[0], ()) is not False]
        every = (*_declaring(type(self.app)), View)
        return [
            (f"{below.HEADING} view", offered),
            *((_title_of(kind), bindings_of(kind)) for kind in parts),
            ("Lists", _LIST_KEYS if _has_list(below) else []),
            ("Every view", [one for kind in every for one in bindings_of(kind)]),
        ]

    def action_scroll(self, by: int) -> None:
        """Scroll by lines."""
        self.query_one("#help-body").scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        """Scroll by a screenful."""
        body = self.query_one("#help-body")
        body.scroll_relative(y=by * max(1, body.size.height - 1), animate=False)
