"""A recording that is looked at anywhere in it."""

from __future__ import annotations

from typing import Protocol

from gpualloc.model.inventory import Node


class Playback(Protocol):
    """The fleet as a recording has it. Blocking; may be asked from any thread. All methods raise BrokenInputError."""

    @property
    def every_s(self) -> float:
        """Time between two ticks, seconds."""
        ...

    def span(self) -> tuple[float, float]:
        """Epoch seconds of the first and the last tick."""
        ...

    def neighbours(self, at_s: float) -> tuple[float | None, float | None]:
        """The last tick before that moment and the first after it; None where there is none."""
        ...

    def nodes_at(self, at_s: float) -> tuple[Node, ...]:
        """Every node as it was told last at that moment, by name; before the first tick as at that."""
        ...
