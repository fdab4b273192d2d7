"""Which signals were sent: nothing that a signal does could tell, and none may be sent twice."""

import os
from typing import Any

from gpualloc.node.state import FORMAT, read_json, write_json
from gpualloc.node.wire import Refused

_KEPT = 200
"""So many are remembered, the newest."""


class SentSignals:
    """The orders to send a signal that this state folder was given, a file each.

    Args:
        state_dir: the node's state folder.
    """

    def __init__(self, state_dir: str) -> None:
        self._folder = os.path.join(state_dir, "signals")

    def find(self, order: str) -> "dict[str, Any] | None":
        """The facts of an order that was begun; `state` is None while how it went is not known. None: never begun."""
        path = self._path(order)
        content = read_json(path)
        if content is not None:
            return {"state": content.get("state")}
        return {"state": None} if os.path.exists(path) else None

    def begin(self, order: str) -> None:
        """Remember the order before anything is sent; raises Refused (`busy`) when it was begun already, OSError."""
        os.makedirs(self._folder, 0o700, exist_ok=True)
        self._forget_oldest()
        try:
            os.close(os.open(self._path(order), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            raise Refused("busy", "this signal is being sent already") from None

    def end(self, order: str, state: str) -> "dict[str, Any]":
        """Remember how it went; answers the facts. Raises OSError."""
        write_json(self._path(order), {"format": FORMAT, "state": state}, durable=False)
        return {"state": state}

    def forget(self, order: str) -> None:
        """Nothing was sent after all."""
        os.unlink(self._path(order))

    def _path(self, order: str) -> str:
        return os.path.join(self._folder, order)

    def _forget_oldest(self) -> None:
        found = [(os.lstat(path).st_mtime, path) for path in map(self._path, os.listdir(self._folder))]
        for _, path in sorted(found)[: max(0, len(found) - _KEPT + 1)]:
            os.unlink(path)
