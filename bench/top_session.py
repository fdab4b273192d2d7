"""One sitting in front of a dashboard: it is started, looked at, moved about in, and left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from msgspec import Struct
from top_pty import Setting, Terminal, Use  # found beside this file

_FIRST_S = 20.0
"""No dashboard is waited for longer."""
_QUIT_S = 6.0
_ANSWER_S = 3.0
_PRESS_S = 0.5
"""Keys are pressed for no longer than this for each, answered or not."""
_QUIET_S = 0.04
_LOOK_S = 0.5
DOWN, UP = b"\x1b[B", b"\x1b[A"


class Tool(Struct, frozen=True):
    """A dashboard."""

    name: str
    argv: Sequence[str]
    reading: re.Pattern[bytes]
    """What only a reading of a GPU looks like on its screen."""
    keys: tuple[bytes, bytes] = (DOWN, UP)
    """Two keys that move something, each the other way."""
    quit: bytes = b"q"


class Manner(Struct, frozen=True):
    """How long is looked, and how often a key is pressed."""

    settle_s: float
    window_s: float
    presses: int


@dataclass
class Sitting:
    """What one sitting came to. None: it did not happen within the time given."""

    first_byte_s: float | None = None
    first_paint_s: float | None = None
    cpu_percent: float = 0.0
    """Of one core, children included."""
    below_cpu_percent: float = 0.0
    """Of that, the children's."""
    rss_bytes: int = 0
    """Most that was resident, children included; what two processes share is counted twice."""
    below_rss_bytes: int = 0
    bytes_per_s: float = 0.0
    answers_s: list[float | None] = field(default_factory=list)
    quit_s: float | None = None
    left: int = 0
    """Processes that lived on after it."""


def sit(
    tool: Tool,
    env: Mapping[str, str],
    setting: Setting,
    manner: Manner,
    trouble: Callable[[], None] | None = None,
) -> Sitting:
    """Sit in front of it once.

    Args:
        tool: the dashboard.
        env: its environment.
        setting: the terminal.
        manner: how long.
        trouble: what befalls the GPUs once something was drawn, before anything else is measured.
    """
    terminal = Terminal(tool.argv, env, setting)
    found = Sitting()
    try:
        found.first_byte_s, found.first_paint_s = terminal.first(tool.reading, _FIRST_S)
        if trouble is not None:
            trouble()
        terminal.read_for(manner.settle_s)
        _look(terminal, manner.window_s, found)
        _move(terminal, tool, manner.presses, found)
        found.quit_s, found.left = terminal.quit(tool.quit, _QUIT_S)
    finally:
        terminal.close()
    return found


def _look(terminal: Terminal, seconds: float, found: Sitting) -> None:
    before, began_s, drawn = terminal.use(), time.perf_counter(), len(terminal.drawn)
    most = before
    while (left_s := began_s + seconds - time.perf_counter()) > 0:
        terminal.read_for(min(left_s, _LOOK_S))
        now = terminal.use()
        most = max(most, now, key=_resident_bytes)
    after, wall_s = terminal.use(), time.perf_counter() - began_s
    found.below_cpu_percent = 100 * (after.below_cpu_s - before.below_cpu_s) / wall_s
    found.cpu_percent = 100 * (after.own_cpu_s - before.own_cpu_s) / wall_s + found.below_cpu_percent
    found.rss_bytes, found.below_rss_bytes = _resident_bytes(most), most.below_bytes
    found.bytes_per_s = (len(terminal.drawn) - drawn) / wall_s


def _move(terminal: Terminal, tool: Tool, presses: int, found: Sitting) -> None:
    # Seeded, and spread over the period: a key may come at any moment of a look.
    pauses = Random(presses)
    until_s = time.perf_counter() + presses * _PRESS_S
    for number in range(presses):
        if time.perf_counter() >= until_s:
            return
        terminal.read_for(pauses.uniform(0.02, 0.2))
        key = tool.keys[number // 5 % 2]
        found.answers_s.append(terminal.answer_s(key, _QUIET_S, _ANSWER_S))
        if found.answers_s[-3:] == [None] * 3:
            return


def _resident_bytes(use: Use) -> int:
    return use.own_bytes + use.below_bytes
