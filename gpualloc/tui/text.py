"""Text for cells: untrusted text made harmless, ages and times in words."""

from __future__ import annotations

import time

from rich.cells import cell_len, set_cell_size

from gpualloc.tui import glyphs

MAX_SHOWN_CHARS = 300


def plain(text: str, limit: int = MAX_SHOWN_CHARS) -> str:
    r"""Make untrusted text safe to draw: at most `limit` characters, and what is not printable escaped (`\x1b`)."""
    shown = text if len(text) <= limit else text[: limit - 1] + glyphs.current().ellipsis
    if shown.isprintable():
        return shown
    return "".join(char if char.isprintable() else _escaped(char) for char in shown)


def printable(text: str) -> str:
    """Text that is typed or pasted, without what cannot be drawn."""
    return text if text.isprintable() else "".join(char for char in text if char.isprintable())


def clip(text: str, width: int) -> str:
    """Cut text to `width` terminal cells, with an ellipsis at the end when something is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)) + glyphs.current().ellipsis if width > 0 else ""


def clip_middle(text: str, width: int) -> str:
    """Cut the middle out, as names of nodes differ at the end."""
    if cell_len(text) <= width or width < 3:
        return clip(text, width)
    head = (width - 1) // 2
    tail = width - 1 - head
    while cell_len(text[-tail:]) > width - 1 - head:
        tail -= 1
    return set_cell_size(text, head) + glyphs.current().ellipsis + text[len(text) - tail :]


def age_text(seconds: float | None) -> str:
    """Age in at most four cells, such as `3s`, `12m`, `5h`, `9d`; None is `never`."""
    if seconds is None:
        return "never"
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= (2 if unit == "m" else 1) * size:
            return f"{min(whole // size, 999)}{unit}"
    return f"{whole}s"


def time_text(at_s: float) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at_s))


def date_time_text(at_s: float | None) -> str:
    """Local date and time; None is `n/a`."""
    if at_s is None:
        return "n/a"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
    except (OverflowError, OSError, ValueError):
        # No node is held to the calendar.
        return "no such time"


def _escaped(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
