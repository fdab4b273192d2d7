"""Every view there is: its name, its key, and how it is made. A screen is imported when it is first wanted."""

from __future__ import annotations

from importlib import import_module

from msgspec import Struct

from gpualloc.tui.screens.view import View
from gpualloc.tui.shell import Shell


class Place(Struct, frozen=True):
    """A view that can be gone to."""

    name: str
    """As in `:name`."""
    what: str
    """What it shows, in a few words."""
    module: str
    """Where its screen is, below `gpualloc.tui.screens`."""
    screen: str
    """Name of its class."""
    key: str | None = None
    """The digit that goes there."""
    aliases: tuple[str, ...] = ()
    needs: bool = False
    """Whether it is about one thing, named behind the name: `:node gpu01`."""

    def kind(self) -> type[View]:
        """The class of its screen."""
        found: type[View] = getattr(import_module(f"gpualloc.tui.screens.{self.module}"), self.screen)
        return found

    def make(self, shell: Shell, of: str) -> View:
        """A new screen of it."""
        return self.kind()(shell, of)


PLACES: tuple[Place, ...] = (
    Place("fleet", "every GPU as a heat map and a list", "fleet", "FleetView", "1", ("gpus", "devices")),
    Place("nodes", "every node", "lists", "NodesView", "2"),
    Place("processes", "processes on GPUs", "processes", "ProcessesView", "3", ("ps", "procs")),
    Place("workloads", "work that runs, waits or ended", "workloads", "WorkloadsView", "4", ("work", "queue")),
    Place("users", "who uses how much", "lists", "UsersView", "5"),
    Place("forecast", "what is to be expected", "forecast", "ForecastView", "6"),
    Place("plan", "what would be changed, and doing it", "plan", "PlanView", "7"),
    Place("events", "what happened, and what is wrong now", "health", "EventsView", "8", ("health", "conditions")),
    Place("alerts", "alerts and silences", "health", "AlertsView", "9"),
    Place("audit", "who changed what", "lists", "AuditView", "0"),
    Place("node", "everything of one node", "node", "NodeView", needs=True),
    Place("device", "everything of one GPU", "device", "DeviceView", aliases=("gpu",), needs=True),
    Place("workload", "everything of one workload", "workload", "WorkloadView", needs=True),
    Place("help", "keys, views and commands", "help", "HelpView", "question_mark", ("?",)),
)


def place(name: str) -> Place | None:
    """The view with that name or alias, or whose name alone begins so; None when there is none."""
    for one in PLACES:
        if name == one.name or name in one.aliases:
            return one
    found = [one for one in PLACES if one.name.startswith(name)] if name else []
    return found[0] if len(found) == 1 else None
