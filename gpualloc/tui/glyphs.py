"""The characters the dashboard draws with: Unicode, or plain ASCII where a terminal or a locale has nothing else.

What draws asks `current()` each time. `use()` is called once, before the dashboard starts; a test that calls it puts
back what was there.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

_POOR_TERMINALS = frozenset({"linux", "dumb", "vt100", "vt102", "vt220", "ansi", "cons25"})
"""Values of TERM whose font or character set is too small: the console of Linux has 512 glyphs at most."""
_COERCED = "C.UTF-8"
"""What Python itself puts into LC_CTYPE when it finds the C locale (PEP 538)."""


class Glyphs(Struct, frozen=True):
    """One set of characters; each text is as wide as its length."""

    full: str
    """A full cell of a bar."""
    half: str
    """The last cell of a bar, half full."""
    track: str
    """What is left of a bar."""
    heat: tuple[str, str, str, str, str, str]
    """From idle to full; they differ by form, so that colour is not needed."""
    fault: str
    """A device that is lost, hung or needs a reset, in place of a heat."""
    unknown: str
    """A device of which nothing is known, in place of a heat."""
    ascending: str
    descending: str
    up: str
    down: str
    left: str
    right: str
    ellipsis: str
    """Something was cut off here."""
    dot: str
    """Stands between parts of a line."""
    check: str
    cross: str
    marked: str
    """A row that is marked."""
    branch: str
    """A child of a tree that has siblings below it; as wide as `last`, `trunk` and `blank`."""
    last: str
    trunk: str
    blank: str
    horizontal: str
    vertical: str
    top_left: str
    top_right: str
    bottom_left: str
    bottom_right: str
    tick: str
    """A mark on a horizontal axis."""
    degree: str
    """In front of the C of Celsius; may be empty."""
    braille: bool
    """Whether charts may use braille patterns."""


UNICODE = Glyphs(
    full="▄",
    half="▖",
    track="▁",
    heat=("▁", "▂", "▃", "▅", "▆", "█"),
    fault="✗",
    unknown="?",
    ascending="▲",
    descending="▼",
    up="↑",
    down="↓",
    left="←",
    right="→",
    ellipsis="…",
    dot="·",
    check="✓",
    cross="✗",
    marked="●",
    branch="├─",
    last="└─",
    trunk="│ ",
    blank="  ",
    horizontal="─",
    vertical="│",
    top_left="┌",
    top_right="┐",
    bottom_left="└",
    bottom_right="┘",
    tick="┬",
    degree="°",
    braille=True,
)
ASCII = Glyphs(
    full="#",
    half="=",
    track="-",
    heat=(".", ":", "-", "=", "+", "#"),
    fault="X",
    unknown="?",
    ascending="^",
    descending="v",
    up="Up",
    down="Down",
    left="Left",
    right="Right",
    ellipsis="~",
    dot="|",
    check="+",
    cross="x",
    marked="*",
    branch="|-",
    last="`-",
    trunk="| ",
    blank="  ",
    horizontal="-",
    vertical="|",
    top_left="+",
    top_right="+",
    bottom_left="+",
    bottom_right="+",
    tick="+",
    degree="",
    braille=False,
)

_set = UNICODE


def current() -> Glyphs:
    """What to draw with."""
    return _set


def use(glyphs: Glyphs) -> None:
    """Draw with these from now on."""
    global _set
    _set = glyphs


def fitting(env: Mapping[str, str], *, ascii_only: bool = False) -> Glyphs:
    """What the terminal can show.

    Args:
        env: the process environment.
        ascii_only: the user wants nothing but ASCII.
    """
    poor = env.get("TERM", "").lower().partition("-")[0] in _POOR_TERMINALS
    return ASCII if ascii_only or poor or not _is_utf8(env) else UNICODE


def in_ascii(text: str) -> str:
    """Text that other rooms made, with what they draw with in ASCII; other characters stay as they are."""
    return text.translate(_REPLACED)


def drawn(text: str) -> str:
    """Text as it is drawn with the current set, as wide as before; what nodes and users wrote stays as it is."""
    return text.translate(_NARROW) if _set is ASCII and not text.isascii() else text


def _is_utf8(env: Mapping[str, str]) -> bool:
    """Whether the locale the user chose has UTF-8."""
    language = env.get("LANG", "")
    if env.get("LC_ALL"):
        chosen = env["LC_ALL"]
    elif env.get("LC_CTYPE") == _COERCED and language in ("", "C", "POSIX"):
        chosen = language
    else:
        chosen = env.get("LC_CTYPE") or language
    return chosen.lower().replace("-", "").partition("@")[0].endswith("utf8")


def _replaced() -> dict[int, str]:
    pairs = {"█": "#", "░": ".", "▏": "|", "·": ".", "°": ""}
    for name in Glyphs.__struct_fields__:
        shown, plain = getattr(UNICODE, name), getattr(ASCII, name)
        if isinstance(shown, str) and len(shown) == 1 and not shown.isascii():
            pairs.setdefault(shown, plain)
    return {ord(shown): plain for shown, plain in pairs.items()}


_REPLACED = _replaced()
_NARROW: dict[int, str | int | None] = {**_REPLACED, **str.maketrans("▲▼↑↓←→°›┊⠿", "^v^v<> >:#")}
"""The same for single characters, each of which stays one cell wide."""
