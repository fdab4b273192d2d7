"""What lies in the state's files, in figures."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gpualloc.model.sample import Level, SeriesKind


class LevelFigures(Struct, frozen=True):
    """What is packed of one level."""

    level: Level
    chunks: int
    """Rows, each of one metric of a block of series over one span of time."""
    bytes: int
    """What they hold: counted, or reckoned from the newest when they are many."""
    oldest_s: int | None
    """Epoch second from which on it is kept; None when there is nothing."""
    newest_s: int | None
    """Epoch second at which it ends."""
    bytes_per_device_day: float | None
    """Of the newest; None when no day of a device is packed."""


class StoreFigures(Struct, frozen=True):
    """What lies in a state folder."""

    state_bytes: int
    """Size of state.db."""
    history_bytes: int
    """Size of history.db."""
    journal_bytes: int
    """Size of the write-ahead log of history.db."""
    free_bytes: int
    """Room inside history.db that is used again, or given back by `store compact`."""
    series: Mapping[SeriesKind, int]
    ticks: int
    """Rows that are not packed yet, each of one tick of a block of series."""
    tick_bytes: int
    oldest_tick_s: int | None
    due: int
    """Blocks and hours that are packed and not rolled yet."""
    levels: tuple[LevelFigures, ...]


class Compacted(Struct, frozen=True):
    """What a compaction did."""

    steps: int
    """Chunks packed and hours rolled."""
    bytes_before: int
    """Of history.db and its write-ahead log."""
    bytes_after: int
    whole: bool
    """Whether all room that is free was given back; False for a file that cannot shrink, or while it is being read."""


class Backup(Struct, frozen=True):
    """What a backup holds."""

    made_at_s: float
    version: str
    """Of the gpualloc that made it."""
    simulated: bool
    files: Mapping[str, int]
    """By name, how many bytes."""
