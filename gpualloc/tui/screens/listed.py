"""A view with lists in it: filters, orders, columns, exports and copies of whatever list has the focus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType

from gpualloc.tui.cells import Cell, Role, Span
from gpualloc.tui.export import copied, write_export
from gpualloc.tui.listing import Sort
from gpualloc.tui.messages import Back, Said
from gpualloc.tui.query_help import complete, word_start
from gpualloc.tui.screens.choice import Choice, ChoiceScreen, Chosen
from gpualloc.tui.screens.view import View
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.prompt_line import Prompt, PromptLine

_KNOWN_VALUES = 50
"""So many values of a field are offered for completion."""


class ListedView(View):
    """A view with at least one list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", priority=True, tooltip="Show only what a filter keeps"),
        Binding("escape", "leave", "back", show=False, tooltip="Give up the selection, then the filter, then the view"),
    ]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._table: ListTable[Any] | None = None
        self._before: tuple[ListTable[Any], str] | None = None
        """The list whose filter is being typed, and the filter that it had."""

    @property
    def table(self) -> ListTable[Any]:
        """The list that has the focus, or had it last, else the first."""
        if isinstance(self.focused, ListTable):
            return self.focused
        return self.query(ListTable).first() if self._table is None else self._table

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Say of another list what it is filtered and sorted by."""
        if isinstance(event.widget, ListTable) and event.widget is not self._table:
            self._table = event.widget
            self._draw_crumb()

    def status(self) -> Cell:
        """What the list is filtered and sorted by, and how many rows that leaves."""
        table = self.table
        total, shown, filtered = len(table.all_rows), len(table.rows), table.memory.filter.strip()
        marks = " ".join(f"{sort.field}{'▼' if sort.descends else '▲'}" for sort in table.sorts[:3])
        count = f"{shown} of {total}" if filtered else f"{total}"
        spans = [Span(f"/{plain(filtered, 40)}  ", Role.KEY)] if filtered else []
        if table.selected:
            spans.append(Span(f"{len(table.selected)} selected  ", Role.KEY))
        return (
            *spans,
            Span(f"sort {marks}  " if marks else "", Role.DIM),
            Span(count),
            Span(" row" if total == 1 else " rows", Role.DIM),
        )

    def action_leave(self) -> None:
        """Give up the selection, then the filter, then the view."""
        table = self.table
        if table.selected:
            table.selected = set()
            table.show_again()
        elif table.memory.filter:
            self._filter(table, "")
        else:
            self.post_message(Back())
            return
        self.redraw()

    # What lists want.

    def on_list_table_wants(self, event: ListTable.Wants) -> None:
        """Do it."""
        event.stop()
        wishes = {
            "choose_sorts": self._ask_sorts,
            "choose_columns": self._ask_columns,
            "export": self._ask_export,
            "copy": self._copy_key,
            "copy_row": self._copy_row,
        }
        wishes[event.what](event.table)

    def action_filter(self) -> None:
        """Type a filter."""
        table = self.table

        def continuations(text: str) -> tuple[str, ...]:
            if text.startswith("@"):
                return tuple(f"@{name}" for name in sorted(self.shell.filters) if f"@{name}".startswith(text))
            start = word_start(text, len(text))
            words = complete(text, len(text), table.listing.fields, lambda name: _values(table, name))
            return tuple(text[:start] + word for word in words)

        names = " ".join(field.name for field in table.listing.chosen(None)[:5])
        self._before = (table, table.memory.filter)
        prompt = Prompt("filter", "filter", f"a text, or a field: {names} ...", continuations, True, table.filter_words)
        self.ask(prompt, table.memory.filter, lambda text: self._took_filter(table, text))

    def on_prompt_line_edited(self, event: PromptLine.Edited) -> None:
        """Filter while it is typed, as long as it is a filter."""
        if event.prompt.name == "filter" and self._before is not None:
            problem = self._filter(self._before[0], event.text)
            self.query_one(PromptLine).complain(problem)

    def on_prompt_line_left(self, event: PromptLine.Left) -> None:
        """Filter as before something was typed."""
        if event.prompt.name == "filter" and self._before is not None:
            self._filter(*self._before)

    def _took_filter(self, table: ListTable[Any], text: str) -> None:
        problem = self._filter(table, text)
        if problem:
            self._filter(*(self._before or (table, "")))
            self.say(problem, wrong=True)

    def _filter(self, table: ListTable[Any], text: str) -> str:
        if text.startswith("@"):
            saved = self.shell.filters.get(text[1:].strip())
            if saved is None:
                return f"no filter is saved as {plain(text, 40)}"
            text = saved
        problem = table.check_filter(text)
        if problem:
            return problem
        table.memory.filter = text
        table.show_again()
        self._draw_crumb()
        return ""

    def _ask_sorts(self, table: ListTable[Any]) -> None:
        choices = [Choice(field.name, field.title.title(), field.what) for field in table.listing.fields]
        now = [Chosen(sort.field, descends=sort.descends) for sort in table.sorts]

        def took(found: list[Chosen] | None) -> None:
            if found is not None:
                table.memory.sorts = tuple(Sort(one.name, one.descends) for one in found)
                table.show_again()

        self.app.push_screen(ChoiceScreen("Sort by", choices, now, directions=True), took)

    def _ask_columns(self, table: ListTable[Any]) -> None:
        choices = [Choice(field.name, field.title.title(), field.what) for field in table.listing.fields]
        now = [Chosen(field.name) for field in table.listing.chosen(table.memory.columns)]

        def took(found: list[Chosen] | None) -> None:
            if found is not None:
                table.memory.columns = tuple(one.name for one in found) or None
                table.show_again()

        self.app.push_screen(ChoiceScreen("Columns", choices, now), took)

    def _ask_export(self, table: ListTable[Any]) -> None:
        def continuations(text: str) -> tuple[str, ...]:
            stem = text.rsplit(".", 1)[0] or table.listing.name
            return tuple(f"{stem}.{kind}" for kind in ("csv", "json", "svg"))

        prompt = Prompt("export", "write to", "FILE.csv, FILE.json or FILE.svg", continuations)
        self.ask(prompt, f"{table.listing.name}.csv", lambda name: self._export(table, name))

    def _export(self, table: ListTable[Any], name: str) -> None:
        picture = self.app.export_screenshot if name.endswith(".svg") else None
        rows, state = table.rows, self.shell.state
        simulated = self.shell.source.simulated
        drawn = picture() if picture is not None else ""
        self.shell.desk.ask(
            "export",
            lambda: write_export(name, table.listing, rows, state.moment, drawn, simulated=simulated),
            self.say,
            lambda error: self.say(plain(error.message), wrong=True),
        )

    def _copy_key(self, table: ListTable[Any]) -> None:
        if table.current is not None:
            key = table.key_of(table.current).rsplit("/", 1)[-1]
            self.app.copy_to_clipboard(key)
            self.post_message(Said(f"copied {plain(key)}"))

    def _copy_row(self, table: ListTable[Any]) -> None:
        if table.current is not None:
            self.app.copy_to_clipboard(copied(table.listing, table.current, self.shell.state.moment))
            self.post_message(Said("copied the row as JSON"))


def _values(table: ListTable[Any], name: str) -> Iterable[str]:
    """Values of a text field among the rows, each once."""
    try:
        field = table.listing.field(name)
    except KeyError:
        return ()
    found: dict[str, None] = {}
    for row in table.all_rows:
        value = field.value(row, table.moment)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                found[text] = None
        if len(found) >= _KNOWN_VALUES:
            break
    return found
