"""How a node is talked to, whatever lies between, and how that fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from gpualloc.errors import UnknownOutcomeError, UnreachableError
from gpualloc.model.inventory import NodeState

Message = dict[str, Any]
"""One record of the wire: a request or an end record."""


class NodeLink(Protocol):
    """A way to one node program. Usable from several threads; one exchange at a time."""

    @property
    def connection(self) -> int:
        """Number of the connection in use; a higher one than before means a new node program answers."""
        ...

    def exchange(self, requests: Sequence[Message], deadline_s: float) -> list[Message]:
        """Send all requests at once and return their end records in the same order.

        Connects first when there is no connection; `deadline_s` is for everything together, in seconds.

        Raises:
            UnreachableError: nothing was sent.
            UnknownOutcomeError: the requests were sent and not all end records came back.
        """
        ...

    def close(self) -> None:
        """Let go of the node within a second, whatever it does."""
        ...


class Failure(Struct, frozen=True):
    """Why a node does not answer."""

    state: NodeState
    reason: str
    """One sentence part, in words an operator reads."""
    hint: str | None = None
    """What to do or type; None when the reason says it."""


class LinkDownError(UnreachableError):
    """A node could not be asked: nothing was sent to it."""

    def __init__(self, failure: Failure, node: str) -> None:
        super().__init__(f"{node}: {failure.state.value}: {failure.reason}", hint=failure.hint, node=node)
        self.failure = failure


class LinkCutError(UnknownOutcomeError):
    """A node was asked and did not answer to the end."""

    def __init__(self, failure: Failure, node: str) -> None:
        super().__init__(f"{node}: {failure.state.value}: {failure.reason}", hint=failure.hint, node=node)
        self.failure = failure


def failure_of(error: UnreachableError) -> Failure:
    """The state, reason and hint behind an error of a link."""
    if isinstance(error, LinkDownError | LinkCutError):
        return error.failure
    return Failure(NodeState.UNREACHABLE, error.message, error.hint)
