"""What happened at a moment of a recording."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.model.health import Severity


class Happening(Struct, frozen=True):
    """One line of a replay."""

    at_s: float
    node: str
    device: str | None
    """UUID; None when it is of the node."""
    severity: Severity
    what: str
    """May hold text that a node sent."""
