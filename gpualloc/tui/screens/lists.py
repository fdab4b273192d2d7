"""Views that are one list and nothing else: nodes, users, the audit trail."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult

from gpualloc.model.audit import AuditEntry
from gpualloc.tui.actions.action import NodeTarget, Target
from gpualloc.tui.listing import Listing
from gpualloc.tui.listings.audit import AUDIT
from gpualloc.tui.listings.nodes import NODES, NodeRow, node_rows
from gpualloc.tui.listings.users import USERS, UserRow, user_rows
from gpualloc.tui.messages import Go
from gpualloc.tui.query_help import exactly
from gpualloc.tui.rows import FleetRow
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.tui.values import UNKNOWN
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.table import Table

Row = TypeVar("Row")
_AUDIT_EVERY_S = 2.0
_AUDIT_NEWEST = 2000
"""So many entries are listed; `gpualloc audit` has all of them."""


class OneList(ListedView, Generic[Row]):
    """A view that is a list."""

    LISTING: ClassVar[Listing[Any]]

    def body(self) -> ComposeResult:
        """The list."""
        yield ListTable(self.LISTING, self.shell.memory(self.NAME), id="list")

    def rows(self, state: State) -> tuple[Row, ...]:
        """What it lists."""
        raise NotImplementedError

    def unknown(self, state: State) -> str | None:  # noqa: ARG002 (most lists are always known)
        """Why nobody knows what there is to list."""
        return None

    def draw(self, state: State) -> None:
        """Show the rows."""
        self.list.show_rows(self.rows(state), state.moment, unknown=self.unknown(state))

    @property
    def list(self) -> ListTable[Row]:
        """The list."""
        return self.query_one("#list", ListTable)


class NodesView(OneList[NodeRow]):
    """Every node."""

    NAME = "nodes"
    HEADING = "Nodes"
    LISTING = NODES

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._made: tuple[tuple[FleetRow, ...], tuple[NodeRow, ...]] = ((), ())

    def rows(self, state: State) -> tuple[NodeRow, ...]:
        """Made anew when something was heard."""
        if self._made[0] is not state.rows:
            self._made = (state.rows, node_rows(state))
        return self._made[1]

    def targets(self) -> tuple[Target, ...]:
        """Nodes."""
        return tuple(NodeTarget(one.row.node.name) for one in self.list.chosen)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Go to the node."""
        self.post_message(Go("node", event.key))


class UsersView(OneList[UserRow]):
    """Who holds how much."""

    NAME = "users"
    HEADING = "Users"
    LISTING = USERS

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._made: tuple[tuple[FleetRow, ...], tuple[UserRow, ...]] = ((), ())

    def rows(self, state: State) -> tuple[UserRow, ...]:
        """Made anew when something was heard."""
        if self._made[0] is not state.rows:
            self._made = (state.rows, user_rows(state))
        return self._made[1]

    def unknown(self, state: State) -> str | None:
        """Users are known by their processes."""
        return state.unlisted

    def on_table_opened(self, event: Table.Opened) -> None:
        """Show the processes of the user."""
        name = event.key
        self.shell.memory("processes").filter = exactly("owner", name) if name != UNKNOWN else "owner=n/a"
        self.post_message(Go("processes"))


class AuditView(OneList[AuditEntry]):
    """Who changed what."""

    NAME = "audit"
    HEADING = "Audit"
    LISTING = AUDIT

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._entries: tuple[AuditEntry, ...] = ()

    def rows(self, state: State) -> tuple[AuditEntry, ...]:  # noqa: ARG002 (the trail is not part of it)
        """The newest that were read."""
        return self._entries

    def on_mount(self) -> None:
        """Read, and read again."""
        self._read()
        self.set_interval(_AUDIT_EVERY_S, self._read)

    def _read(self) -> None:
        if self.is_on_top:
            journal = self.shell.ctx.journal
            self.shell.desk.ask(
                "audit",
                lambda: journal.audit(limit=_AUDIT_NEWEST),
                self._take,
                lambda error: self.say(plain(error.message), wrong=True),
            )

    def _take(self, entries: tuple[AuditEntry, ...]) -> None:
        if entries != self._entries:
            self._entries = entries
            self.redraw()
