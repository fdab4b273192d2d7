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


@contextmanager
def nodes_seen(world: Context, names: tuple[str, ...] | None = None) -> Iterator[Callable[[Node], None] | None]:
    """What to pass as `progress` of an observation; None when nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    total = len(names) if names is not None else len(world.fleet.specs())
    seen = 0
    with _drawing() as draw:

        def show(node: Node) -> None:
            nonlocal seen
            seen += 1
            draw(seen, total, f"nodes, {escape(node.name)}")

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
    with _drawing() as draw:
        yield lambda done: draw(done, total, what)


@contextmanager
def _drawing() -> Iterator[Callable[[int, int, str], None]]:
    """Draws how many of how many are done, with a word on them; wiped away at the end."""
    began_s = time.monotonic()

    def draw(done: int, total: int, what: str) -> None:
        if time.monotonic() - began_s > QUIET_S:
            sys.stderr.write(f"\r\x1b[K{bar(done, total, 20)} {done}/{total} {what}")
            sys.stderr.flush()

    try:
        yield draw
    finally:
        if time.monotonic() - began_s > QUIET_S:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
