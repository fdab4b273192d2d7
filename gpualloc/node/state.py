"""The node's state folder: where it is, and files that are whole or not there."""

import errno
import json
import os
import stat
from typing import Any

FORMAT = 1
"""Version of the files in the state folder. Keepers outlive an upgrade, so readers take every version up to theirs."""

_MAX_BYTES = 16 << 20


def state_dir() -> str:
    """GPUALLOC_NODE_STATE_DIR, else /var/lib/gpualloc for root, else ~/.local/state/gpualloc/node."""
    given = os.environ.get("GPUALLOC_NODE_STATE_DIR")
    if given:
        return os.path.abspath(given)
    if os.geteuid() == 0:
        return "/var/lib/gpualloc"
    return os.path.join(os.path.expanduser("~"), ".local", "state", "gpualloc", "node")


def write_json(path: str, content: Any, mode: int = 0o600, durable: bool = True) -> None:
    """Write the file so that readers see the old content or the new one, never half; raises OSError.

    What is not `durable` may be lost with the power, and costs no wait for the disk.
    """
    temporary = "%s.%d.tmp" % (path, os.getpid())
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(fd, mode)
            data = json.dumps(content, allow_nan=False).encode("ascii")
            while data:
                data = data[os.write(fd, data) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    if durable:
        _sync_folder(os.path.dirname(path) or ".")


def _sync_folder(path: str) -> None:
    """Wait until what was renamed in the folder is on the disk; a file system that knows no such thing is let be."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


def read_json(path: str) -> "dict[str, Any] | None":
    """The object in the file; None when there is no such regular file, or something else in it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        try:
            content = json.loads(file.read(_MAX_BYTES).decode("utf-8"))
        except (OSError, ValueError):
            return None
    return content if isinstance(content, dict) else None
