"""Opening a SQLite file, and its errors in the operator's words. The only place that calls sqlite3.connect."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gpualloc.errors import GpuallocError, LockedError, NewerStateError, StateError
from gpualloc.store.filesystem import (
    account,
    disk_full,
    explain_os_error,
    make_private_folder,
    unreadable,
    write_obstacle,
)
from gpualloc.store.lock import acquire

if TYPE_CHECKING:
    from sqlite_utils.migrations import Migrations

BUSY_TIMEOUT_S = 5.0
"""How long a write waits for another process's transaction; ours last milliseconds."""

MIGRATION_TIMEOUT_S = 30.0
"""How long the first command after an upgrade is waited for."""

Row = tuple[Any, ...]

_JOURNAL_BYTES = 16 << 20
"""To what the write-ahead log shrinks once it was merged."""
_INCREMENTAL = 2

_LEAST_INDEX_BYTES = 32768
"""SQLite makes the index of a write-ahead log in pieces of this size."""

_NO_ROOM = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    }
)
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DamagedError(StateError):
    """What lies in a database cannot be what was put there."""


class Schema(Struct, frozen=True):
    """What a kind of database looks like."""

    version: int
    """Number of migrations; kept in the file as user_version, so that an open needs no look at the tables."""
    migrations: Callable[[], Migrations]
    """Imports and returns the migrations; called only when something is to be done."""
    synchronous: str
    """`FULL`: a commit survives a power cut; `NORMAL`: the last commits may not."""
    remedy: str
    """What to do when the file is damaged."""
    shrinks: bool = False
    """Whether room that became free is given back to the file system when asked for."""


