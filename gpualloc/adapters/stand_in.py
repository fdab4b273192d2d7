"""What answers for a node whose node program cannot run, over the connection that is open already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gpualloc.adapters.link import Failure, Message


class Talk(Protocol):
    """The two ways of a child that is talked to, for one question and its answer."""

    def say(self, data: bytes) -> None:
        """Send."""
        ...

    def hear(self) -> bytes:
        """The next line without its end; raises what its link reports."""
        ...

    def rest(self, seconds: float) -> None:
        """Wait that long while nothing is said; raises what its link reports when it ends meanwhile."""
        ...

    def left_s(self) -> float:
        """Seconds until the answer is given up."""
        ...


class StandIn(Protocol):
    """Answers in the place of a node program.

    Both methods raise WireError for what makes no sense.
    """

    @property
    def spent(self) -> bool:
        """Whether it should be begun anew, with another connection."""
        ...

    def begin(self, talk: Talk) -> Failure | None:
        """Get ready; why that is hopeless, or None."""
        ...

    def answer(self, talk: Talk, requests: Sequence[Message]) -> list[Message]:
        """The end records of the requests, in their order."""
        ...


FindStandIn = Callable[[str, str, str], StandIn | None]
"""Makes what stands in after a mark: its word, nonce and detail; None where the mark is for the launch."""
