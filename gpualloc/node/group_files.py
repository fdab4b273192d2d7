"""Files and folders of control groups, as every back end needs them."""

import errno
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 50
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV)
"""What is told of a group that another program is removing; the last by the kernel, in the midst of it."""


def read_value(path: str) -> "str | None":
    """Content of a group's file; None when it does not exist."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("ascii", "replace").strip()
    except OSError:
        return None


def write_value(path: str, value: str) -> None:
    """Write one value in one write: a buffered file would swallow the kernel's refusal. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode("ascii"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)


def make_below(parent: str, name: str, prepare: "Callable[[str], None] | None" = None) -> str:
    """Make a group below a parent that another program may be removing; `prepare(parent)` runs before. Returns it."""
    path = os.path.join(parent, name)
    for _ in range(_TRIES):
        with suppress(FileExistsError):
            os.mkdir(parent, 0o755)
        try:
            if prepare is not None:
                prepare(parent)
            os.mkdir(path, 0o755)
        except FileExistsError:
            return path
        except OSError as error:
            if error.errno not in _GONE:
                raise
            continue
        return path
    raise OSError(errno.EAGAIN, "the parent group keeps vanishing", parent)


def remove_below(parent: str, name: str) -> None:
    """Remove a group and then its parent if that is empty. Raises OSError when members stay in it."""
    path = os.path.join(parent, name)
    for attempt in range(_TRIES):
        try:
            _remove_tree(path)
            break
        except OSError as error:
            # A process that just died is still counted for a moment.
            if error.errno != errno.EBUSY or attempt == _TRIES - 1:
                raise
            time.sleep(0.01)
    try:
        os.rmdir(parent)
    except OSError:
        pass  # other workloads are in it, or it is gone


def _remove_tree(path: str) -> None:
    try:
        below = [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
        for inner in below:
            _remove_tree(inner)
        os.rmdir(path)
    except OSError as error:
        if error.errno not in _GONE:
            raise


def all_members(path: str) -> "list[int]":
    """Pids in a group and in every group below it; empty when it does not exist."""
    found: "set[int]" = set()
    for folder, _, _ in os.walk(path):
        found.update(int(pid) for pid in (read_value(os.path.join(folder, "cgroup.procs")) or "").split())
    return sorted(found - {0})
