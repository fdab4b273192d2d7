"""What is said until a node program runs: a login shell's noise is skipped, marks that carry our nonce are answered."""

from __future__ import annotations

import re

from gpualloc.adapters.link import Failure
from gpualloc.adapters.loader import STUB_MARK
from gpualloc.adapters.streaming.channel import Introduction
from gpualloc.model.inventory import NodeState
from gpualloc.node.wire import START_MARK, WIRE_VERSION

MAX_NOISE_BYTES = 1024 * 1024
"""Most that a login shell may print before the node program speaks."""
_MAX_DETAIL = 500
_MARK = re.compile(rf"({START_MARK}|{STUB_MARK}) ([a-z0-9-]+) (?=(\S+)(?: |$))")
"""A word that the other side says of itself, with the nonce that follows it."""


class Handshake:
    """The conversation of one connection before the node program; no input or output of its own.

    Args:
        nonce: what marks of this connection carry.
        introduction: what to say.
    """

    def __init__(self, nonce: str, introduction: Introduction) -> None:
        self._introduction = introduction
        self._nonce = nonce
        self._noise = 0
        self.done = False
        """Whether the node program speaks from now on."""
        self.last_mark: str | None = None
        """The last word the other side said of itself; START_MARK once the node program speaks."""

    def hear(self, line: bytes) -> bytes | Failure:
        """What to send after this line, often nothing; or why the connection is hopeless."""
        text = line.decode("ascii", "replace").rstrip()
        match = next((each for each in _MARK.finditer(text) if each[3] == self._nonce), None)
        if match is None:
            self._noise += len(line) + 1
            return b"" if self._noise <= MAX_NOISE_BYTES else too_noisy()
        if match[1] == START_MARK:
            self.done, self.last_mark = True, START_MARK
            return b"" if match[2] == str(WIRE_VERSION) else _other_version(match[2])
        self.last_mark = match[2]
        return self._introduction.reply(match[2], text[match.end(3) + 1 :][:_MAX_DETAIL])


def too_noisy() -> Failure:
    """The failure of a login shell that does not stop printing."""
    return Failure(NodeState.FAILED, f"it printed over {MAX_NOISE_BYTES} bytes before the node program")


def _other_version(version: str) -> Failure:
    return Failure(
        NodeState.FAILED,
        f"its node program speaks wire version {version[:20]}, this gpualloc speaks {WIRE_VERSION}",
        "install the matching one there: gpualloc node install",
    )
