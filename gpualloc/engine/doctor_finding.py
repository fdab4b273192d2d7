"""What a check of the doctor says."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Verdict(StrEnum):
    """How a check came out; the words are part of the JSON contract."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """One check and its result."""

    check: str
    """What was checked: `nvml`, `reach`, `cgroup`, `privilege`, `state`, ... (docs/doctor.md)."""
    verdict: Verdict
    what: str
    """One sentence; may hold text that a node sent."""
    hint: str | None = None
    node: str | None = None
    """None for checks of this installation."""
