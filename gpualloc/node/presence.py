"""Whether paths that waiting work asks for are there. Looked at in threads, since a dead mount may never answer."""

import errno
import os
import threading
import time
from typing import TYPE_CHECKING

from gpualloc.node.worker import Hung, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WITHIN_S = 1.0
"""How long all paths of one question may take together."""

_MAX_HUNG = 64
"""Most looks that may hang at once; beyond that nothing new is looked at."""

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def _there(path: str) -> "bool | None":
    try:
        os.stat(path)
    except OSError as error:
        return False if error.errno in _ABSENT else None
    return True


class Presence:
    """Looks at paths; one that hangs is not looked at again before that look came back.

    Args:
        there: tells whether a path is there, None when it cannot; may never return.
    """

    def __init__(self, there: "Callable[[str], bool | None]" = _there) -> None:
        self._there = there
        self._hung: "dict[str, Job]" = {}

    def look(self, paths: "Sequence[str]") -> "dict[str, bool | None]":
        """For each path whether it is there; None when that cannot be told: a mount that hangs, or no permission."""
        until_s = time.monotonic() + WITHIN_S
        self._hung = {path: job for path, job in self._hung.items() if job.running}
        jobs = {path: self._begin(path) for path in dict.fromkeys(paths)}
        return {path: self._told(path, job, until_s) for path, job in jobs.items()}

    def _begin(self, path: str) -> "Job | None":
        if path in self._hung or len(self._hung) >= _MAX_HUNG:
            return None
        job = Job(lambda: self._there(path))
        threading.Thread(target=job.run, name="presence", daemon=True).start()
        return job

    def _told(self, path: str, job: "Job | None", until_s: float) -> "bool | None":
        if job is None:
            return None
        try:
            found: "bool | None" = job.result(until_s)
        except Hung:
            self._hung[path] = job
            return None
        return found
