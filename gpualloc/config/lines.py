"""Line numbers of the keys in a TOML text, which the standard parser does not give."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field

Path = tuple[str | int, ...]
"""Names of tables and keys; an int is the position in an array of tables."""

_KEY = re.compile(r"""[ \t]*(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([A-Za-z0-9_-]+))[ \t]*""")
_SKIPPED = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|\#[^\n]*', re.DOTALL)


class _Scan(Struct):
    """Where the scanner stands in a text that is known to be valid TOML."""

    text: str
    position: int = 0
    table: Path = ()
    lines: dict[Path, int] = field(default_factory=dict)
    arrays: dict[Path, int] = field(default_factory=dict)

    def note(self, path: Path, at: int) -> None:
        """Remember the line of a key or table at its first sight."""
        self.lines.setdefault(path, self.text.count("\n", 0, at) + 1)

    def dotted_name(self) -> tuple[str, ...]:
        """Read `a."b".c` and stand behind it."""
        parts = []
        while match := _KEY.match(self.text, self.position):
            parts.append(next(group for group in match.groups() if group is not None))
            self.position = match.end()
            if self.text[self.position : self.position + 1] != ".":
                break
            self.position += 1
        return tuple(parts)

    def header(self) -> None:
        """Read `[a.b]` or `[[a.b]]`."""
        at = self.position
        of_array = self.text.startswith("[[", at)
        self.position += 2 if of_array else 1
        path = self._inside_arrays(self.dotted_name())
        if of_array:
            self.arrays[path] = self.arrays.get(path, -1) + 1
            path = (*path, self.arrays[path])
        self.table = path
        self.note(path, at)
        self.position = self._end_of_line()

    def assignment(self) -> None:
        """Read `key = value`, whatever lines the value spans."""
        at = self.position
        name = self.dotted_name()
        for length in range(1, len(name) + 1):
            self.note((*self.table, *name[:length]), at)
        depth = 0
        while self.position < len(self.text):
            if skipped := _SKIPPED.match(self.text, self.position):
                self.position = skipped.end()
                continue
            character = self.text[self.position]
            depth += (character in "[{") - (character in "]}")
            self.position += 1
            if character == "\n" and depth <= 0:
                return

    def _inside_arrays(self, name: tuple[str, ...]) -> Path:
        """The path of a header's name, with the position in each array of tables it lies in."""
        path: Path = ()
        for position, part in enumerate(name):
            path = (*path, part)
            if position < len(name) - 1 and path in self.arrays:
                path = (*path, self.arrays[path])
        return path

    def _end_of_line(self) -> int:
        end = self.text.find("\n", self.position)
        return len(self.text) if end < 0 else end + 1


def key_lines(text: str) -> Mapping[Path, int]:
    """The 1-based line of every table header and key of a valid TOML text.

    Keys inside inline tables are not in it; `line_of` falls back to the key that holds them.
    """
    scan = _Scan(text)
    while scan.position < len(text):
        character = text[scan.position]
        if character == "#":
            scan.position = scan._end_of_line()
        elif character.isspace():
            scan.position += 1
        elif character == "[":
            scan.header()
        else:
            scan.assignment()
    return scan.lines


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a key, of what holds it where it has none of its own, or 1."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1
