"""What the watching thread and the views tell the app."""

from __future__ import annotations

from textual.message import Message


class Sampled(Message):
    """There is something newer to draw."""

    def can_replace(self, message: Message) -> bool:
        """One drawing serves for all that came before it."""
        return isinstance(message, Sampled)


class Crashed(Message):
    """A thread met a defect and has ended."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Go(Message):
    """Another view is wanted.

    Args:
        name: of the view, as in `:name`.
        of: what it is about: `node`, `node/uuid`, an id; empty for the whole fleet.
    """

    def __init__(self, name: str, of: str = "") -> None:
        super().__init__()
        self.name = name
        self.of = of


class Back(Message):
    """The view before is wanted again."""


class Said(Message):
    """Something is to be told in the notice line.

    Args:
        text: one line, safe to draw.
        wrong: whether it is an error.
    """

    def __init__(self, text: str, *, wrong: bool = False) -> None:
        super().__init__()
        self.text = text
        self.wrong = wrong
