"""What the watching thread tells the screen."""

from __future__ import annotations

from textual.message import Message


class Sampled(Message):
    """There is something newer to draw."""

    def can_replace(self, message: Message) -> bool:
        """One drawing serves for all that came before it."""
        return isinstance(message, Sampled)


class Crashed(Message):
    """The watching thread met a defect and has ended."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
