"""Asking every node program of this host to let go of the driver for a moment.

On Ampere the MIG mode of a GPU changes only while no program has it open, and a program that reads GPUs has them all
open. The request is a file per GPU; it counts for as long as its owner lives, and for at most `_LONGEST_S`.
"""

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gpualloc.node import check, processes
from gpualloc.node.state import FORMAT, read_json, write_json
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED_FOLDER = "/run/gpualloc/quiesce"
"""Where root asks every account's node program."""

_LONGEST_S = 120.0


class Quiesce:
    """The requests that concern a node program.

    Args:
        state_dir: folder of this account's state; requests lie in `quiesce` below it, unless root shares them.
        shared: whether the node programs of all accounts belong together.
    """

    def __init__(self, state_dir: str, shared: bool) -> None:
        own = os.path.join(state_dir, "quiesce")
        self._folders = (SHARED_FOLDER, own) if shared else (own,)
        self._own = SHARED_FOLDER if shared and os.geteuid() == 0 else own

    def asked(self) -> "str | None":
        """Why this program must let go of the driver; None when no other one asks for it."""
        for folder in self._folders:
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            for name in names:
                pid = _asking(os.path.join(folder, name)) if name.endswith(".json") else None
                if pid is not None and pid != os.getpid():
                    return "quiesced: process %d changes the MIG mode of %s" % (pid, name[: -len(".json")])
        return None

    @contextmanager
    def asking(self, uuid: str) -> "Iterator[None]":
        """Ask for as long as the block lasts; refuses as `busy` while another program asks for that GPU."""
        os.makedirs(self._own, 0o755, exist_ok=True)
        path = os.path.join(self._own, "%s.json" % uuid.replace("/", "+"))
        pid = _asking(path)
        if pid is not None and pid != os.getpid():
            raise Refused("busy", "process %d changes the MIG mode of %s just now" % (pid, uuid))
        own = processes.stat(os.getpid())
        ticks = 0 if own is None else own.start_ticks
        content = {"format": FORMAT, "pid": os.getpid(), "start_ticks": ticks, "at_s": time.time()}
        write_json(path, content, 0o644, durable=False)
        try:
            yield
        finally:
            os.unlink(path)


def _asking(path: str) -> "int | None":
    """Pid of the living process whose request is in the file; None when it does not count."""
    try:
        if os.lstat(path).st_uid not in (0, os.geteuid()):
            return None
    except OSError:
        return None
    content: "dict[str, Any]" = read_json(path) or {}
    try:
        pid, ticks = (check.whole(content, name, 0, 1 << 62) for name in ("pid", "start_ticks"))
        at_s = check.number(content, "at_s", 0, 1e12)
    except Refused:
        return None
    return pid if abs(time.time() - at_s) < _LONGEST_S and processes.is_same(pid, ticks) else None
