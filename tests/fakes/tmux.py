"""A real terminal: tmux with a server of its own, whose screen a test reads and whose keys it presses."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LIMIT_S = 60.0
_POLL_S = 0.05


@dataclass
class Terminal:
    """One pane."""

    socket: Path

    def tmux(self, *args: str) -> str:
        """What a command of tmux prints."""
        done = subprocess.run(
            ["tmux", "-S", str(self.socket), *args], capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout

    @property
    def screen(self) -> str:
        """What stands on the screen."""
        return self.tmux("capture-pane", "-p")

    @property
    def pid(self) -> int:
        """Pid of the program in the pane."""
        return int(self.tmux("display-message", "-p", "#{pane_pid}"))

    def press(self, *keys: str) -> None:
        """Press keys by their tmux names: `Enter`, `Escape`, `C-c`, or a single character."""
        self.tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type a text as it is."""
        self.tmux("send-keys", "-l", text)

    def resize(self, width: int, height: int) -> None:
        """Make the terminal another size."""
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def until(self, holds: Callable[[str], object], what: str, limit_s: float = _LIMIT_S) -> str:
        """Wait until it holds of the screen, and return the screen."""
        end_s = time.monotonic() + limit_s
        while True:
            screen = self.screen
            if holds(screen):
                return screen
            assert time.monotonic() < end_s, f"not seen: {what}\n{screen}"
            time.sleep(_POLL_S)

    def shows(self, *texts: str) -> str:
        """Wait until all these stand on the screen."""
        return self.until(lambda screen: all(text in screen for text in texts), " and ".join(texts))


@contextlib.contextmanager
def terminal(
    command: Sequence[str], env: Mapping[str, str], *, width: int = 80, height: int = 24
) -> Iterator[Terminal]:
    """Run a command in a terminal of that size; whatever became of it, nothing is left at the end."""
    with tempfile.TemporaryDirectory(prefix="gpualloc-tmux-") as folder:
        pane = Terminal(Path(folder) / "socket")
        config = Path(folder) / "tmux.conf"
        config.write_text("set -g remain-on-exit on\nset -g default-terminal tmux-256color\nset -g status off\n")
        kept = {key: value for key, value in env.items() if key not in ("TMUX", "TERM", "COLUMNS", "LINES")}
        size = ("-x", str(width), "-y", str(height))
        subprocess.run(
            ["tmux", "-S", str(pane.socket), "-f", str(config), "new-session", "-d", *size, shlex.join(command)],
            env=kept,
            timeout=20,
            check=True,
        )
        try:
            yield pane
        finally:
            with contextlib.suppress(subprocess.SubprocessError):
                pane.tmux("kill-server")


def descendants(pid: int) -> set[int]:
    """Pids of everything that descends from a process."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    left = [pid]
    while left:
        above = left.pop()
        below = {child for child, parent in parents.items() if parent == above} - found
        found |= below
        left += below
    return found


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def stop(pid: int) -> None:
    """Stop a process in its tracks, as Ctrl+Z in a shell does."""
    os.kill(pid, signal.SIGTSTP)
