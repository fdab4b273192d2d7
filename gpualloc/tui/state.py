"""What every view draws from: the fleet as it was seen, and the moment at which it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct, field
from msgspec.structs import replace

from gpualloc.engine.progress import progress_of
from gpualloc.model.inventory import Device
from gpualloc.model.progress import Progress
from gpualloc.model.workload import Workload
from gpualloc.tui.rows import FleetRow, FleetRows, Moment
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.tui.totals import FleetTotals, Totals

_TIMELESS = frozenset({"unlisted", "workloads", "names", "owners", "progress", "indices", "nodes"})
"""What is derived from what was seen alone, whatever the moment."""


class State(Struct, frozen=True, eq=False, dict=True):
    """The fleet at a moment. What is derived from it is derived once, and only when a view asks for it."""

    seen: Seen
    moment: Moment
    rows: tuple[FleetRow, ...]
    """Every node, each followed by its devices by index."""
    live: bool = True
    """False for a moment of the past: nothing can be done there."""
    _made: FleetRows = field(default_factory=FleetRows)
    _counted: FleetTotals = field(default_factory=FleetTotals)

    @classmethod
    def of(cls, seen: Seen, moment: Moment, *, live: bool = True) -> State:
        """The first state of a fleet."""
        made = FleetRows()
        return cls(seen, moment, made.of(seen), live, made)

    def then(self, seen: Seen, moment: Moment) -> State:
        """The fleet of now, when something new was seen; what told nothing new keeps its rows, the same objects."""
        return replace(self, seen=seen, moment=moment, rows=self._made.of(seen), live=True)

    def at(self, moment: Moment) -> State:
        """The same fleet a little later; what was derived from it and is true at any moment is not derived again."""
        later = replace(self, moment=moment)
        vars(later).update({name: value for name, value in vars(self).items() if name in _TIMELESS})
        return later

    @cached_property
    def totals(self) -> Totals:
        """The sums in the header."""
        return self._counted.of(self.seen, self.rows, self.moment)

    @cached_property
    def workloads(self) -> tuple[Workload, ...]:
        """All that are known; empty until the first whole look."""
        return self.seen.workloads or ()

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Names of workloads by id."""
        return {workload.id: workload.name for workload in self.workloads}

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """Owners of workloads by id."""
        return {workload.id: workload.owner for workload in self.workloads}

    @cached_property
    def progress(self) -> Mapping[str, Progress]:
        """By workload id how far it says it is."""
        return progress_of(self.workloads, (node.node for node in self.seen.nodes if node.node is not None))

    @cached_property
    def indices(self) -> Mapping[str, int]:
        """Indices of devices by UUID, for display."""
        return {device.uuid: device.index for node in self.seen.nodes for device in node.devices}

    @cached_property
    def nodes(self) -> Mapping[str, SeenNode]:
        """The nodes by name."""
        return {node.name: node for node in self.seen.nodes}

    @cached_property
    def slowest(self) -> tuple[str, float] | None:
        """The node that was heard longest ago among those that answer, with its age in seconds; None without any."""
        heard = [(node.heard_s, node.name) for node in self.seen.nodes if node.heard_s is not None and not node.failing]
        if not heard:
            return None
        heard_s, name = min(heard)
        return name, max(0.0, self.moment.ticks_s - heard_s)

    @cached_property
    def unlisted(self) -> str | None:
        """Why nobody knows which processes are on any device, as in the past; None when that is known of some."""
        reasons = {row.unlisted for row in self.rows if row.device is not None}
        return None if not reasons or None in reasons else max(reason for reason in reasons if reason)

    def row(self, key: str) -> FleetRow | None:
        """The fleet's row of that key; None when it is gone."""
        return next((row for row in self.rows if row.key == key), None)

    def device(self, node: str, uuid: str) -> Device | None:
        """A device of a node; None when it is gone."""
        found = self.nodes.get(node)
        return None if found is None else next((one for one in found.devices if one.uuid == uuid), None)
