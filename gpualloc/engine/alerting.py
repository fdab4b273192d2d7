"""Alerts of what was just seen: brought up to date, kept, and told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from gpualloc.engine.alerts import GAP_S, Seen, step
from gpualloc.engine.alerts_notice import notices_of
from gpualloc.engine.context import Context
from gpualloc.errors import LockedError, NotFoundError, StateError, UsageError
from gpualloc.model.alert import LOG, Alert, AlertRule, AlertState, Delivered, Notice, Silence, Transition
from gpualloc.model.desired import MAX_REASON_CHARS
from gpualloc.model.health import Condition, Event
from gpualloc.model.inventory import Node
from gpualloc.ports import AlertChanges

OUTBOX_AGE_S = 86_400.0
"""What could not be delivered for that long is old news, and given up."""
REST_S = 10.0
"""How long the end of a look waits for what it has to deliver."""
MISSED_LOOKS = 3
"""How many looks may be missing before the time between two says nothing."""
_TRIES = 8
"""How often a look is made anew because another process looked at the same moment."""


@contextmanager
def alerting(ctx: Context, rest_s: float = REST_S) -> Iterator[None]:
    """Deliver alerts while the context lasts, what an earlier run left undelivered first.

    Args:
        ctx: the ports.
        rest_s: how long to wait at the end for what was not tried yet; the next run goes on with the rest.
    """
    if ctx.settings.alerts.channels:
        ctx.messenger.begin(ctx.alerts.waiting(ctx.clock.now_s() - OUTBOX_AGE_S))
    try:
        yield
    finally:
        ctx.messenger.rest(rest_s)
        with suppress(StateError, LockedError):
            note_deliveries(ctx)


def raise_alerts(
    ctx: Context, nodes: Sequence[Node], conditions: Sequence[Condition], events: Sequence[Event]
) -> tuple[Transition, ...]:
    """Bring the alerts up to date with a look, keep them, and have what changed told; never waits for a channel.

    Args:
        ctx: the ports.
        nodes: those that were looked at; alerts about any other stay as they are.
        conditions: all that hold in the fleet, whichever nodes were looked at.
        events: those that were not known before.

    Returns:
        what began to fire, was resolved, or is told again, by node, device and rule.

    Raises:
        StateError: what is known of alerts cannot be read; one that cannot be written is no hindrance.
    """
    # Where the state cannot be written, what is to be told is told all the same; the sampler says what is wrong.
    with suppress(StateError, LockedError):
        note_deliveries(ctx)
    rules, now_s = ctx.settings.alerts.rules, ctx.clock.now_s()
    seen = Seen(
        now_s=now_s,
        specs={spec.name: spec for spec in ctx.fleet.specs()},
        nodes=nodes,
        conditions=conditions,
        events=events,
        silences=ctx.alerts.silences(now_s),
        gap_s=max(GAP_S, MISSED_LOOKS * ctx.settings.sample_every_s),
    )
    changes, notices = _looked(ctx, seen)
    ctx.messenger.begin(notices)
    for transition in changes.transitions:
        if not transition.silenced and (transition.rule not in rules or LOG in rules[transition.rule].deliver):
            ctx.on_alert(transition)
    return tuple(changes.transitions)


def _looked(ctx: Context, seen: Seen) -> tuple[AlertChanges, Sequence[Notice]]:
    """What the look changed, after it was kept."""
    rules = ctx.settings.alerts.rules
    for _ in range(_TRIES):
        before = ctx.alerts.standing()
        found = step(rules, before, seen)
        notices = notices_of(found.transitions, rules, simulated=ctx.simulated)
        changes = AlertChanges(found.alerts, found.gone, found.transitions, notices)
        try:
            if ctx.alerts.keep(before, seen.now_s, changes):
                return changes, notices
        except (StateError, LockedError):
            return changes, notices
    return AlertChanges(), ()


def note_deliveries(ctx: Context) -> None:
    """Keep how deliveries ended, and tell of those that did not arrive.

    Raises:
        StateError: the state cannot be written; what was delivered is delivered again by the next run.
    """
    ended = ctx.messenger.ended()
    for delivered in ended:
        if delivered.problem is not None:
            ctx.on_undelivered(delivered)
    if ended:
        ctx.alerts.ended(ended)


def send_test(ctx: Context, name: str) -> tuple[Delivered, ...]:
    """Send a notification that is marked as a test through every channel of a rule, and wait for what each says.

    Raises:
        NotFoundError: there is no such rule.
    """
    rule, now_s = _rule(ctx, name), ctx.clock.now_s()
    covered = [spec.name for spec in ctx.fleet.specs() if rule.covers(spec)]
    test = Transition(
        at_s=now_s,
        rule=name,
        node=covered[0] if covered else "none",
        device=None,
        state=AlertState.FIRING,
        severity=rule.severity,
        what=f"this is a test of the alert rule {name}, asked for by {ctx.actor}; nothing is wrong",
        value=None,
        since_s=now_s,
    )
    answers = [
        ctx.messenger.attempt(each) for each in notices_of([test], {name: rule}, simulated=ctx.simulated, test=True)
    ]
    if LOG in rule.deliver:
        ctx.on_alert(test)
        answers.append(Delivered(Notice(test.id, LOG, now_s, ""), None, "a line on stderr"))
    return tuple(answers)


def standing_now(ctx: Context) -> tuple[float | None, tuple[tuple[Alert, AlertRule | None, Silence | None], ...]]:
    """When it was last looked, and each alert with its rule and what silences it; the worst first."""
    standing, rules = ctx.alerts.standing(), ctx.settings.alerts.rules
    silences = ctx.alerts.silences(ctx.clock.now_s())
    found = []
    for key, alert in sorted(standing.alerts.items()):
        found.append((alert, rules.get(key.rule), next((each for each in silences if each.covers(key)), None)))
    return standing.looked_s, tuple(sorted(found, key=lambda each: _badness(*each), reverse=True))


def _badness(alert: Alert, rule: AlertRule | None, silenced: Silence | None) -> tuple[bool, bool, int, float]:
    rank = -1 if rule is None else rule.severity.rank
    return alert.state is AlertState.FIRING, silenced is None, rank, -alert.since_s


def silence(ctx: Context, rule: str | None, node: str | None, for_s: float, reason: str | None) -> Silence:
    """Keep alerts from their channels for a time; they are watched all the same.

    Args:
        ctx: the ports.
        rule: alerts of this rule; None is any.
        node: alerts about this node; None is any.
        for_s: for how long, in seconds.
        reason: what others read; None names who made it.

    Raises:
        NotFoundError: there is no such rule or node.
        UsageError: neither is named, or the reason cannot be shown in a line.
    """
    _check_named(ctx, rule, node)
    if reason is not None and (len(reason) > MAX_REASON_CHARS or not reason.isprintable()):
        raise UsageError(f"--reason is a line of at most {MAX_REASON_CHARS} printable characters")
    now_s = ctx.clock.now_s()
    said = (reason or "").strip() or f"by {ctx.actor}"
    return ctx.alerts.silence(Silence(0, rule, node, now_s + for_s, said, ctx.actor, now_s))


def unsilence(ctx: Context, rule: str | None, node: str | None) -> tuple[Silence, ...]:
    """End the silences of exactly this rule and node; returns those that were in force.

    Raises:
        As `silence`, and NotFoundError when there was none.
    """
    if rule is None and node is None:
        raise UsageError("unsilence wants a rule or --node", hint="gpualloc alerts shows what is silenced")
    found = tuple(each for each in ctx.alerts.silences(ctx.clock.now_s()) if (each.rule, each.node) == (rule, node))
    if not found:
        raise NotFoundError("nothing like that is silenced", hint="gpualloc alerts shows what is silenced")
    ctx.alerts.unsilence([each.id for each in found])
    return found


def _check_named(ctx: Context, rule: str | None, node: str | None) -> None:
    if rule is None and node is None:
        raise UsageError("silence wants a rule or --node", hint="such as: gpualloc alerts silence hot --for 2h")
    if rule is not None:
        _rule(ctx, rule)
    names = [spec.name for spec in ctx.fleet.specs()]
    if node is not None and node not in names:
        raise NotFoundError(f"there is no node {node!r}", hint="gpualloc nodes lists them", node=node)


def _rule(ctx: Context, name: str) -> AlertRule:
    rules = ctx.settings.alerts.rules
    if name not in rules:
        known = ", ".join(sorted(rules)) or "none is configured: docs/alerts.md"
        raise NotFoundError(f"there is no alert rule {name!r}", hint=f"rules: {known}")
    return rules[name]
