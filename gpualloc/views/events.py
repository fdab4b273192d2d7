"""Events as lines, oldest first, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime

from gpualloc.model.health import Event, Severity
from gpualloc.views.look import Look, Role
from gpualloc.views.text import escape

ROLES = {
    Severity.INFO: Role.QUIET,
    Severity.WARNING: Role.WARN,
    Severity.ERROR: Role.BAD,
    Severity.CRITICAL: Role.BAD,
}
"""How a severity is painted; the word stands beside it."""
_WIDEST_SEVERITY = max(len(severity) for severity in Severity)
_INDENT = "    "

Indices = Mapping[str, int | None]
"""UUID of each device that is known to its index on its node."""


def event_data(event: Event, indices: Indices) -> dict[str, object]:
    """One event as scripts read it; `index` is null for the node itself, and where it is not known."""
    return {
        "at_s": event.at_s,
        "trouble": event.trouble.value,
        "severity": event.severity.value,
        "node": event.node,
        "device": event.device,
        "index": indices.get(event.device or ""),
        "code": event.code,
        "over": event.over,
        "what": event.what,
        "advice": event.advice,
        "key": event.key,
    }


def events_data(events: Sequence[Event], indices: Indices, *, simulated: bool) -> dict[str, object]:
    """`data` of `events --json`."""
    return {"simulated": simulated, "events": [event_data(event, indices) for event in events]}


def events_text(events: Sequence[Event], indices: Indices, look: Look, *, simulated: bool) -> str:
    """A line or more for each event, the newest last."""
    head = [look.paint("simulated", Role.WARN)] if simulated else []
    lines = [event_text(event, indices, look) for event in events]
    return "\n".join([*head, *(lines or ["no events"])])


def event_text(event: Event, indices: Indices, look: Look) -> str:
    """When, how bad, where, and below it what happened and what to do."""
    severity = look.paint(event.severity.value.ljust(_WIDEST_SEVERITY), ROLES[event.severity])
    if event.over:
        severity = look.paint("over".ljust(_WIDEST_SEVERITY), Role.GOOD)
    where = place_text(event.node, event.device, indices)
    lines = [f"{local_time(event.at_s)}  {severity}  {where}  {event.trouble.value}"]
    lines += textwrap.wrap(escape(event.what), look.width, initial_indent=_INDENT, subsequent_indent=_INDENT)
    if event.advice:
        advice = textwrap.wrap(escape(event.advice), look.width, initial_indent=_INDENT, subsequent_indent=_INDENT)
        lines += [look.paint(line, Role.QUIET) for line in advice]
    return "\n".join(lines)


def place_text(node: str, device: str | None, indices: Indices) -> str:
    """The node, and of a device its index where that is known, else its UUID."""
    if device is None:
        return escape(node)
    index = indices.get(device)
    return f"{escape(node)} {escape(device) if index is None else f'GPU {index}'}"


def local_time(at_s: float) -> str:
    """Epoch seconds as the time of this machine, with its offset: `2026-11-21 07:30:06 +0100`."""
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
