"""`gpualloc top --serve` as a process, and a real browser that opens what it prints."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys

import aiohttp
import psutil
import pytest
from fakes.browser_tab import PATIENCE_S, Tab, until
from fakes.command import Command

BROWSER = "chromium-headless-shell"
SERVE = """
import signal, sys
{before}
from gpualloc.tui import serve
sys.exit(serve.serve(sys.argv[2:], port=0, sessions=int(sys.argv[1]), tell=lambda line: print(line, flush=True)))
"""
# What `gpualloc top` does with a browser for a terminal.
TOP = """
import os, sys
from gpualloc.tui.serve import is_served
assert is_served(os.environ)
from gpualloc.cli.app import main
sys.stdin.isatty = sys.stdout.isatty = sys.stderr.isatty = lambda: True
sys.exit(main(["--sim", "demo", "top"]))
"""


class Served:
    """A server of dashboards."""

    def __init__(self, process, log):
        self.process = process
        self.log = log
        self._unasked = []
        self.address = self.next_address()
        self.origin, self.ticket = self.address.split("/?token=")

    def next_address(self):
        """The address that is printed when the one before it was used."""
        return self.printed(r"http://\S+")

    def printed(self, pattern):
        """What matches in the first such line that was not asked for yet; waits for it, but not for ever."""
        while True:
            for at, line in enumerate(self._unasked):
                if found := re.search(pattern, line):
                    del self._unasked[at]
                    return found[0]
            assert select.select([self.process.stdout], [], [], PATIENCE_S)[0], f"the server did not print {pattern}"
            self._unasked.append(self.process.stdout.readline().decode())
            assert self._unasked[-1], f"the server ended without {pattern}"

    def children(self):
        """Pids of the dashboards."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def end(self, number):
        """Signal it and wait for its end; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def serve(tmp_path):
    """Start a server for a program (the dashboard of the demo cluster); what is still there at the end is killed."""
    started = []
    env = {key: value for key, value in Command(tmp_path).env.items() if key != "NO_COLOR"}

    def serve(*program, sessions=4, before=""):
        command = program or (sys.executable, "-c", TOP)
        log = tmp_path / "stderr"
        script = SERVE.format(before=before)
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", script, str(sessions), *command],
                env=env,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,  # what was read but not asked for would not be waited for
            )
        started.append(process)
        return Served(process, log)

    yield serve
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
async def browser(tmp_path):
    """Open tabs of a real browser: `await browser(address)`."""
    if shutil.which(BROWSER) is None:
        pytest.skip(f"{BROWSER} is not installed (tests/system-packages.sh)")
    profile = tmp_path / "profile"
    process = subprocess.Popen(
        [
            *(BROWSER, "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-sandbox", "--disable-gpu"),
            *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"),
            *("--window-size=1200,800", "about:blank"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as sockets:
            ready = profile / "DevToolsActivePort"
            port = (await until(lambda: ready.exists() and ready.read_text())).split()[0]

            async def browser(address):
                async with session.put(f"http://127.0.0.1:{port}/json/new") as answer:
                    url = json.loads(await answer.text())["webSocketDebuggerUrl"]
                tab = Tab(await sockets.enter_async_context(session.ws_connect(url, max_msg_size=0)))
                await tab.open(address)
                return tab

            yield browser
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
