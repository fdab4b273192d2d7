"""What lies between the event loop and a node program: bytes both ways, whatever carries them."""

from __future__ import annotations

from typing import Protocol

from gpualloc.adapters.link import Failure


class Channel(Protocol):
    """An open way to one node program; used in the event loop only."""

    async def read(self) -> bytes:
        """Some bytes as they come; empty when there will be none any more. Not read, nothing is taken from the node."""
        ...

    def write(self, data: bytes) -> None:
        """Send; what cannot leave at once waits, and is forgotten when the channel ends."""
        ...

    async def ended(self, last_mark: str | None) -> Failure:
        """Why there is nothing more to read: called once, after `read` gave nothing; waits a moment at most.

        Args:
            last_mark: the last word that the other side said of itself, START_MARK once its node program ran.
        """
        ...

    async def close(self) -> None:
        """Let go of the node within a second, whatever it does."""
        ...


class Introduction(Protocol):
    """What is said on a new channel until the node program runs; `pipe_link.Launch` is one, too."""

    def greeting(self, nonce: str) -> bytes:
        """What to send before anything was heard."""
        ...

    def reply(self, word: str, detail: str) -> bytes | Failure:
        """What to send when the other side says a mark of its own, or why it is hopeless."""
        ...


class Dial(Protocol):
    """A way to make channels to one node."""

    @property
    def introduction(self) -> Introduction:
        """What is said on each channel at first."""
        ...

    async def open(self, nonce: str) -> Channel | Failure:
        """A new channel, or why there is none; may block in the loop for milliseconds only.

        Args:
            nonce: with it the other side marks the beginning of what belongs to this channel.
        """
        ...
