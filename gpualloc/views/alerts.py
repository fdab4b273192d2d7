"""Alerts as they stand, what they did, and what is silenced."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.alert import Alert, AlertRule, AlertState, Delivered, Silence, Transition
from gpualloc.model.health import Severity
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import duration, escape, plural, stamp

_ROLES = {Severity.INFO: None, Severity.WARNING: Role.WARN, Severity.ERROR: Role.BAD, Severity.CRITICAL: Role.BAD}
_NOW = (
    Column("state"),
    Column("severity"),
    Column("rule", least=8),
    Column("for", right=True),
    Column("place", least=10),
    Column("what", least=10, below=True),
)
_PAST = (
    Column("when"),
    Column("state"),
    Column("severity"),
    Column("rule", least=8),
    Column("place", least=10),
    Column("what", least=10, below=True),
)


def alert_data(alert: Alert, rule: AlertRule | None, silenced: Silence | None) -> dict[str, object]:
    """One alert as scripts read it."""
    return {
        "rule": alert.key.rule,
        "state": alert.state.value,
        "severity": None if rule is None else rule.severity.value,
        "node": alert.key.node,
        "device": alert.key.device or None,
        "what": alert.what,
        "value": alert.value,
        "since_s": alert.since_s,
        "fired_s": alert.fired_s,
        "unknown_since_s": alert.unknown_since_s,
        "told_s": alert.told_s,
        "silenced_until_s": None if silenced is None else silenced.until_s,
    }


def silence_data(silence: Silence) -> dict[str, object]:
    """One silence as scripts read it."""
    return {
        "rule": silence.rule,
        "node": silence.node,
        "until_s": silence.until_s,
        "reason": silence.reason,
        "actor": silence.actor,
        "at_s": silence.at_s,
    }


def transition_data(transition: Transition) -> dict[str, object]:
    """One transition as scripts read it."""
    return {
        "at_s": transition.at_s,
        "rule": transition.rule,
        "state": transition.state.value,
        "severity": transition.severity.value,
        "node": transition.node,
        "device": transition.device,
        "what": transition.what,
        "value": transition.value,
        "since_s": transition.since_s,
        "silenced": transition.silenced,
    }


def answer_data(delivered: Delivered) -> dict[str, object]:
    """What a channel said, as scripts read it."""
    return {
        "channel": delivered.notice.channel,
        "problem": delivered.problem,
        "answer": delivered.answer,
        "seconds": round(delivered.seconds, 3),
    }


def alerts_text(
    alerts: Sequence[tuple[Alert, AlertRule | None, Silence | None]],
    silences: Sequence[Silence],
    looked_s: float | None,
    now_s: float,
    look: Look,
    *,
    simulated: bool,
) -> str:
    """The alerts in the order they are given, the silences, and when it was last looked."""
    lines = [look.paint("simulated", Role.WARN)] if simulated else []
    rows = [_row(alert, rule, silenced, now_s) for alert, rule, silenced in alerts]
    lines += [table(_NOW, rows, look)] if rows else ["no alert is pending or firing"]
    lines += [silence_text(silence) for silence in silences]
    seen = "never: gpualloc sample looks" if looked_s is None else f"{duration(now_s - looked_s)} ago"
    return "\n".join([*lines, look.paint(f"last look {seen}", Role.QUIET)])


def silence_text(silence: Silence) -> str:
    """One silence in a line."""
    about = [f"rule {silence.rule}" if silence.rule else "", f"node {silence.node}" if silence.node else ""]
    named = ", ".join(escape(part) for part in about if part)
    return f"silenced until {stamp(silence.until_s)}: {named}: {escape(silence.reason)} ({escape(silence.actor)})"


def transitions_text(transitions: Sequence[Transition], look: Look, *, simulated: bool) -> str:
    """What alerts did, oldest first."""
    head = [look.paint("simulated", Role.WARN)] if simulated else []
    if not transitions:
        return "\n".join([*head, "no alert fired in this time"])
    rows: list[list[str | Cell]] = [
        [
            stamp(each.at_s),
            Cell(_state_text(each), Role.GOOD if each.state is AlertState.RESOLVED else None),
            Cell(each.severity.value, _ROLES[each.severity]),
            escape(each.rule),
            _place(each.node, each.device),
            escape(each.what),
        ]
        for each in transitions
    ]
    return "\n".join([*head, table(_PAST, rows, look)])


def transition_line(transition: Transition, *, simulated: bool) -> str:
    """A transition as the log tells it: one line."""
    again = " again" if transition.reminder else ""
    mark = " (simulated)" if simulated else ""
    return (
        f"{stamp(transition.at_s)} alert {transition.state.value}{again}: {escape(transition.rule)} "
        f"[{transition.severity.value}] {_place(transition.node, transition.device)}: {escape(transition.what)}{mark}"
    )


def undelivered_line(delivered: Delivered) -> str:
    """What is said of a notice that is given up."""
    said = f" ({escape(delivered.answer)})" if delivered.answer else ""
    return f"channel {escape(delivered.notice.channel)}: a notice was given up: {escape(delivered.problem or '')}{said}"


def answers_text(name: str, answers: Sequence[Delivered], look: Look) -> str:
    """What each channel of a rule said to a test."""
    lines = [f"{plural(len(answers), 'channel')} of {escape(name)}"]
    for each in answers:
        word = look.paint("ok", Role.GOOD) if each.problem is None else look.paint(escape(each.problem), Role.BAD)
        said = f": {escape(each.answer.strip())}" if each.answer.strip() else ""
        lines.append(f"{escape(each.notice.channel)}: {word}{said}")
    return "\n".join(lines)


def _row(alert: Alert, rule: AlertRule | None, silenced: Silence | None, now_s: float) -> list[str | Cell]:
    state = alert.state.value + (" (silenced)" if silenced else "") + (" (unknown)" if alert.unknown_since_s else "")
    severity = None if rule is None else rule.severity
    return [
        Cell(state, Role.BAD if alert.state is AlertState.FIRING and not silenced else Role.QUIET),
        Cell(severity.value, _ROLES[severity]) if severity else "",
        escape(alert.key.rule),
        duration(now_s - alert.since_s),
        _place(alert.key.node, alert.key.device or None),
        escape(alert.what),
    ]


def _state_text(transition: Transition) -> str:
    return transition.state.value + (" (silenced)" if transition.silenced else "")


def _place(node: str, device: str | None) -> str:
    return escape(node) if device is None else f"{escape(node)} {escape(device)}"
