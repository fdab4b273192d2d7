"""Locks of a state: one process at a time changes it, and one watches it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpualloc.errors import LockedError
from gpualloc.store.filesystem import account, explain_os_error, make_private_folder

_POLL_S = 0.05
_MAX_RECORD_BYTES = 4096


@contextmanager
def exclusive_lock(
    path: Path,
    purpose: str,
    wait_s: float,
    *,
    held: str = "the state is being changed by",
    hint: str = "try again when it is done, or give --wait a time",
) -> Iterator[None]:
    """Hold the lock for the length of the context.

    The kernel frees it when the process ends, however it ends. The descriptor is not passed on to children, as a
    child would keep the lock.

    Args:
        path: the lock file; it is made when missing and never removed.
        purpose: what the lock is for, shown to whoever waits for it, such as `apply`.
        wait_s: how long to wait for another holder, in seconds; 0 does not wait.
        held: what is said of another holder, before who it is.
        hint: what to do then.

    Raises:
        LockedError: someone else held it all the time; says who, since when and for what.
        StateError: the file cannot be made or written.
    """
    make_private_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        if not acquire(descriptor, wait_s):
            raise LockedError(
                f"{held} {_holder(descriptor)}",
                hint=hint,
            )
        try:
            _write_record(descriptor, purpose)
        except OSError as error:
            raise explain_os_error(error, path) from error
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder_of(path: Path) -> str | None:
    """Who holds the lock at that path, since when and for what, in words; None when it is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        # Shared: two that only look do not see each other as holders.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def acquire(descriptor: int, wait_s: float) -> bool:
    """Lock an open file or folder; closing it unlocks. Returns whether that worked within `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(_POLL_S, left))
        else:
            return True


def _write_record(descriptor: int, purpose: str) -> None:
    """Say who holds the lock. One line, so that what an earlier holder left behind it is never read."""
    record = {"pid": os.getpid(), "user": account(), "since_s": time.time(), "purpose": purpose}
    line = json.dumps(record).encode() + b"\n"
    os.pwrite(descriptor, line, 0)
    os.ftruncate(descriptor, len(line))


def _holder(descriptor: int) -> str:
    """The holder in words. Its record may be missing for the moment between locking and writing."""
    try:
        record = json.loads(os.pread(descriptor, _MAX_RECORD_BYTES, 0).partition(b"\n")[0])
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["since_s"]))
        return f"process {record['pid']} of {record['user']} since {since} ({record['purpose']})"
    except (ValueError, KeyError, TypeError, OverflowError):
        return "another gpualloc"
