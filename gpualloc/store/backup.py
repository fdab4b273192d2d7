"""Backups: a tar file with a copy of each database, and what they are."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from gpualloc import __version__
from gpualloc.errors import BrokenInputError, GpuallocError, UsageError
from gpualloc.model.store import Backup
from gpualloc.ports.kept import Tell
from gpualloc.store import history, meta, state
from gpualloc.store.copies import check_copy, copy_database, replace_database
from gpualloc.store.filesystem import explain_os_error, make_private_folder
from gpualloc.store.lock import exclusive_lock
from gpualloc.store.paths import StatePaths

FORMAT = 1
MANIFEST = "gpualloc-backup.json"
FENCE_LEAP = 1_000_000
"""More runs than there can have been since."""
MOST_MANIFEST_BYTES = 1 << 16
_SCHEMAS = {"history.db": history.SCHEMA, "state.db": state.SCHEMA}
"""In the order in which they are put in place: the one that cannot be replaced last."""


def back_up(paths: StatePaths, target: Path, *, simulated: bool, tell: Tell | None = None) -> Backup:
    """Write a backup of both databases, whole or not at all; sampling and applying go on meanwhile.

    Args:
        paths: whose state.
        target: the tar file; one that is there is replaced. Only its owner may read it: it holds secrets of workloads.
        simulated: whether the state is that of a simulated cluster.
        tell: called as it goes on.

    Raises:
        UsageError: there is nothing to back up.
        GpuallocError: the file cannot be written.
    """
    there = [path for path in (paths.history_db, paths.state_db) if path.exists()]
    if not there:
        raise UsageError(f"there is nothing to back up in {paths.root}")
    try:
        with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as name:
            folder = Path(name)
            for path in there:
                copy_database(path, folder / path.name, _part(tell, path.name))
            sizes = {path.name: (folder / path.name).stat().st_size for path in there}
            made = Backup(time.time(), __version__, simulated, sizes)
            _write_tar(folder, made)
            (folder / "tar").replace(target)
    except OSError as error:
        raise GpuallocError(f"{target} cannot be written: {error.strerror or error}") from error
    return made


def restore(
    paths: StatePaths,
    source: Path,
    *,
    simulated: bool,
    replace: bool,
    wait_s: float = 0.0,
    tell: Tell | None = None,
) -> Backup:
    """Put the databases of a backup in place of those that are there, after both were looked through.

    Args:
        paths: whose state.
        source: a file that `back_up` made.
        simulated: whether the state is that of a simulated cluster.
        replace: whether a state that is there may be replaced.
        wait_s: how long to wait for whoever is changing the state.
        tell: called as it goes on.

    Raises:
        UsageError: a state is there, and may not be replaced; or only one of the two is simulated.
        BrokenInputError: the file is no backup, or is damaged.
        NewerStateError: a newer gpualloc made it.
        LockedError: something runs on the state.
        StateError: the place cannot be written.
    """
    existing = [path for path in (paths.state_db, paths.history_db) if path.exists()]
    if existing and not replace:
        raise UsageError(
            f"{paths.root} holds a state, which the backup would replace",
            hint="add --yes, or choose another folder with --state-dir",
        )
    make_private_folder(paths.root)
    with ExitStack() as held:
        for lock in (paths.lock, paths.watch_lock, paths.sample_lock):
            held.enter_context(exclusive_lock(lock, "store restore", wait_s))
        taken: dict[str, Path] = {}
        try:
            made = _take_out(source, paths.root, taken, tell)
            for name, schema in _SCHEMAS.items():
                if name in taken:
                    check_copy(taken[name], name, schema.version, thorough=name == "state.db")
            _check_world(made, simulated=simulated)
            if "state.db" in taken:
                _leap(taken["state.db"])
            for name in [name for name in _SCHEMAS if name in taken]:
                replace_database(paths.root / name, taken[name])
        except OSError as error:
            raise explain_os_error(error, paths.root) from error
        finally:
            for path in taken.values():
                path.unlink(missing_ok=True)
    return made


def _check_world(made: Backup, *, simulated: bool) -> None:
    """What is simulated never becomes real."""
    if made.simulated and not simulated:
        raise UsageError("the backup is that of a simulated cluster", hint="give --sim and its name")
    if simulated and not made.simulated:
        raise UsageError("the backup is that of real nodes", hint="leave --sim out")


def _leap(path: Path) -> None:
    """Let the fences of runs go on far above those given after the backup: nodes refuse one below what they saw."""
    with closing(sqlite3.connect(path)) as connection, connection:
        meta.write(connection, meta.FENCE, meta.read_count(connection, meta.FENCE) + FENCE_LEAP)


def _write_tar(folder: Path, made: Backup) -> None:
    manifest = {
        "format": FORMAT,
        "made_at_s": made.made_at_s,
        "gpualloc": made.version,
        "simulated": made.simulated,
        "files": dict(made.files),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    with open(os.open(folder / "tar", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
        with tarfile.open(fileobj=written, mode="w") as archive:
            for name in (MANIFEST, *made.files):
                archive.add(folder / name, arcname=name)
        written.flush()
        os.fsync(written.fileno())


def _take_out(source: Path, folder: Path, taken: dict[str, Path], tell: Tell | None) -> Backup:
    """Write the databases beside their places; `taken` has whatever was written, also when it fails."""
    try:
        with tarfile.open(source, "r:") as archive:
            made = _manifest(archive)
            for name, size in made.files.items():
                member = archive.getmember(name)
                content = archive.extractfile(member) if member.isreg() and member.size == size else None
                if content is None:
                    raise BrokenInputError(f"{source} is damaged: {name} is not what was put in")
                taken[name] = folder / f".{name}.{secrets.token_hex(4)}"
                descriptor = os.open(taken[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with content, open(descriptor, "wb") as written:
                    shutil.copyfileobj(content, written, 1 << 20)
                    os.fsync(written.fileno())
                if tell is not None:
                    tell(name, size, size)
    except FileNotFoundError:
        raise UsageError(f"there is no file {source}") from None
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise BrokenInputError(f"{source} is no backup of gpualloc, or is damaged: {error}") from error
    return made


def _manifest(archive: tarfile.TarFile) -> Backup:
    content = archive.extractfile(MANIFEST)
    try:
        told = json.loads(content.read(MOST_MANIFEST_BYTES) if content is not None else b"")
        files = told["files"]
        if told["format"] != FORMAT:
            raise BrokenInputError(f"the backup has format {told['format']!r}, this gpualloc reads {FORMAT}")
        if not isinstance(files, Mapping) or not files or not files.keys() <= _SCHEMAS.keys():
            raise BrokenInputError("the backup holds other files than those of a state")
        sizes = {name: int(size) for name, size in files.items()}
        return Backup(float(told["made_at_s"]), str(told["gpualloc"]), bool(told["simulated"]), sizes)
    except (ValueError, TypeError, KeyError) as error:
        raise BrokenInputError(f"{MANIFEST} in the backup is damaged: {error}") from error


def _part(tell: Tell | None, name: str) -> Callable[[int, int], None] | None:
    return None if tell is None else lambda done, whole: tell(name, done, whole)
