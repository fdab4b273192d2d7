"""How the dashboard begins. Nothing of Textual is imported here, for the command line checks these first."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

THEME_NAMES = ("dark", "light", "high-contrast", "colour-blind", "mono")
"""The themes by name."""
VIEW_NAMES = ("fleet", "nodes", "processes", "workloads", "users", "forecast", "plan", "events", "alerts", "audit")
"""The views that the dashboard can begin with."""

_PERIODS_S = ((64, 2.0), (256, 5.0))
_LONGEST_S = 10.0


class TopOptions(Struct, frozen=True):
    """What was asked for on the command line."""

    every_s: float = 2.0
    """Period of the looks, seconds."""
    theme: str | None = None
    """Name of a theme; None is the one remembered, else the usual one."""
    ascii: bool = False
    """Draw with nothing but ASCII, whatever the terminal can show."""
    read_only: str | None = None
    """Why nothing that changes anything is offered; None offers it."""
    program: tuple[str, ...] = ("gpualloc",)
    """The words before a verb with which a command line works on the same world."""
    view: str | None = None
    """Name of the first view; None is the one remembered, else the fleet."""
    remembered: Path | None = None
    """The file with what is remembered between runs; None remembers nothing."""


def usual_every_s(nodes: int) -> float:
    """Period of the looks where none was asked for, seconds: 2 up to 64 nodes, 5 up to 256, 10 beyond."""
    return next((every_s for most, every_s in _PERIODS_S if nodes <= most), _LONGEST_S)