class Database:
    """One open database; its methods may be called from any thread.

    A database in a place that cannot be written is opened for reading; where there is none, it reads as empty.

    Raises:
        NewerStateError: a newer gpualloc wrote the file.
        StateError: the file is damaged, or may not be read, or is too old for a place that cannot be written.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = path
        self._schema = schema
        self._lock = threading.RLock()
        self._changes = 0
        self._seen_version = 0
        self._obstacle = _obstacle(path)
        with self._explained():
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        if self._obstacle is None:
            try:
                return _connect(self.path, self._schema, writable=True)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in _NO_ROOM or self.path.stat().st_size == 0:
                    raise
                # Even looking makes a companion file; what is stored can still be read without one.
                self._obstacle = "the disk is full, or a quota or size limit is reached"
        return _connect(self.path, self._schema, writable=False)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a query."""
        with self._lock, self._explained():
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[object] = ()) -> Row | None:
        """The first row of a query, or None."""
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Let all queries in the context see the same moment."""
        with self._lock, self._explained():
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write everything done in the context at its end, or nothing of it when anything in it raises.

        Raises:
            StateError: the place cannot be written, or the disk is full.
            LockedError: another process has been writing for longer than `BUSY_TIMEOUT_S`.
        """
        self.require_writable()
        with self._lock, self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # Some errors, such as a full disk, have rolled back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._changes += 1

    def require_writable(self) -> None:
        """Do nothing where the database can be written; else raise StateError with the reason."""
        if self._obstacle is not None:
            raise StateError(
                f"{self.path} cannot be written: {self._obstacle}",
                hint="set GPUALLOC_STATE_DIR to a local folder that you may write",
            )

    def data_version(self) -> int:
        """A number that changes whenever this or another process wrote to the database."""
        with self._lock, self._explained():
            (seen,) = self._connection.execute("PRAGMA data_version").fetchone()
            if seen != self._seen_version:
                self._seen_version = seen
                self._changes += 1
            return self._changes

    def shrink(self, pages: int) -> int:
        """Give up to that many free pages back to the file system; returns how many are still free.

        Raises:
            StateError: the place cannot be written, or the disk is full.
            LockedError: as `transaction`.
        """
        self.require_writable()
        with self._lock, self._explained():
            self._connection.execute(f"PRAGMA incremental_vacuum({int(pages)})").fetchall()
            (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
            return int(free)

    def merge_journal(self) -> bool:
        """Write the write-ahead log into the file and empty it; False where somebody reads what is in it."""
        self.require_writable()
        with self._lock, self._explained():
            (busy, *_) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as error:
            raise _explain(error, self.path, self._schema.remedy) from error
        except DamagedError as error:
            raise DamagedError(f"{self.path} is damaged: {error.message}", hint=self._schema.remedy) from error


def _obstacle(path: Path) -> str | None:
    """Why the database cannot be written, or None.

    Raises:
        StateError: it cannot even be read.
    """
    obstacle = write_obstacle(path.parent)
    for existing, needed in ((path.parent, os.R_OK | os.X_OK), (path, os.R_OK)):
        if existing.exists() and not os.access(existing, needed):
            raise unreadable(existing)
    if obstacle is None and path.exists() and not os.access(path, os.W_OK):
        return f"{path.name} may not be written by {account()}"
    return obstacle


def _connect(path: Path, schema: Schema, *, writable: bool) -> sqlite3.Connection:
    connection = _open_file(path) if writable else _open_for_reading(path)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA synchronous = {schema.synchronous}")
        version = _version(connection)
        if version > schema.version:
            raise NewerStateError(
                f"{path} has schema version {version}, written by a newer gpualloc; "
                f"this one knows versions up to {schema.version}",
                hint="upgrade gpualloc, or set GPUALLOC_STATE_DIR to another folder",
            )
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
        if version < schema.version and writable:
            with _folder_lock(path.parent):
                if schema.shrinks:
                    # It is for a file without tables; others are written anew below.
                    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
                _migrate(connection, schema)
                if schema.shrinks:
                    _make_shrinkable(connection)
        elif version == 0:
            connection.close()
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            _migrate(connection, schema)
        elif version < schema.version:
            raise StateError(
                f"{path} has schema version {version} and must be upgraded to {schema.version}, "
                "which is not possible where it cannot be written",
                hint="run gpualloc once where it can be written",
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _open_file(path: Path) -> sqlite3.Connection:
    """Open for writing; a new file is private from its first moment on.

    A file that exists is opened by SQLite alone: closing another descriptor of it would drop the locks that this
    process holds through an earlier connection.
    """
    make_private_folder(path.parent)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise explain_os_error(error, path) from error
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a file that cannot be written; one that does not exist reads as empty.

    SQLite reads a database in WAL mode only beside its two companion files, which it cannot make here. Where
    there are none, nobody writes and nothing waits to be merged, so the file may be taken as immutable.
    """
    if not path.exists():
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    index, journal = (path.with_name(path.name + suffix) for suffix in ("-shm", "-wal"))
    # An index that could not be made whole on a full disk is nobody's.
    whole = index.exists() and index.stat().st_size >= _LEAST_INDEX_BYTES
    in_use = whole or (journal.exists() and journal.stat().st_size > 0)
    mode = "mode=ro" if in_use else "mode=ro&immutable=1"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, check_same_thread=False
    )


def _migrate(connection: sqlite3.Connection, schema: Schema) -> None:
    """Bring the tables to the newest version, in one transaction with the version number."""
    from sqlite_utils import Database as MigrationTarget

    target = MigrationTarget(connection, recursive_triggers=False, execute_plugins=False)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited.
        if _version(connection) < schema.version:
            schema.migrations().apply(target)
            connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _make_shrinkable(connection: sqlite3.Connection) -> None:
    """Write a file of an earlier release anew, so that it can shrink; without room, or while it is read, it cannot."""
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    if mode != _INCREMENTAL:
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("VACUUM")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Keep two first commands from turning on the journal and migrating at once; held for milliseconds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not acquire(descriptor, MIGRATION_TIMEOUT_S):
            raise LockedError(f"another process has been upgrading {folder} for more than {MIGRATION_TIMEOUT_S:g} s")
        yield
    finally:
        os.close(descriptor)


def _explain(error: sqlite3.Error, path: Path, remedy: str) -> GpuallocError:
    code = getattr(error, "sqlite_errorcode", 0)
    primary = code & 0xFF
    if code in _NO_ROOM:
        return disk_full(path, error)
    if primary in _BUSY:
        return LockedError(f"{path} has been written by another process for more than {BUSY_TIMEOUT_S:g} s")
    if primary in _CORRUPT:
        return DamagedError(f"{path} is damaged or not a gpualloc database: {error}", hint=remedy)
    return StateError(f"{path} cannot be used: {error}", hint="gpualloc doctor looks at the state directory")
