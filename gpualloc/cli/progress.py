"""How far something longer is, on stderr of a terminal; silent for the first second and in scripts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpualloc.views.text import bar, escape

if TYPE_CHECKING:
    from gpualloc.engine.context import Context
    from gpualloc.model.inventory import Node

QUIET_S = 1.0
"""Nothing is shown of what takes no longer than this."""


class Line:
    """One line that is drawn over and over; not at all in a script, nor in the first second."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def draw(self, text: str) -> None:
        """Draw the text in place of what is there."""
        self._write(f"\r\x1b[K{text}")

    def wipe(self) -> None:
        """Leave the line empty."""
        self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        if sys.stderr.isatty() and time.monotonic() - self._began_s > QUIET_S:
            sys.stderr.write(text)
            sys.stderr.flush()


@contextmanager
def drawn() -> Iterator[Line]:
    """A line that is wiped away at the end."""
    line = Line()
    try:
        yield line
    finally:
        line.wipe()


@contextmanager
def nodes_seen(world: Context, names: tuple[str, ...] | None = None) -> Iterator[Callable[[Node], None] | None]:
    """What to pass as `progress` of an observation; None when nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    total = len(names) if names is not None else len(world.fleet.specs())
    seen = 0
    with drawn() as line:

        def show(node: Node) -> None:
            nonlocal seen
            seen += 1
            line.draw(_done(seen, total, f"nodes, {escape(node.name)}"))

        yield show


@contextmanager
def counted(total: int, what: str) -> Iterator[Callable[[int], None] | None]:
    """What to tell how many of `total` are done; None when nobody watches.

    Args:
        total: how many there are to do.
        what: their plural, such as `tasks`.
    """
    if not sys.stderr.isatty():
        yield None
        return
    with drawn() as line:
        yield lambda done: line.draw(_done(done, total, what))


def _done(done: int, total: int, what: str) -> str:
    """How many of how many are done, with a word on them."""
    return f"{bar(done, total, 20)} {done}/{total} {what}"
