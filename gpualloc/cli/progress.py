"""How far a longer observation is, on stderr of a terminal; silent for the first second and in scripts."""

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
    began_s = time.monotonic()
    seen = 0

    def show(node: Node) -> None:
        nonlocal seen
        seen += 1
        if time.monotonic() - began_s > QUIET_S:
            sys.stderr.write(f"\r\x1b[K{bar(seen, total, 20)} {seen}/{total} nodes, {escape(node.name)}")
            sys.stderr.flush()

    try:
        yield show
    finally:
        if time.monotonic() - began_s > QUIET_S:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
