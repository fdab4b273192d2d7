"""The end of a dashboard that will not end."""

import asyncio
import os
import signal
import sys
from contextlib import suppress

import pytest
from fakes.browser_tab import until

from gpualloc.tui.browser import session as module

DEAF = "import os, signal; os.write(1, b'__GANGLION__\\nD\\0\\0\\0\\1x'); signal.pause()"
DEAF_TO_TERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {DEAF}"
# Nobody reads any more, so it is stuck in a write.
STUCK = "import os\nos.write(1, b'__GANGLION__\\n')\nwhile True: os.write(1, b'D\\0\\1\\0\\0' + bytes(65536))"
# Draws the pid of the program that goes on.
HEIR = """
import os, subprocess
pid = b"%8d" % subprocess.Popen(["sleep", "1000"]).pid
os.write(1, b"__GANGLION__\\nD\\0\\0\\0\\x08" + pid)
os.read(0, 1)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 1)


class Tab:
    """What a session sees of its tab."""

    def __init__(self, *, gone=False):
        self.gone = gone
        self.drawn = b""
        self.closed = False

    async def draw(self, data):
        self.drawn += data
        if self.gone:
            raise ConnectionResetError

    async def tell(self, message):
        raise AssertionError(message)

    async def close(self):
        self.closed = True


async def started(script, tab):
    session = module.Session(
        (sys.executable, "-c", script),
        write_bytes=tab.draw,
        write_str=tab.tell,
        close=tab.close,
        downloads=module.DownloadManager(),
        download_url=lambda key: key,
    )
    await session.start(80, 24)
    await until(lambda: tab.drawn)
    return session


@pytest.mark.parametrize(
    ("script", "gone", "code"),
    [(DEAF, False, -signal.SIGTERM), (DEAF_TO_TERM, False, -signal.SIGKILL), (STUCK, True, -signal.SIGTERM)],
)
async def test_it_is_told_by_signals(script, gone, code):
    tab = Tab(gone=gone)
    session = await started(script, tab)
    process = session._process
    await session.stop()
    assert process.returncode == code
    assert tab.closed


async def test_what_it_leaves_behind_holds_nothing_up():
    tab = Tab()
    session = await started(HEIR, tab)
    process = session._process
    try:
        await session.stop()
        assert process.returncode == 0
        assert tab.closed
    finally:
        os.kill(int(tab.drawn), signal.SIGKILL)


async def test_one_that_reads_no_more_is_ended_too():
    session = await started(DEAF_TO_TERM, Tab())
    with suppress(TimeoutError):
        await asyncio.wait_for(session.send_bytes(bytes(1 << 20)), 0.1)
    await session.stop()
    assert session._process.returncode == -signal.SIGKILL


async def test_stopping_twice_is_stopping_once():
    session = await started(DEAF, Tab())
    await asyncio.gather(session.stop(), session.stop())
    assert session._process.returncode == -signal.SIGTERM
