"""The node program as a child on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gpualloc.adapters.link import Failure
from gpualloc.adapters.local_start import local_command, taken
from gpualloc.adapters.pipe_link import PipeLink
from gpualloc.model.inventory import NodeState


class LocalLaunch:
    """Starts the node program of this installation, or the privileged one of this machine where it may be used."""

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python
        self.unprivileged_reason: str | None = None
        """Why an installed privileged node program is not used; None when there is none or it is used."""

    def argv(self, nonce: str) -> Sequence[str]:
        """The command of the child."""
        command, self.unprivileged_reason = local_command(nonce, self._python)
        return command

    def greeting(self, nonce: str) -> bytes:  # noqa: ARG002 - the nonce is in the command already
        """Nothing needs to be said."""
        return b""

    def reply(self, word: str, detail: str) -> bytes | Failure:  # noqa: ARG002 - of the protocol
        """A local child says no marks of its own."""
        return b""

    def failure(self, status: int | None, stderr: str, last_mark: str | None) -> Failure:  # noqa: ARG002 - as above
        """Why the child ended."""
        return program_ended(status, stderr)


class LocalLink(PipeLink):
    """`NodeLink` to this machine."""

    def __init__(self, node: str) -> None:
        super().__init__(node, LocalLaunch())

    def begin(self) -> None:
        """As `PipeLink.begin`; a child that was started before this link was made is taken over."""
        begun = taken()
        if begun is None:
            super().begin()
        else:
            self.adopt(*begun)


def program_ended(status: int | None, stderr: str) -> Failure:
    """The failure of a node program that ended although it was still needed."""
    how = "closed its output" if status is None else f"ended with status {status}"
    if status is not None and status < 0:
        how = f"was ended by signal {-status}"
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), None)
    return Failure(NodeState.FAILED, f"the node program {how}" + (f": {last[:300]}" if last else ""))
