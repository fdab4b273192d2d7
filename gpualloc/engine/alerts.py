"""How alerts go on from one look to the next: pure, and the same however often it is stopped and begun again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.alerts_readings import Columns, Reading
from gpualloc.engine.alerts_troubles import Troubles
from gpualloc.model.alert import Alert, AlertKey, AlertRule, AlertState, MetricTest, Place, Silence, Transition
from gpualloc.model.health import Condition, Event, Severity
from gpualloc.model.inventory import Node, NodeSpec
from gpualloc.ports import AlertChanges, Standing

GAP_S = 900.0
"""Looks that lie farther apart say nothing of the time between them."""

_TIMES = ("since_s", "fired_s", "clear_since_s", "unknown_since_s", "heard_s", "told_s")


class Seen(Struct, frozen=True):
    """What one look found."""

    now_s: float
    specs: Mapping[str, NodeSpec]
    """All nodes there are, by name; what is said of any other is not heard."""
    nodes: Sequence[Node] = ()
    """Those that were looked at; of any other alerts stay as they are."""
    conditions: Sequence[Condition] = ()
    """All that hold, whichever nodes were looked at."""
    events: Sequence[Event] = ()
    """Those that were not known before."""
    silences: Sequence[Silence] = ()
    """Those in force."""
    gap_s: float = GAP_S


def step(rules: Mapping[str, AlertRule], before: Standing, seen: Seen) -> AlertChanges:
    """What a look changes about alerts.

    A rule fires where every known reading was bad for `for_s`, and is resolved where every known one was good for
    `clear_for_s`. A time in which nothing is known counts for neither. The order of nodes, conditions, events and
    rules does not matter.
    """
    look = _Look(rules, seen, _carried_over(before, seen))
    look.drop_unwatched()
    for rule in rules.values():
        look.apply(rule)
    look.tell()
    return AlertChanges(
        alerts=[alert for key, alert in sorted(look.alerts.items()) if before.alerts.get(key) != alert],
        gone=sorted(key for key in before.alerts if key not in look.alerts),
        transitions=sorted(look.transitions, key=lambda each: (each.node, each.device or "", each.rule)),
    )


def _carried_over(before: Standing, seen: Seen) -> dict[AlertKey, Alert]:
    """The alerts with what the clock did since the last look."""
    looked_s = before.looked_s
    if looked_s is None or 0 <= seen.now_s - looked_s <= seen.gap_s:
        return dict(before.alerts)
    if seen.now_s < looked_s:
        return {key: _moved(alert, seen.now_s - looked_s) for key, alert in before.alerts.items()}
    return {
        key: alert if alert.unknown_since_s is not None else replace(alert, unknown_since_s=looked_s)
        for key, alert in before.alerts.items()
    }


def _moved(alert: Alert, by_s: float) -> Alert:
    """The alert after the clock was set back."""
    known = {name: value + by_s for name in _TIMES if (value := getattr(alert, name)) is not None}
    return replace(alert, **known)


class _Look:
    """The work of one look."""

    def __init__(self, rules: Mapping[str, AlertRule], seen: Seen, alerts: dict[AlertKey, Alert]) -> None:
        self.rules = rules
        self.seen = seen
        self.alerts = alerts
        self.transitions: list[Transition] = []
        self.nodes = {node.name: node for node in seen.nodes}
        self.columns = Columns(seen.nodes)
        self.troubles = Troubles(self.nodes, seen.conditions, seen.events, seen.now_s)
        selective = any(rule.model is not None for rule in rules.values())
        self.models = {
            Place(node.name, device.uuid): device.model
            for node in (seen.nodes if selective else ())
            for device in node.devices
        }
        """Product names, where a rule asks for one."""
        self.own: dict[str, dict[Place, Alert]] = {name: {} for name in rules}
        """The alerts of each rule."""

    def drop_unwatched(self) -> None:
        """Resolve what nobody watches for any more, and sort the rest by rule."""
        for key, alert in list(self.alerts.items()):
            why = self._unwatched(key)
            if why is None:
                self.own[key.rule][key.place] = alert
            else:
                self._resolve(alert, f"no longer watched, since {why}: {alert.what}", alert.value)

    def apply(self, rule: AlertRule) -> None:
        """Look at every place that the rule has something to say of."""
        own = self.own[rule.name]
        for place, reading in self._readings(rule, own):
            alert = own.get(place)
            if alert is None:
                if reading is not None and reading.bad and self._covers(rule, place):
                    key = AlertKey(rule.name, *place)
                    self.alerts[key] = _begun(rule, key, reading, self.seen.now_s)
            # A place that is held or was heard of counts even where its node was not looked at.
            elif place.node in self.nodes or reading is not None:
                self._go_on(rule, alert, reading)

    def tell(self) -> None:
        """Tell of what began to fire, of what a silence kept until now, and again of what is due for it."""
        for key, alert in self.alerts.items():
            if alert.state is not AlertState.FIRING:
                continue
            rule, now_s = self.rules[key.rule], self.seen.now_s
            fresh = alert.fired_s == now_s and alert.told_s is None
            due = alert.told_s is None or (rule.repeat_s is not None and now_s - alert.told_s >= rule.repeat_s)
            if not due:
                continue
            silenced = any(silence.covers(key) and now_s < silence.until_s for silence in self.seen.silences)
            if fresh or not silenced:
                self._tell(alert, AlertState.FIRING, alert.what, alert.value, silenced=silenced, reminder=not fresh)
            if not silenced:
                self.alerts[key] = replace(alert, told_s=now_s)

    def _unwatched(self, key: AlertKey) -> str | None:
        """Why nobody watches for this alert any more; None when it is watched."""
        rule = self.rules.get(key.rule)
        if rule is None:
            return "its rule is gone"
        if key.node not in self.seen.specs:
            return "its node is not configured"
        return None if self._covers(rule, key.place) else "its rule does not cover it"

    def _covers(self, rule: AlertRule, place: Place) -> bool:
        """Whether the rule looks at the place, as far as is known of it."""
        spec = self.seen.specs.get(place.node)
        if spec is None or not rule.covers(spec):
            return False
        model = None if rule.model is None else self.models.get(place)
        return model is None or fnmatchcase(model.lower(), str(rule.model).lower())

    def _readings(self, rule: AlertRule, own: Mapping[Place, Alert]) -> Iterator[tuple[Place, Reading | None]]:
        if isinstance(rule.test, MetricTest):
            return self.columns.readings(rule.test, own)
        return self.troubles.readings(rule, own)

    def _go_on(self, rule: AlertRule, alert: Alert, reading: Reading | None) -> None:
        after = _after(rule, alert, reading, self.seen.now_s)
        if after is not None:
            self.alerts[alert.key] = after
        elif alert.state is AlertState.FIRING and reading is not None:
            self._resolve(alert, reading.what or f"it is over: {alert.what}", reading.value)
        else:
            del self.alerts[alert.key]

    def _resolve(self, alert: Alert, what: str, value: float | None) -> None:
        del self.alerts[alert.key]
        if alert.state is AlertState.FIRING:
            # Whoever was told that it fires is told that it is over, even where a silence began meanwhile.
            self._tell(alert, AlertState.RESOLVED, what, value, silenced=alert.told_s is None)

    def _tell(
        self, alert: Alert, state: AlertState, what: str, value: float | None, *, silenced: bool, reminder: bool = False
    ) -> None:
        rule = self.rules.get(alert.key.rule)
        self.transitions.append(
            Transition(
                at_s=self.seen.now_s,
                rule=alert.key.rule,
                node=alert.key.node,
                device=alert.key.device or None,
                state=state,
                severity=Severity.INFO if rule is None else rule.severity,
                what=what,
                value=value,
                since_s=alert.since_s,
                reminder=reminder,
                silenced=silenced,
            )
        )


def _begun(rule: AlertRule, key: AlertKey, reading: Reading, now_s: float) -> Alert:
    since_s = now_s if reading.since_s is None else min(reading.since_s, now_s)
    alert = Alert(key, AlertState.PENDING, since_s, reading.what, reading.value, heard_s=reading.heard_s)
    return _fired(alert, reading, now_s) if now_s - since_s >= rule.for_s else alert


def _fired(alert: Alert, reading: Reading, now_s: float) -> Alert:
    return replace(alert, state=AlertState.FIRING, fired_s=now_s, what=reading.what, value=reading.value)


def _after(rule: AlertRule, alert: Alert, reading: Reading | None, now_s: float) -> Alert | None:
    """The alert after a look at its place; None when it is over."""
    if reading is None:
        return alert if alert.unknown_since_s is not None else replace(alert, unknown_since_s=now_s)
    alert = _known_again(alert, now_s)
    if alert.state is AlertState.FIRING:
        return _still_firing(rule, alert, reading, now_s)
    if not reading.bad:
        return None
    return _fired(alert, reading, now_s) if now_s - alert.since_s >= rule.for_s else alert


def _known_again(alert: Alert, now_s: float) -> Alert:
    """The alert without the time in which nothing was known of it."""
    if alert.unknown_since_s is None:
        return alert
    gap_s = now_s - alert.unknown_since_s
    return replace(
        alert,
        since_s=alert.since_s + gap_s if alert.state is AlertState.PENDING else alert.since_s,
        clear_since_s=None if alert.clear_since_s is None else alert.clear_since_s + gap_s,
        unknown_since_s=None,
    )


def _still_firing(rule: AlertRule, alert: Alert, reading: Reading, now_s: float) -> Alert | None:
    """The firing alert after a look; None when it was well for long enough."""
    if not reading.good:
        if alert.clear_since_s is None and alert.heard_s == reading.heard_s:
            return alert
        return replace(alert, clear_since_s=None, heard_s=reading.heard_s)
    since_s = now_s if alert.clear_since_s is None else alert.clear_since_s
    # An event was waited out already, or is told to be over.
    clear_for_s = 0.0 if alert.heard_s is not None else rule.clear_for_s or 0.0
    return None if now_s - since_s >= clear_for_s else replace(alert, clear_since_s=since_s)
