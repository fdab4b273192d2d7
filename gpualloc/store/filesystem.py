"""What the file system under a state directory allows."""

from __future__ import annotations

import errno
import os
import pwd
from contextlib import suppress
from pathlib import Path

from gpualloc.errors import StateError

NETWORK_TYPES = frozenset(
    {
        "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.glusterfs",
        "fuse.juicefs", "fuse.mfs", "fuse.s3fs", "fuse.sshfs", "fuse.weka", "gfs2", "glusterfs", "gpfs", "lustre",
        "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs",
    }
)  # fmt: skip
"""Types, as the kernel names them, on which neither flock nor SQLite's shared memory can be trusted between hosts."""

_MOUNTS = "/proc/self/mountinfo"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def network_filesystem(path: Path) -> str | None:
    """The type of the network file system the path lies (or would lie) on, such as `nfs4`; None when it is local.

    None also where the kernel's mount table cannot be read.
    """
    device = _nearest_existing(path).stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as mounts:
            kinds = [_mount_type(line) for line in mounts if line.split(" ", 3)[2] == wanted]
    except OSError:
        return None
    return next((kind for kind in kinds if kind in NETWORK_TYPES), None)


def write_obstacle(folder: Path) -> str | None:
    """Why a state in this folder may be read but not written, as the end of a sentence; None when it may be written.

    The folder need not exist: then the question is whether it could be made.

    Raises:
        StateError: it is no folder, or may not even be looked into.
    """
    existing = _nearest_existing(folder)
    if not existing.is_dir():
        raise StateError(f"{existing} is not a folder", hint="set GPUALLOC_STATE_DIR to a local folder")
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        return "the file system is read-only"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} may not be written by {account()}"
    kind = network_filesystem(existing)
    return None if kind is None else f"locks are not safe on a network file system ({kind})"


def make_private_folder(folder: Path) -> None:
    """Make the folder, and what is missing above it, with mode 0700; one that exists is left as it is.

    Raises:
        StateError: it cannot be made.
    """
    missing = [folder, *folder.parents]
    missing = missing[: next(place for place, path in enumerate(missing) if path.exists())]
    try:
        for path in reversed(missing):
            # Another command may be making the same folder.
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
    except OSError as error:
        raise explain_os_error(error, folder) from error


def explain_os_error(error: OSError, path: Path) -> StateError:
    """The operator's view of a failed system call on a file of the state."""
    if error.errno in _NO_ROOM:
        return disk_full(path, error)
    return StateError(
        f"{path} cannot be used: {os.strerror(error.errno or 0)}",
        hint="set GPUALLOC_STATE_DIR to a local folder that you may write",
    )


def disk_full(path: Path, error: Exception) -> StateError:
    """A write that found no room."""
    return StateError(
        f"{path} cannot be written: the disk is full, or a quota or size limit is reached ({error})",
        hint="make room there, then run the command again; nothing was half-written",
    )


def unreadable(path: Path) -> StateError:
    """A state that this account may not even read."""
    return StateError(
        f"{path} may not be read by {account()}",
        hint="run gpualloc as the account the state belongs to, or set GPUALLOC_STATE_DIR to your own folder",
    )


def account() -> str:
    """Name of the unix account this process runs as; its number when it has no name."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _nearest_existing(path: Path) -> Path:
    """The path itself or the nearest folder above it that exists.

    Raises:
        StateError: a folder on the way may not be looked into.
    """
    absolute = path.absolute()
    for candidate in (absolute, *absolute.parents):
        try:
            candidate.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            raise unreadable(candidate) from error
        return candidate
    raise StateError(f"{absolute.anchor} does not exist")


def _mount_type(line: str) -> str:
    """The file system type in a line of mountinfo; it follows the lone dash."""
    return line.partition(" - ")[2].split(" ", 1)[0]
