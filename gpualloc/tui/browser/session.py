"""One dashboard in one tab: a process, from the opening of the tab to its closing."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from gpualloc.tui.serve import DRIVER

PATIENCE_S = 5.0
"""How long a dashboard may take to end when asked, and again when told by a signal."""
_STEP_S = 0.02
_LEAST, _MOST = 1, 1000
"""Sizes of a terminal in cells that are passed on; a browser's window is never larger."""
Write = Callable[[bytes], Awaitable[None]]
Tell = Callable[[str], Awaitable[None]]


class Session(AppService):
    """As textual-serve's, but without a shell, with an end that is sure, and closing the tab when the process ends.

    Args:
        command: program and arguments.
        write_bytes: sends what the terminal draws.
        write_str: sends a message to the page, as JSON.
        close: closes the tab's websocket.
        downloads: files on their way to browsers.
        download_url: where a browser gets the file with this key.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        write_bytes: Write,
        write_str: Tell,
        close: Callable[[], Awaitable[object]],
        downloads: DownloadManager,
        download_url: Callable[[str], str],
    ) -> None:
        async def ended() -> None:
            await close()

        super().__init__("", write_bytes=write_bytes, write_str=self._tell, close=ended, download_manager=downloads)
        self._arguments = tuple(command)
        self._write_str = write_str
        self._download_url = download_url

    async def start(self, width: int, height: int) -> None:
        """Start the process with a terminal of this many cells."""
        await super().start(_cells(width), _cells(height))

    async def set_terminal_size(self, width: object, height: object) -> None:
        """Tell the process; raises ValueError for what is no size."""
        if not (isinstance(width, int) and isinstance(height, int)):
            raise ValueError("a terminal's size is two whole numbers")
        await super().set_terminal_size(_cells(width), _cells(height))

    async def run(self) -> None:
        """Pass on what the process writes until it ends, then let go of the tab."""
        try:
            await super().run()
        finally:
            await self.remote_close()

    async def stop(self) -> None:
        """End the process: asked first, then by TERM, then by KILL. It alone, since its node programs end with it."""
        task, process = self._task, self._process
        if task is None or process is None:
            return
        self._task = None
        await self._download_manager.cancel_app_downloads(self.app_service_id)
        # A process that reads no more would hold the message up.
        with suppress(TimeoutError):
            await asyncio.wait_for(self.send_meta({"type": "quit"}), PATIENCE_S)
        for end in (process.terminate, process.kill):
            if await _ends(process):
                break
            with suppress(ProcessLookupError):
                end()
        await _ends(process)
        # A program that it left behind may still hold its output open.
        _, waiting = await asyncio.wait({task}, timeout=1)
        for task in waiting:
            task.cancel()
            await asyncio.wait({task})

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        # The terminal is the browser's, which draws everything, whatever the terminal of the server can do.
        inherited = super()._build_environment(width, height)
        browser = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        return {**inherited, **browser, "TEXTUAL_DRIVER": DRIVER}

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=PIPE,
            stdout=PIPE,
            env=self._build_environment(width, height),
            # An interrupt of the server's terminal is the server's alone.
            start_new_session=True,
        )
        self._stdin = process.stdin
        # textual-serve would gather what it complains of, and lose it when it ends at once. It shares our stderr.
        process.stderr = asyncio.StreamReader()
        process.stderr.feed_eof()
        return process

    async def _tell(self, message: str) -> None:
        # textual-serve's page looks for downloads at the top of the server, where ours has nothing.
        kind, value = json.loads(message)
        if kind == "deliver_file_start":
            message = json.dumps(["open_url", {"url": self._download_url(value), "new_tab": True}])
        await self._write_str(message)


def _cells(count: int) -> int:
    return min(max(count, _LEAST), _MOST)


async def _ends(process: Process) -> bool:
    """Whether it ends in time. Asked again and again: `wait` would also wait for whoever inherited its output."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while process.returncode is None:
                await asyncio.sleep(_STEP_S)
    except TimeoutError:
        return False
    return True
