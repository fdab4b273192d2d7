"""Error records of a node as gpualloc's own errors."""

from __future__ import annotations

from collections.abc import Mapping

from gpualloc.adapters.fields import clean
from gpualloc.errors import FencedError, StepError
from gpualloc.node.wire import REASONS

_EXIT_CODES: Mapping[str, int] = {"no-command": 127, "not-executable": 126}
"""What a shell would have answered for a command that cannot be started."""

_HINTS: Mapping[str, str] = {
    "fenced": "another gpualloc run took over; look at what it did: gpualloc audit",
    "claimed": "make a new plan: gpualloc plan",
    "gone": "make a new plan: gpualloc plan",
    "memory": "make a new plan: gpualloc plan",
    "stranger": "see whose process it is: gpualloc top",
    "no-user": "the command runs as the account that submitted it; make that account on the node",
    "no-cgroup": "see what the node can limit: gpualloc doctor",
    "not-permitted": "give gpualloc its privileged program there: gpualloc node install",
    "disk": "free space on the node, or move its state folder: GPUALLOC_NODE_STATE_DIR",
}


def refused(error: object, node: str) -> StepError:
    """The error behind an error record; a record that makes no sense counts as `failed`."""
    fields = error if isinstance(error, dict) else {}
    said, message = fields.get("reason"), fields.get("message")
    reason = said if isinstance(said, str) and said in REASONS else "failed"
    text = clean(message) if isinstance(message, str) and message else f"refused without a message ({reason})"
    kind = FencedError if reason == "fenced" else StepError
    return kind(
        f"{node}: {text}", reason=reason, command_exit_code=_EXIT_CODES.get(reason), node=node, hint=_HINTS.get(reason)
    )
