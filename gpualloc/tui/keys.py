"""Keys as people read them, taken from the bindings themselves."""

from __future__ import annotations

from textual.binding import Binding
from textual.screen import Screen

_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "space": "Space",
    "escape": "Esc",
    "enter": "Enter",
    "tab": "Tab",
    "shift+tab": "Shift+Tab",
    "pagedown": "PgDn",
    "pageup": "PgUp",
    "home": "Home",
    "end": "End",
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
}


def key_name(key: str) -> str:
    """A key as it is printed on keyboards."""
    if key in _NAMES:
        return _NAMES[key]
    if key.startswith("ctrl+"):
        return f"Ctrl+{key_name(key[5:]).upper()}"
    if key.startswith("shift+"):
        return f"Shift+{key_name(key[6:])}"
    return key


def shown_keys(screen: Screen[None]) -> list[tuple[str, str, str]]:
    """(key to press, key as people read it, what it does) for the bottom line; the view's own first, each once."""
    found: dict[str, tuple[str, str, str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.show and binding.action not in found and active.enabled:
            found[binding.action] = (binding.key, key_name(binding.key), binding.description)
    return list(found.values())


def bindings_of(node: object) -> list[Binding]:
    """The bindings that a class declares."""
    return [binding for binding in getattr(node, "BINDINGS", ()) if isinstance(binding, Binding)]
