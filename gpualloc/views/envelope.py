"""The JSON that every verb answers with: one envelope, versioned by verb (docs/json.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gpualloc.errors import GpuallocError, UnreachableError

if TYPE_CHECKING:
    from gpualloc.model.inventory import Snapshot

VERSION = 1


def envelope(
    verb: str, data: Mapping[str, object] | None, messages: Sequence[str] = (), errors: Sequence[GpuallocError] = ()
) -> str:
    """The envelope as one indented ASCII document, without a newline at its end."""
    document = {
        "schema": f"gpualloc.{verb}/{VERSION}",
        "data": data,
        "messages": list(messages),
        "errors": [error_data(error) for error in errors],
    }
    return json.dumps(document, indent=2, allow_nan=False)


def line(verb: str, data: Mapping[str, object]) -> str:
    """One record of a streaming verb as one line."""
    return json.dumps({"schema": f"gpualloc.{verb}/{VERSION}", **data}, separators=(",", ":"), allow_nan=False)


def error_data(error: GpuallocError) -> dict[str, object]:
    """An error as scripts read it."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "node": error.node}


def unreached(snapshot: Snapshot) -> tuple[GpuallocError, ...]:
    """One error for each node that did not answer."""
    from gpualloc.model.inventory import NodeState

    return tuple(
        UnreachableError(
            f"{node.name}: {node.state}" + (f" ({node.reason})" if node.reason else ""),
            hint="`gpualloc doctor` says what is wrong with it and what to do",
            node=node.name,
        )
        for node in snapshot.nodes
        if node.state is not NodeState.OK
    )
