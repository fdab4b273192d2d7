"""The audit trail: what was done, to what, by whom, when; chained so that edits show."""

from __future__ import annotations

import json
from collections.abc import Mapping

from msgspec import Struct, field

GENESIS = "0" * 64
"""Hash before the first entry."""


class AuditEntry(Struct, frozen=True):
    """One thing that happened. Values of environment variables never enter it.

    `seq` and the two hashes are given by the store when it appends the entry.
    """

    at_s: float
    kind: str
    """What happened: `submit`, `plan`, `apply`, `start`, `end`, `release`, `recover`, `step-failed`, ..."""
    actor: str
    workload: str | None
    node: str | None
    detail: Mapping[str, object] = field(default_factory=dict)
    seq: int = 0
    previous_hash: str = GENESIS
    hash: str = ""


def entry_hash(entry: AuditEntry) -> str:
    """SHA-256 over everything in the entry but its own hash, in canonical JSON."""
    body = [
        entry.seq,
        entry.at_s,
        entry.kind,
        entry.actor,
        entry.workload,
        entry.node,
        dict(entry.detail),
        entry.previous_hash,
    ]
    import hashlib  # It brings the whole of OpenSSL, and commands that only look write no entry.

    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
