"""Runs on an ssh node, sent as source: gets the node program there and becomes it.

Python 3.6 or newer, standard library only, nothing of gpualloc. It reads descriptor 0 without buffering, because
what follows there belongs to the node program. `adapters.local` uses `installed_program` in process.
"""

import os
import stat
import sys

STUB_MARK = "GPUALLOC-STUB"
"""First word of the lines said before the node program runs: `GPUALLOC-STUB <word> <nonce> <detail>`."""

INSTALLED = "/usr/local/sbin/gpualloc-node"
"""Where `gpualloc node install` puts the root-owned node program."""

KEEP_S = 30 * 86400.0
"""A cached node program that nobody used for this long is removed."""

MAX_ARCHIVE_BYTES = 16 * 1024 * 1024


def installed_program(nonce: str, path: str = INSTALLED) -> "list[str] | str | None":
    """The command of the node's own privileged node program, when this account may run it.

    Returns:
        The command; or why it is there and not used; or None when it is not there, or not needed.
    """
    if os.geteuid() == 0:
        return None
    try:
        info = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        return f"{path} is not a file that only root can write"
    import subprocess

    command = [path, "serve", "--nonce", nonce]
    null = subprocess.DEVNULL
    try:
        if subprocess.call(["sudo", "-n", "-l", *command], timeout=5, stdin=null, stdout=null, stderr=null) == 0:
            return ["sudo", "-n", *command]
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"sudo cannot be asked: {error}"
    return f"sudo does not let this account run {path} without a password"


def main(nonce: str) -> None:
    """Read `<sha256> <size>` from descriptor 0, say `have` or `need`, and become the node program."""
    digest, size = _read_line().split()
    privileged = installed_program(nonce)
    if isinstance(privileged, list):
        _say("installed", nonce)
        os.execvp(privileged[0], privileged)  # noqa: S606 - becoming the node program is the point
    if privileged is not None:
        _say("unprivileged", nonce, privileged)
    folder = _cached(digest)
    _say("have" if folder else "need", nonce)
    if folder is None:
        data = _archive(digest, int(size))
        folder = _unpacked(data, digest) or _unpacked_for_once(data)
    import runpy

    sys.path.append(folder)
    sys.argv = ["gpualloc-node", "serve", "--nonce", nonce]
    runpy.run_module("gpualloc.node", run_name="__main__", alter_sys=True)


def _say(word: str, nonce: str, detail: str = "") -> None:
    # A line feed goes first, in case a login shell left its line open.
    os.write(1, f"\n{STUB_MARK} {word} {nonce} {detail}\n".encode("ascii", "replace"))


def _read_line() -> str:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte or len(line) > 200:
            sys.exit("gpualloc: the head went away")
        line += byte
    return line.decode("ascii")


def _archive(digest: str, size: int) -> bytes:
    import hashlib

    if size > MAX_ARCHIVE_BYTES:
        sys.exit(f"gpualloc: an archive of {size} bytes is too large")
    data = b""
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part:
            sys.exit("gpualloc: the head went away")
        data += part
    if hashlib.sha256(data).hexdigest() != digest:
        sys.exit("gpualloc: the node program arrived damaged")
    return data


def _root() -> str:
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gpualloc")


def _cached(digest: str) -> "str | None":
    """The folder with the node program of that digest, if it is there and nobody else could have written to it."""
    folder = os.path.join(_root(), "node-" + digest)
    try:
        info = os.lstat(folder)
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
            return None
        os.utime(folder, None)
    except OSError:
        return None
    return folder


def _unpacked(data: bytes, digest: str) -> "str | None":
    """Unpack into the cache, by rename; None when the cache cannot be written."""
    import tempfile

    root = _root()
    try:
        os.makedirs(root, 0o700, exist_ok=True)
        folder = tempfile.mkdtemp(prefix="new-", dir=root)
        _extract(data, folder)
    except OSError:
        return None
    try:
        os.rename(folder, os.path.join(root, "node-" + digest))
    except OSError:
        _remove(folder)  # Another contact was faster, or what stands there is not ours to use.
    _remove_old(root)
    found = _cached(digest)
    if found is None:
        sys.exit(f"gpualloc: {root}/node-{digest} belongs to someone else; remove it")
    return found


def _unpacked_for_once(data: bytes) -> str:
    """Unpack into a private folder, which this process removes when the node program, a child of it, has ended."""
    import tempfile

    folder = tempfile.mkdtemp(prefix="gpualloc-node-")
    _extract(data, folder)
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        _remove(folder)
        os._exit(1 if status else 0)
    return folder


def _extract(data: bytes, folder: str) -> None:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)


def _remove_old(root: str) -> None:
    import time

    for name in os.listdir(root):
        path = os.path.join(root, name)
        try:
            if name.startswith(("node-", "new-")) and time.time() - os.lstat(path).st_mtime > KEEP_S:
                _remove(path)
        except OSError:
            continue


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
