"""A dialog in which the policy and the objective of plans are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from gpualloc.model.objective import Objective
from gpualloc.policies.catalog import Listed
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.columns import Column, PlacedColumn
from gpualloc.tui.drafts import Aim
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.table import Table

_KEYS = "Enter takes the policy  < > change the objective  Esc leaves"


class PolicyTable(Table[Listed]):
    """The installed policies."""

    def __init__(self, configured: str) -> None:
        super().__init__(id="policies")
        self._configured = configured

    def columns(self, width: int) -> Sequence[Column]:  # noqa: ARG002 (the same in every width)
        """Name, kind, and what it does."""
        return (
            Column("name", "POLICY", least=12, most=24, priority=0),
            Column("kind", "KIND", least=8, most=10, priority=2),
            Column("about", "WHAT IT DOES", least=20, most=120, priority=1),
        )

    def key_of(self, row: Listed) -> str:
        """Its name."""
        return row.name

    def draw(self, row: Listed, placed: PlacedColumn) -> Cell:
        """One cell."""
        if placed.column.key == "name":
            mark = " (configured)" if row.name == self._configured else ""
            return (Span(plain(row.name)), Span(mark, Role.DIM))
        if placed.column.key == "kind":
            return cell(row.kind, Role.DIM)
        return cell(plain(row.about or row.source), Role.DIM)


class PolicyScreen(ModalScreen[Aim | None]):
    """Asks by what plans are made; None when it is left.

    Args:
        policies: all there are.
        aim: by what they are made now.
        configured: name of the configured policy.
        objective: the configured objective.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave it", show=False),
        Binding("less_than_sign,minus,h,left", "shift(-1)", "objective", show=False),
        Binding("greater_than_sign,plus,l,right", "shift(1)", "objective", show=False),
        Binding("q,ctrl+c", "app.quit", "quit", show=False),
    ]

    def __init__(self, policies: Sequence[Listed], aim: Aim, configured: str, objective: Objective) -> None:
        super().__init__()
        self._policies = policies
        self._aim = aim
        self._configured = configured
        self._configured_objective = objective
        self._objective = aim.objective or objective

    def compose(self) -> ComposeResult:
        """A title, the objectives, the policies, and the keys."""
        with Vertical(classes="window tall"):
            yield Lines(classes="window-title")
            yield Lines(id="objectives")
            yield PolicyTable(self._configured)
            yield Lines(classes="window-keys")

    def on_mount(self) -> None:
        """Draw them."""
        self.query_one(".window-title", Lines).show([cell("Policy and objective of plans", Role.NAME)])
        self.query_one(".window-keys", Lines).show([cell(_KEYS, Role.DIM)])
        self.query_one(PolicyTable).focus()
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        """Fit it in."""
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        table = self.query_one(PolicyTable)
        first = not table.rows
        table.show(self._policies)
        if first:
            table.move_to(self._aim.policy or self._configured)
        self._draw_objectives()

    def _draw_objectives(self) -> None:
        spans = [Span("objective ", Role.DIM)]
        for one in Objective:
            text = f"[{one.value}]" if one is self._objective else f" {one.value} "
            spans.append(Span(text, Role.KEY if one is self._objective else Role.PLAIN))
        self.query_one("#objectives", Lines).show([tuple(spans)])

    def action_shift(self, by: int) -> None:
        """Another objective."""
        known = list(Objective)
        self._objective = known[(known.index(self._objective) + by) % len(known)]
        self._draw_objectives()

    def action_leave(self) -> None:
        """Leave it as it is."""
        self.dismiss(None)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Take it."""
        event.stop()
        policy = None if event.key == self._configured else event.key
        objective = None if self._objective is self._configured_objective else self._objective
        self.dismiss(Aim(policy, objective))
