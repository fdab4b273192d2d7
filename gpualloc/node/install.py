"""Puts the node program on a node as one file of root's, to be reached by `sudo -n`, and takes it away again."""

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any, cast

from gpualloc.node.state import write_json
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "usr/local/sbin/gpualloc-node"
CONFIG = "etc/gpualloc/node.json"
SUDOERS = "etc/sudoers.d/gpualloc"

_SUDO_USER = re.compile(r"%?[A-Za-z0-9_][A-Za-z0-9_-]*")
_MAIN = "import sys\nfrom gpualloc.node.__main__ import main\nmain(sys.argv[1:])\n"
_INTERPRETERS = ("/usr/bin/python3", "/usr/libexec/platform-python", "/usr/local/bin/python3")


def install(root: str, run_as: "list[str]", sudo_users: "list[str]", interpreter: "str | None" = None) -> "list[str]":
    """Install below `root` (`/` on a real node); answers the paths written.

    Args:
        root: folder that stands for `/`.
        run_as: accounts work may run as beside the caller's own; `*` is any but root.
        sudo_users: accounts, or groups written `%group`, that may run the program through sudo without a password;
            empty writes no sudoers file.
        interpreter: python3 that root trusts; found in the system's folders when None.

    Raises Refused: no such interpreter, a path that others than root can change, or sudoers that sudo would not take.
    """
    python = interpreter or _system_python()
    for path in (python, os.path.join(root, PROGRAM)):
        _refuse_changeable(path, root)
    written = [os.path.join(root, PROGRAM), os.path.join(root, CONFIG)]
    _write(written[0], b"#!%s -IS\n" % os.fsencode(python) + _archive(), 0o755)
    os.makedirs(os.path.dirname(written[1]), 0o755, exist_ok=True)
    write_json(written[1], {"run_as": run_as}, 0o644)
    if sudo_users:
        written.append(os.path.join(root, SUDOERS))
        _write_sudoers(written[2], "/" + PROGRAM, sudo_users)
    return written


def uninstall(root: str) -> "list[str]":
    """Remove what `install` wrote below `root`; answers the paths removed. State and running work stay."""
    removed = []
    for name in (SUDOERS, PROGRAM, CONFIG):
        path = os.path.join(root, name)
        if os.path.lexists(path):
            os.unlink(path)
            removed.append(path)
    folder = os.path.dirname(os.path.join(root, CONFIG))
    if os.path.isdir(folder) and not os.listdir(folder):
        os.rmdir(folder)
    return removed


def _archive() -> bytes:
    """The running code and nvidia-ml-py's single file as one archive that python3 executes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", _MAIN)
        for name, content in _sources():
            archive.writestr(name, content)
    return buffer.getvalue()


def _sources() -> "Iterator[tuple[str, bytes]]":
    import pkgutil

    import pynvml

    import gpualloc.node

    for package in ("gpualloc", "gpualloc.node"):
        folder = package.replace(".", "/")
        yield folder + "/__init__.py", _source(package, folder + "/__init__.py")
    for module in pkgutil.iter_modules(gpualloc.node.__path__):
        name = "gpualloc/node/%s.py" % module.name
        yield name, _source("gpualloc.node", name)
    yield "pynvml.py", _source(pynvml.__name__, "pynvml.py")


def _source(package: str, name: str) -> bytes:
    """A source file by the loader that the running code came through, be it a folder or an archive."""
    module = sys.modules[package]
    path = os.path.join(os.path.dirname(str(module.__file__)), os.path.basename(name))
    content: bytes = cast("Any", module.__loader__).get_data(path)
    return content


def _system_python() -> str:
    for path in _INTERPRETERS:
        if os.access(path, os.X_OK):
            return path
    raise Refused("failed", "no python3 at %s" % ", ".join(_INTERPRETERS))


def _refuse_changeable(path: str, root: str) -> None:
    """Refuse a path that another account than root could replace, at any of its folders up to `root` or `/`."""
    path = os.path.realpath(path)
    stop = os.path.realpath(root)
    while True:
        if os.path.exists(path):
            status = os.stat(path)
            if status.st_uid != 0 or status.st_mode & 0o022:
                raise Refused("not-permitted", "%s can be changed by others than root" % path)
        if path in ("/", stop):
            return
        path = os.path.dirname(path)


def _write(path: str, data: bytes, mode: int) -> None:
    """Write by rename, so that a running program keeps its old file."""
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    temporary = "%s.%d.tmp" % (path, os.getpid())
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(fd, mode)
            os.fsync(fd)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _write_sudoers(path: str, program: str, users: "list[str]") -> None:
    for user in users:
        if not _SUDO_USER.fullmatch(user):
            raise Refused("bad-request", "%r is not an account or a %%group" % user)
    lines = ["%s ALL=(root) NOPASSWD: %s serve, %s serve --nonce *" % (user, program, program) for user in users]
    checked = path + ".unchecked"
    _write(checked, ("\n".join(lines) + "\n").encode("ascii"), 0o440)
    visudo = shutil.which("visudo", path="/usr/sbin:/sbin:/usr/bin")
    if visudo is not None:
        told = subprocess.run([visudo, "-cf", checked], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if told.returncode != 0:
            os.unlink(checked)
            raise Refused("failed", "sudo would not take the rule: %s" % told.stdout.decode("utf-8", "replace"))
    os.rename(checked, path)
