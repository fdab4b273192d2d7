"""What is wrong with the fleet: a line for each condition, worst first, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from gpualloc.model.health import Condition, Severity
from gpualloc.views.events import ROLES, Indices, local_time, place_text
from gpualloc.views.look import Look, Role
from gpualloc.views.text import duration, escape, plural

_INDENT = "    "


def condition_data(condition: Condition, indices: Indices) -> dict[str, object]:
    """One condition as scripts read it; `index` is null for the node itself, and where it is not known."""
    return {
        "trouble": condition.trouble.value,
        "severity": condition.severity.value,
        "node": condition.node,
        "device": condition.device,
        "index": indices.get(condition.device or ""),
        "what": condition.what,
        "advice": condition.advice,
        "since_s": condition.since_s,
    }


def counts(conditions: Sequence[Condition]) -> Mapping[str, int]:
    """How many there are of each severity, the worst first."""
    return {
        severity.value: sum(condition.severity is severity for condition in conditions)
        for severity in reversed(Severity)
    }


def health_text(
    conditions: Sequence[Condition], summary: str, indices: Indices, look: Look, *, now_s: float, simulated: bool
) -> str:
    """The conditions in their order, and one line that sums them up."""
    lines = [look.paint("simulated", Role.WARN)] if simulated else []
    for condition in conditions:
        severity = look.paint(condition.severity.value, ROLES[condition.severity])
        where = place_text(condition.node, condition.device, indices)
        since = f"since {local_time(condition.since_s)}, {duration(now_s - condition.since_s)}"
        lines.append(f"{severity}  {where}  {condition.trouble.value}  {look.paint(since, Role.QUIET)}")
        lines += _wrapped(condition.what, look)
        if condition.advice:
            lines += [look.paint(line, Role.QUIET) for line in _wrapped(condition.advice, look)]
    return "\n".join([*lines, summary])


def summary_text(conditions: Sequence[Condition], nodes: int, unreached: int, recent: int) -> str:
    """Counts in one line.

    Args:
        conditions: those that are told.
        nodes: how many nodes were looked at.
        unreached: how many of them did not answer.
        recent: how many events of severity error or worse began in the last day.
    """
    told = ", ".join(f"{word}: {count}" for word, count in counts(conditions).items() if count)
    parts = [told or "nothing is wrong", plural(nodes, "node")]
    if unreached:
        parts.append(f"{unreached} not reached")
    if recent:
        parts.append(f"{plural(recent, 'event')} of severity error or worse in 24 h (`gpualloc events`)")
    return "; ".join(parts)


def _wrapped(text: str, look: Look) -> list[str]:
    return textwrap.wrap(escape(text), look.width, initial_indent=_INDENT, subsequent_indent=_INDENT)
