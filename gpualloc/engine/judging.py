"""Judge looks that nobody keeps: what is wrong since when, and what happened, for as long as somebody watches."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.engine.events import compare, sampled_devices
from gpualloc.engine.health import worst_first
from gpualloc.model.health import Condition, Event, Heard
from gpualloc.model.inventory import Node, NodeState

MOST_EVENTS = 2000
"""So many events are remembered, the newest."""


class Judged(Struct, frozen=True):
    """What is to be said of nodes that were looked at."""

    conditions: tuple[Condition, ...] = ()
    """What is wrong with them now, worst first."""
    events: tuple[Event, ...] = ()
    """What happened since the judging began, oldest first; it may be kept by others, or not."""


NOTHING_JUDGED = Judged()


class Judge:
    """Judges one look after the other, from what is kept and from what it saw itself. Writes nothing.

    Args:
        ctx: the ports.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._mark: int | None = None
        self._heard: dict[str, Heard] = {}
        self._before: dict[tuple[str, str, str], Condition] = {}
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)

    def judge(self, nodes: Sequence[Node]) -> Judged:
        """What is to be said of nodes that were looked at just now."""
        self._catch_up(nodes)
        names = {node.name for node in nodes}
        new = [node.name for node in nodes if node.name not in self._heard and node.state is NodeState.OK]
        looked = compare(
            nodes,
            [condition for condition in self._before.values() if condition.node in names],
            self._heard,
            sampled_devices(self._ctx, new) if new else {},
            now_s=self._ctx.clock.now_s(),
            rules=self._ctx.settings.health,
        )
        self._heard.update((each.node, each) for each in looked.heard)
        others = {key: one for key, one in self._before.items() if one.node not in names}
        self._before = {**others, **{one.key: one for one in looked.conditions}}
        known = {event.key for event in self._events}
        self._events.extend(event for event in looked.events if event.key not in known)
        indices: dict[str, int | None] = {device.uuid: device.index for node in nodes for device in node.devices}
        confirmed = (condition for condition in self._before.values() if condition.confirmed)
        return Judged(worst_first(confirmed, indices), tuple(self._events))

    def _catch_up(self, nodes: Sequence[Node]) -> None:
        """Take over what others have kept since, such as `gpualloc sample`: they know it for longer."""
        mark = self._ctx.events.mark()
        if mark == self._mark:
            return
        self._mark = mark
        names = frozenset(node.name for node in nodes)
        self._heard.update(self._ctx.events.heard(names))
        kept = self._ctx.events.conditions(names, suspected=True)
        self._before.update((condition.key, condition) for condition in kept)
