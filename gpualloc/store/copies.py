"""Copies of whole databases: taken while they are written to, checked, and put in their place."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from gpualloc.errors import BrokenInputError, LockedError, NewerStateError
from gpualloc.store.filesystem import disk_full

_PAGES = 2048
"""How much is copied between two tellings."""
_COMPANIONS = ("-wal", "-shm")


def copy_database(source: Path, target: Path, tell: Callable[[int, int], None] | None = None) -> None:
    """Copy a database as it is at this moment; writers go on meanwhile, and are not in it.

    Args:
        source: the database.
        target: a file that is not there yet.
        tell: called with pages copied, and pages in all.

    Raises:
        StateError: there is no room for the copy.
    """
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    progress = None if tell is None else lambda _status, left, whole: tell(whole - left, whole)
    with closing(_connect(source)) as read, closing(sqlite3.connect(target)) as written:
        # Within a transaction it is one moment's copy, and no writer makes it begin anew.
        read.execute("BEGIN")
        read.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        try:
            read.backup(written, pages=_PAGES, progress=progress)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
                raise disk_full(target, error) from error
            raise


def check_copy(path: Path, name: str, newest_version: int, *, thorough: bool) -> None:
    """Refuse a file that is no whole database of a known version.

    Raises:
        BrokenInputError: it is damaged, or something else.
        NewerStateError: a newer gpualloc wrote it.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (found,) = connection.execute(f"PRAGMA {'integrity_check' if thorough else 'quick_check'}(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise BrokenInputError(f"{name} in the backup is damaged: {error}") from error
    if found != "ok" or version == 0:
        raise BrokenInputError(f"{name} in the backup is damaged: {found if version else 'it holds nothing'}")
    if version > newest_version:
        raise NewerStateError(
            f"{name} in the backup has schema version {version}, written by a newer gpualloc; "
            f"this one knows versions up to {newest_version}",
            hint="upgrade gpualloc",
        )


def replace_database(path: Path, new: Path) -> None:
    """Put a database in the place of another, in one moment; what the other still had to merge goes with it.

    Raises:
        LockedError: another process has the old one open.
    """
    if path.exists():
        with suppress(sqlite3.DatabaseError), closing(_connect(path)) as connection:
            if not _alone(connection):
                raise LockedError(f"{path} is in use by another gpualloc", hint="end what runs on this state first")
    for suffix in _COMPANIONS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _alone(connection: sqlite3.Connection) -> bool:
    """Whether nobody else has it open; its companion files are gone then."""
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return False
        raise
    return bool(mode == "delete")


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0.5, isolation_level=None)
