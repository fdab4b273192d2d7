"""What a row of a list tells: typed values with units, from which columns, filters, orders and exports are made."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from gpualloc.tui.cells import Cell
from gpualloc.tui.rows import Moment

Row = TypeVar("Row")
Value = float | str | tuple[str, ...] | None
"""A number in the field's unit, a text, several texts (the users of a GPU), or None: unknown."""


class Unit(StrEnum):
    """What a number is; the word is the one that exports carry."""

    COUNT = "count"
    RATIO = "ratio"
    """0..1; people write and read it as percent."""
    MIB = "MiB"
    """People read it as GiB where it is large."""
    WATT = "W"
    CELSIUS = "°C"
    MHZ = "MHz"
    SECONDS = "s"
    """A length of time."""
    EPOCH = "epoch s"
    """A moment; people write and read how long ago it is."""
    BYTES_PER_S = "B/s"


class Field(Struct, Generic[Row], frozen=True):
    """One thing that rows of a list tell."""

    name: str
    """As it is typed in filters and named in settings and exports: `util`."""
    title: str
    """Heading of its column."""
    what: str
    """What it is, in a few words, for help and the choice of columns."""
    value: Callable[[Row, Moment], Value]
    unit: Unit | None = None
    """Of a number; None for texts."""
    draw: Callable[[Row, Moment, int], Cell] | None = None
    """The cell at a width; None draws the value by its unit."""
    rank: Callable[[Row, Moment], Value] | None = None
    """What it is sorted by when that is not its value: of words that have an order of their own."""
    absent: str = "n/a"
    """What stands there when the value is None; empty where that says that there is none."""
    reason: Callable[[Row], str | None] | None = None
    """Why the value is None; untrusted text."""
    least: int = 6
    """Smallest width of its column; it is left out where it does not get it."""
    most: int = 12
    priority: int = 50
    """Lower stays longer when it gets narrow."""
    shown: bool = True
    """Whether its column is there until somebody chooses other columns."""
    descends: bool = False
    """Whether the largest comes first when it is sorted by."""
    keeps: bool = False
    """Whether it keeps its colours on a row that is no longer known to be true."""

    @property
    def right(self) -> bool:
        """Whether its column is aligned right: numbers are."""
        return self.unit is not None
