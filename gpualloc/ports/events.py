"""What happened in the fleet, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from gpualloc.model.health import Condition, Event, Heard, Looked, Severity


class Events(Protocol):
    """Dated events, the conditions of the last look, and what is remembered of nodes to see what changed."""

    def note(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """Keep events; returns those that were not known yet, by their key."""
        ...

    def keep(self, looked: Looked) -> tuple[Event, ...]:
        """Keep what a look at some nodes came to, all or nothing; returns the events that were not known yet."""
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

    def mark(self) -> int:
        """A place behind the event that was kept last, for `kept_after`."""
        ...

    def kept_after(self, mark: int) -> tuple[tuple[Event, ...], int]:
        """Events that were kept after that mark, in the order in which they were kept, and the next mark."""
        ...

    def conditions(self, nodes: Collection[str] | None = None, *, suspected: bool = False) -> tuple[Condition, ...]:
        """The conditions that were kept last (of all nodes, or of these), by node, device and trouble.

        Args:
            nodes: names of nodes.
            suspected: also those that are not confirmed yet.
        """
        ...

    def heard(self, nodes: Collection[str] | None = None) -> dict[str, Heard]:
        """What is remembered (of all nodes, or of these), by name; nothing of a node that was never looked at."""
        ...

    def devices_seen(self, node: str | None = None) -> dict[str, dict[str, float]]:
        """By node, the UUID of each device that a sample was ever kept of, with the epoch seconds of its newest."""
        ...

    def forget(self, node: str, part: str) -> bool:
        """No longer expect a device (by UUID) or port of a node that was taken out, nor keep what was wrong with it.

        Returns:
            False when it was not expected.
        """
        ...
