"""What happened at a moment of a recording."""

from __future__ import annotations

from dataclasses import dataclass

from gpualloc.model.health import Severity


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of a replay."""

    at_s: float
    node: str
    device: str | None
    """UUID; None when it is of the node."""
    severity: Severity
    what: str
    """May hold text that a node sent."""
