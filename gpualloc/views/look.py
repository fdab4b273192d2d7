"""How wide and how colourful text may be."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Role(StrEnum):
    """What a piece of text means; colour follows it, words never depend on it."""

    GOOD = "32"
    BAD = "31"
    WARN = "33"
    QUIET = "2"
    STRONG = "1"


class Look(Struct, frozen=True):
    """The terminal that text is made for."""

    width: int = 80
    """Columns, at least 40."""
    colour: bool = False

    def paint(self, text: str, role: Role | None) -> str:
        """The text in the colour of its role, or unchanged without colour."""
        if not self.colour or role is None or not text:
            return text
        return f"\x1b[{role.value}m{text}\x1b[0m"
