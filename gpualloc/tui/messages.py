"""What the watching thread tells the screen."""

from __future__ import annotations

from textual.message import Message

from gpualloc.tui.seen import Seen


class Sampled(Message):
    """There is something newer to draw."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen

    def can_replace(self, message: Message) -> bool:
        """A newer one holds all that an older one did, so the older need not be drawn."""
        return isinstance(message, Sampled)


class Crashed(Message):
    """The watching thread met a defect and has ended."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
