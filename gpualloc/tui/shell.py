"""What every view is given: the world it works on, the state it draws, and somebody to ask what may block."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

from msgspec import Struct, field

from gpualloc.engine.context import Context
from gpualloc.tui.commands import Commands
from gpualloc.tui.desk import Desk
from gpualloc.tui.listing import Sort
from gpualloc.tui.recent import Recent
from gpualloc.tui.source import Source
from gpualloc.tui.state import State
from gpualloc.tui.widgets.summary import Heading


class ListMemory(Struct):
    """How somebody wants a list to be; kept while the dashboard runs, whatever view comes and goes."""

    columns: tuple[str, ...] | None = None
    """Names of fields; None: those shown at first."""
    sorts: tuple[Sort, ...] | None = None
    """None: the list's own."""
    filter: str = ""
    gathered: str | None = None
    """What its rows are gathered by; None: nothing."""


class Shell(Struct):
    """One dashboard, as its views see it."""

    ctx: Context
    """For what the engine is asked; a read-only one where nothing may be changed."""
    source: Source
    desk: Desk
    state: State
    """The newest; views are told when it changes."""
    every_s: float
    heading: Callable[[], Heading]
    """What the header says beside the sums."""
    commands: Callable[[], Commands]
    """Everything that can be typed behind `:` now."""
    read_only: str | None = None
    """Why nothing may be changed; None when it may."""
    program: tuple[str, ...] = ("gpualloc",)
    """The words before a verb with which a command line works on the same world."""
    under_way: list[str] = field(default_factory=list)
    """Titles of what is being done now, safe to draw; quitting asks first while there are any."""
    stopping: Event = field(default_factory=Event)
    """Set when steps under way are to be finished and no other begun; what `ctx.stopped` asks."""
    lists: dict[str, ListMemory] = field(default_factory=dict)
    filters: dict[str, str] = field(default_factory=dict)
    """Saved filters by name."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What views leave for when they are shown again, by name of the view."""
    heat: str | None = None
    """Name of the reading that the heat grid draws; None: the usual one."""
    recent: Recent = field(default_factory=Recent)
    """What was seen since the dashboard runs."""

    def memory(self, listing: str) -> ListMemory:
        """How the list of that name is wanted."""
        return self.lists.setdefault(listing, ListMemory())
