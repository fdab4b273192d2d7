"""Draws docs/images/top-*.svg anew: python docs/images/render.py"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from tui.fleet_fixture import bare_machine, fleet  # noqa: E402

from gpualloc.tui.app import TopApp  # noqa: E402


async def picture(app: TopApp, size: tuple[int, int], keys: tuple[str, ...] = ()) -> str:
    """The screen as SVG, once the first look is drawn and the keys are pressed."""
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.5)
        await pilot.press(*keys)
        await pilot.pause(0.3)
        return app.export_screenshot(title="gpualloc top")


def main() -> None:
    """Write every picture."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    chosen = ("j", "j", "j", "j")
    for name, world, size, keys in (
        ("top-80x24", fleet(), (80, 24), ()),
        ("top-160x48", fleet(), (160, 48), ("j",)),
        ("top-detail", fleet(), (100, 40), (*chosen, *chosen, *chosen[:2], "enter")),
        ("top-bare", bare_machine(), (80, 24), ()),
    ):
        (HERE / f"{name}.svg").write_text(asyncio.run(picture(world.app(), size, keys)))


if __name__ == "__main__":
    main()
