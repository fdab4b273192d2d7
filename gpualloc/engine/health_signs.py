"""What checks of a node's health say: signs of trouble, and what nobody can know now."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.model.health import Severity, Trouble


class Sign(Struct, frozen=True):
    """Something that looks wrong at this moment."""

    trouble: Trouble
    severity: Severity
    device: str | None
    """UUID; None when it is of the node."""
    what: str
    """One sentence without a reading that moves: it would make the same condition another one at each look."""
    advice: str | None
    after_s: float = 0.0
    """How long it must hold before it is told."""
    since_s: float | None = None
    """When it began, epoch seconds, where the node tells; None: when it was first seen."""
    moving: bool = False
    """Whether numbers in `what` may differ from look to look; it is then told as it was first."""

    @property
    def key(self) -> tuple[str, Trouble]:
        """What it is about on its node."""
        return (self.device or "", self.trouble)


class Unknown(Struct, frozen=True):
    """Nobody can say now whether there is this trouble: what was known of it stays as it was."""

    trouble: Trouble
    device: str

    @property
    def key(self) -> tuple[str, Trouble]:
        """What it is about on its node."""
        return (self.device, self.trouble)


Finding = Sign | Unknown
"""What a check yields; that it yields nothing says that all is well."""
