"""Runs the dashboard over a source of which one node never answers: python blocked_top.py"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from msgspec import structs
from tui.fleet_fixture import fleet

from gpualloc.model.inventory import Node
from gpualloc.tui.app import run_top
from gpualloc.tui.options import TopOptions


def main() -> None:
    world = fleet()

    def look() -> Iterator[Node]:
        yield from world.nodes[:3]
        threading.Event().wait()

    run_top(world.context(), structs.replace(world.source(), look=look), TopOptions(every_s=1.0))


if __name__ == "__main__":
    main()
