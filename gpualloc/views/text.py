"""Numbers and untrusted text as people read them. The model holds bare numbers; units are added here."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

UNKNOWN = "n/a"
"""Shown for every reading that is None: an unknown is never a number."""


def escape(text: str) -> str:
    """Make foreign text harmless on a terminal.

    Control, format (bidi) and unassigned characters become `\\x1b` or `\\u202e`, a backslash becomes two.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_escaped(char) for char in text)


def _escaped(char: str) -> str:
    if char.isprintable() and char != "\\":
        return char
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}.get(char)
    if short is not None:
        return short
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cells(text: str) -> int:
    """Columns that printable text takes: two for wide characters, none for combining marks."""
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """Cut printable text to `width` columns, ending in `…` when something is missing."""
    if cells(text) <= width:
        return text
    kept, used = "", 0
    for char in text:
        if used + _cells(char) > width - 1:
            break
        kept, used = kept + char, used + _cells(char)
    return kept + "…"


def memory(mib: float | None) -> str:
    """MiB as `512 MiB`, `79.6 GiB` or `1.2 TiB`."""
    if mib is None:
        return UNKNOWN
    if abs(mib) < 1024:
        return f"{mib:.0f} MiB"
    return f"{mib / 1024:.1f} GiB" if abs(mib) < 1024**2 else f"{mib / 1024**2:.1f} TiB"


def percent(ratio: float | None) -> str:
    """0..1 as `43 %`."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f} %"


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit, without needless digits."""
    return UNKNOWN if value is None else f"{value:.0f} {unit}"


def duration(seconds: float | None) -> str:
    """Seconds as `3s`, `2m05s`, `2h05m` or `3d04h`; never negative, since clocks of nodes differ a little."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def ago(seconds: float | None) -> str:
    """How long since: `3s ago`, or `never`."""
    return "never" if seconds is None else f"{duration(seconds)} ago"


def stamp(at_s: float | None) -> str:
    """Epoch seconds as UTC `2026-11-21 06:30:06Z`."""
    return UNKNOWN if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def bar(part: float | None, whole: float | None, width: int = 8) -> str:
    """A bar of `width` columns; dots when unknown. Any use at all shows at least a thin mark."""
    if part is None or not whole:
        return "·" * width
    full = min(width, round(part / whole * width))
    if full == 0 and part > 0:
        return "▏" + "░" * (width - 1)
    return "█" * full + "░" * (width - full)


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"
