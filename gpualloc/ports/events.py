"""What happened in the fleet, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gpualloc.model.health import Condition, Event, Severity


class Events(Protocol):
    """Dated events, and the conditions of the last look."""

    def note(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """Keep events; returns those that were not known yet, by their key."""
        ...

    def events(
        self,
        since_s: float,
        until_s: float | None = None,
        *,
        node: str | None = None,
        device: str | None = None,
        least: Severity = Severity.INFO,
    ) -> tuple[Event, ...]:
        """Events in the window, both ends included, oldest first."""
        ...

    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that were kept last, by node, device and trouble."""
        ...

    def keep_conditions(self, conditions: Sequence[Condition]) -> None:
        """Keep these in place of all that were kept before."""
        ...

    def devices_seen(self, node: str | None = None) -> dict[str, dict[str, float]]:
        """By node, the UUID of each device that a sample was ever kept of, with the epoch seconds of its newest."""
        ...

    def forget_device(self, node: str, device: str) -> bool:
        """No longer expect a device that was taken out; False when it was not known."""
        ...
