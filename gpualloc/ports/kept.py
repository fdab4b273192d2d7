"""The files of a state as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gpualloc.model.store import Backup, Compacted, StoreFigures

Tell = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""


class KeptFiles(Protocol):
    """The databases of one state: how big they are, made small, copied and put back."""

    @property
    def root(self) -> Path:
        """The folder they lie in."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether the state is that of a simulated cluster."""
        ...

    def figures(self) -> StoreFigures:
        """How much of what there is."""
        ...

    def compact(self, now_s: float, tell: Tell) -> Compacted:
        """Pack and roll all that is over, and give free room back; others write meanwhile."""
        ...

    def back_up(self, target: Path, tell: Tell) -> Backup:
        """Write a backup, whole or not at all; others write meanwhile."""
        ...

    def restore(self, source: Path, *, replace: bool, wait_s: float, tell: Tell) -> Backup:
        """Put what is in a backup in place of what is there."""
        ...
