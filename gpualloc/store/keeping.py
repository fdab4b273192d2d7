"""The files of a state as a whole: how big they are, made small, copied and put back."""

from __future__ import annotations

from pathlib import Path

from gpualloc.model.sample import Level, SeriesKind
from gpualloc.model.store import Backup, Compacted, StoreFigures
from gpualloc.ports.kept import Tell
from gpualloc.store import backup
from gpualloc.store.database import Database
from gpualloc.store.history import SCHEMA
from gpualloc.store.history_figures import level_figures, oldest_tick
from gpualloc.store.history_upkeep import finish
from gpualloc.store.paths import StatePaths

_PAGES = 1000
"""So many pages are given back at a time: a few milliseconds, between which others write."""


class StateFiles:
    """`ports.kept.KeptFiles`: the databases of one state.

    Args:
        paths: where they lie.
        simulated: whether they are those of a simulated cluster.
    """

    def __init__(self, paths: StatePaths, *, simulated: bool) -> None:
        self._paths = paths
        self._simulated = simulated

    @property
    def root(self) -> Path:
        """The folder."""
        return self._paths.root

    @property
    def simulated(self) -> bool:
        """Whether the state is that of a simulated cluster."""
        return self._simulated

    def figures(self) -> StoreFigures:
        """How much of what there is, as of one moment.

        Raises:
            StateError: history.db is damaged or may not be read.
        """
        database = Database(self._paths.history_db, SCHEMA)
        try:
            with database.snapshot() as connection:
                series = dict(connection.execute("SELECT kind, count(*) FROM series GROUP BY kind").fetchall())
                ticks, tick_bytes = connection.execute("SELECT count(*), total(length(data)) FROM tick").fetchone()
                (due,) = connection.execute("SELECT count(*) FROM due").fetchone()
                (free,) = connection.execute("PRAGMA freelist_count").fetchone()
                (page,) = connection.execute("PRAGMA page_size").fetchone()
                return StoreFigures(
                    state_bytes=_size(self._paths.state_db),
                    history_bytes=_size(self._paths.history_db),
                    journal_bytes=_size(_journal(self._paths.history_db)),
                    free_bytes=free * page,
                    series={kind: series.get(kind.value, 0) for kind in SeriesKind},
                    ticks=ticks,
                    tick_bytes=round(tick_bytes),
                    oldest_tick_s=oldest_tick(connection),
                    due=due,
                    levels=tuple(level_figures(connection, level) for level in Level),
                )
        finally:
            database.close()

    def compact(self, now_s: float, tell: Tell) -> Compacted:
        """Pack and roll all that is over, merge the write-ahead log, and give free room back; others write meanwhile.

        Raises:
            StateError: history.db cannot be written, or is damaged.
            LockedError: another process kept writing.
        """
        before = self._history_bytes()
        database = Database(self._paths.history_db, SCHEMA)
        try:
            steps = finish(database, now_s, lambda done, whole: tell("chunks", done, whole))
            left = whole = database.shrink(1)
            while left:
                last, left = left, database.shrink(_PAGES)
                tell("free pages", whole - left, whole)
                if left >= last:
                    # A file of an earlier release that could not be written anew has no means to shrink.
                    break
            merged = database.merge_journal()
        finally:
            database.close()
        return Compacted(steps, before, self._history_bytes(), merged and not left)

    def back_up(self, target: Path, tell: Tell) -> Backup:
        """As `backup.back_up`."""
        return backup.back_up(self._paths, target, simulated=self._simulated, tell=tell)

    def restore(self, source: Path, *, replace: bool, wait_s: float, tell: Tell) -> Backup:
        """As `backup.restore`."""
        return backup.restore(self._paths, source, simulated=self._simulated, replace=replace, wait_s=wait_s, tell=tell)

    def _history_bytes(self) -> int:
        return _size(self._paths.history_db) + _size(_journal(self._paths.history_db))


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
