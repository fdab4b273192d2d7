"""Draws docs/images/top-*.svg anew: python docs/images/render.py

The worlds are those of the picture tests, so that the pages show what the tests look at.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from tui.fleet_fixture import bare_machine  # noqa: E402
from tui.pictured_world import pictured, settled  # noqa: E402
from tui.steering import go, until_drawn  # noqa: E402

from gpualloc.tui.app import TopApp  # noqa: E402

Steer = Callable[[Pilot[None]], Awaitable[None]]
PICTURES = (
    ("top-fleet", (120, 40), "fleet", "", ()),
    ("top-80x24", (80, 24), "fleet", "", ()),
    ("top-device", (120, 40), "device", "a100-01/GPU-a100-01-2", ()),
    ("top-plan", (120, 40), "plan", "", ()),
    ("top-forecast", (100, 30), "forecast", "", ()),
    ("top-workload", (120, 32), "workload", "w3b9n4k6y", ()),
    ("top-confirm", (80, 24), "workload", "w5x1c8d2n", ("ctrl+d",)),
)
"""Names, sizes, views, what they are about, and keys that are pressed there."""


async def picture(app: TopApp, size: tuple[int, int], steer: Steer) -> str:
    """The screen as SVG after it was steered."""
    async with app.run_test(size=size) as pilot:
        await steer(pilot)
        return app.export_screenshot(title="gpualloc top")


def steered(view: str, of: str, keys: tuple[str, ...]) -> Steer:
    """Goes to a view and presses keys there."""

    async def steer(pilot: Pilot[None]) -> None:
        await settled(pilot)
        await go(pilot, view, of)
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)

    return steer


def main() -> None:
    """Write every picture."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    for name, size, view, of, keys in PICTURES:
        with tempfile.TemporaryDirectory() as folder, pictured(Path(folder)) as world:
            drawn = asyncio.run(picture(world.app(), size, steered(view, of, keys)))
        (HERE / f"{name}.svg").write_text(drawn)
    (HERE / "top-bare.svg").write_text(asyncio.run(picture(bare_machine().app(), (80, 24), until_drawn)))


if __name__ == "__main__":
    main()
