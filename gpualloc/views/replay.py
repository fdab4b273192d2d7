"""What happened in a recording, as lines."""

from __future__ import annotations

from gpualloc.model.happening import Happening
from gpualloc.model.health import Severity
from gpualloc.views.look import Look, Role
from gpualloc.views.text import escape, stamp

_ROLES = {Severity.WARNING: Role.WARN, Severity.ERROR: Role.BAD, Severity.CRITICAL: Role.BAD}


def happening_line(happening: Happening, look: Look) -> str:
    """One line of text."""
    role = _ROLES.get(happening.severity)
    said = escape(happening.what)
    return f"{stamp(happening.at_s)}  {escape(happening.node)}  {said if role is None else look.paint(said, role)}"


def happening_data(happening: Happening) -> dict[str, object]:
    """One record of `replay --json`."""
    return {
        "at_s": happening.at_s,
        "node": happening.node,
        "device": happening.device,
        "severity": happening.severity.value,
        "what": happening.what,
    }
