"""Acceptance of a node: what was checked before it takes work, and how that came out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field


class BurninPart(StrEnum):
    """What a node program can put to the test; the words are those of the wire."""

    HOST_MEMORY = "host-memory"
    GPU = "gpu"


class BurninSlice(Struct, frozen=True):
    """What one slice of a test came to."""

    at_s: float
    """When it ended, by the node's clock."""
    seconds: float
    passes: int
    """How often all of the memory was written and compared."""
    compared_mib: int
    memory_mib: int
    """How much memory was under test."""
    errors: int
    """Blocks of memory that did not hold what was written."""
    first_error: str | None = None
    """Where, and what was read instead; None where there is none."""
    to_gpu_bytes_per_s: float | None = None
    """Of the fastest copy; None for the host's memory."""
    from_gpu_bytes_per_s: float | None = None


class Outcome(StrEnum):
    """How a check came out; the words are part of the JSON contract."""

    PASS = "pass"  # noqa: S105  no password
    FAIL = "fail"
    SKIP = "skip"
    """It could not be made; `what` says why."""


class Check(Struct, frozen=True):
    """One check of a burn-in."""

    name: str
    """`gpus`, `driver`, `pcie`, `memory`, ... (docs/burnin.md)."""
    outcome: Outcome
    what: str
    """One sentence; may hold text that the node sent."""
    device: str | None = None
    """UUID; None when it is of the node."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What was measured, with the unit in the name."""


class Burnin(Struct, frozen=True):
    """A burn-in from its beginning to its end."""

    node: str
    device: str | None
    """UUID where only one device was put to the test; None: the whole node."""
    checks: tuple[Check, ...]
    began_s: float
    ended_s: float
    recorded: bool = True
    """Whether it is in the audit trail; not when another command held the state's lock all the time."""

    @property
    def passed(self) -> bool:
        """Whether no check failed, and at least one was made."""
        made = [check.outcome for check in self.checks if check.outcome is not Outcome.SKIP]
        return bool(made) and Outcome.FAIL not in made


class BurninProgress(Struct, frozen=True):
    """How far a burn-in is."""

    done_s: float
    total_s: float
    what: str
    """What is under test now."""
