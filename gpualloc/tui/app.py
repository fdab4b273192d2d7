"""The dashboard application: joins the watcher's thread to the main screen."""

from __future__ import annotations

import os
from typing import ClassVar

from textual.binding import Binding, BindingType

from gpualloc.tui import glyphs
from gpualloc.tui.cost import CostMeter, ProcessCostMeter
from gpualloc.tui.messages import Crashed, Sampled
from gpualloc.tui.options import TopOptions
from gpualloc.tui.screens.fleet import FleetScreen
from gpualloc.tui.source import Source
from gpualloc.tui.themes import Colours, ThemedApp, colours_of
from gpualloc.tui.watcher import Watcher


class TopApp(ThemedApp):
    """`gpualloc top`.

    Args:
        source: what to look at.
        every_s: period of the looks in seconds.
        title: first words of the header.
        meter: measures the dashboard's own cost.
        theme: name of the first theme; None is the usual one.
        colours: what the terminal has.
    """

    CSS_PATH = "styles.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "quit", tooltip="Quit at once, whatever hangs"),
    ]

    def __init__(
        self,
        source: Source,
        *,
        every_s: float,
        title: str,
        meter: CostMeter,
        theme: str | None = None,
        colours: Colours = Colours.MANY,
    ) -> None:
        super().__init__(theme, colours)
        self.title = title
        self._watcher = Watcher(source, every_s, self.post_message)
        self._fleet = FleetScreen(source, self._watcher, every_s=every_s, title=title, meter=meter)
        self.crash: Exception | None = None
        """A defect that ended the watching, and with it the dashboard."""

    async def on_mount(self) -> None:
        """Show the main screen and begin to look."""
        await self.push_screen(self._fleet)
        self._watcher.start()

    def on_unmount(self) -> None:
        """Leave the watcher to itself."""
        self._watcher.stop()

    def on_sampled(self, _: Sampled) -> None:
        """Pass it on."""
        self._fleet.expect_news()

    def on_crashed(self, message: Crashed) -> None:
        """A screen that would never change again is not left standing."""
        self.crash = message.error
        self.exit()


def run_top(source: Source, options: TopOptions, *, title: str = "gpualloc top") -> None:
    """Show the dashboard until the user quits.

    Args:
        source: what to look at.
        options: how it begins.
        title: first words of the header.

    Raises:
        Exception: whatever other than GpuallocError the source raised, a defect.
    """
    glyphs.use(glyphs.fitting(os.environ, ascii_only=options.ascii))
    app = TopApp(
        source,
        every_s=options.every_s,
        title=title,
        meter=ProcessCostMeter(),
        theme=options.theme,
        colours=colours_of(os.environ),
    )
    app.run()
    if app.crash is not None:
        raise app.crash
