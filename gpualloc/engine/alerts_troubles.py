"""What rules about troubles look at: the conditions that hold, and what was heard of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from gpualloc.engine.alerts_readings import Reading
from gpualloc.model.alert import EVENT_HOLD_S, Alert, AlertRule, Place, TroubleTest
from gpualloc.model.health import Condition, Event, Trouble
from gpualloc.model.inventory import Node, NodeState

_WELL = Reading(bad=False, good=True)


class Troubles(Struct, frozen=True):
    """Conditions and events of one look.

    Args:
        nodes: those that were looked at.
        conditions: all that hold.
        events: those that were not known before.
        now_s: epoch seconds of the look.
    """

    nodes: Mapping[str, Node]
    conditions: Sequence[Condition]
    events: Sequence[Event]
    now_s: float

    def readings(self, rule: AlertRule, watched: Mapping[Place, Alert]) -> Iterator[tuple[Place, Reading | None]]:
        """Each place where something holds or was heard of, and each watched one; None where nothing is known."""
        assert isinstance(rule.test, TroubleTest)
        holding = _holding(rule.test, self.conditions)
        newest = _newest(rule.test, self.events) if rule.for_s <= 0 else {}
        for place in holding.keys() | newest.keys() | watched.keys():
            if place in holding:
                condition = holding[place]
                yield place, Reading(True, False, condition.what, since_s=condition.since_s)
                continue
            heard = self._heard(rule, newest.get(place), watched.get(place))
            if heard is None and self._tells_of(place, rule.test.trouble):
                heard = _WELL
            yield place, heard

    def _heard(self, rule: AlertRule, event: Event | None, alert: Alert | None) -> Reading | None:
        """What was heard of the place, now or before; None where that says nothing."""
        heard_s, what = (None, "") if alert is None else (alert.heard_s, alert.what)
        if event is not None:
            if event.over:
                return _WELL
            if heard_s is None or event.at_s >= heard_s:
                heard_s, what = event.at_s, event.what
        if heard_s is None:
            return None
        hold_s = EVENT_HOLD_S if rule.clear_for_s is None else rule.clear_for_s
        if self.now_s - heard_s >= hold_s:
            return Reading(bad=False, good=True, said=f"nothing more was heard: {what}")
        return Reading(bad=True, good=False, said=what, since_s=heard_s, heard_s=heard_s)

    def _tells_of(self, place: Place, trouble: Trouble) -> bool:
        """Whether the look would have told of such a trouble at the place, so that silence means there is none."""
        node = self.nodes.get(place.node)
        return node is not None and (node.state is NodeState.OK or trouble is Trouble.NODE_STATE)


def _holding(test: TroubleTest, conditions: Iterable[Condition]) -> dict[Place, Condition]:
    """The conditions that the test is about; none where it asks for a code, which only events have."""
    if test.code is not None:
        return {}
    return {
        Place(each.node, each.device or ""): each
        for each in conditions
        if each.trouble is test.trouble and each.severity.rank >= test.least.rank
    }


def _newest(test: TroubleTest, events: Collection[Event]) -> dict[Place, Event]:
    """The newest event of each place that the test is about; the end of a trouble counts whatever its severity."""
    found: dict[Place, Event] = {}
    for event in sorted(events, key=lambda event: (event.at_s, event.over, event.key)):
        if event.trouble is not test.trouble or (test.code is not None and event.code != test.code):
            continue
        if event.over or event.severity.rank >= test.least.rank:
            found[Place(event.node, event.device or "")] = event
    return found
