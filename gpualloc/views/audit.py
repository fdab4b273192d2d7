"""The audit trail as a table and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from gpualloc.model.audit import AuditEntry
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Column, table
from gpualloc.views.text import escape, stamp

_COLUMNS = (
    Column("seq", right=True),
    Column("when"),
    Column("kind"),
    Column("actor", least=6),
    Column("workload"),
    Column("node", least=6),
)
_INDENT = "     "


def audit_data(
    entries: Sequence[AuditEntry], *, simulated: bool, broken_at: int | None, verified: bool
) -> dict[str, object]:
    """`data` of `audit --json`; `broken_at` is the first entry that does not fit the chain."""
    return {
        "simulated": simulated,
        "verified": broken_at is None if verified else None,
        "broken_at": broken_at,
        "entries": [
            {
                "seq": entry.seq,
                "at_s": entry.at_s,
                "kind": entry.kind,
                "actor": entry.actor,
                "workload": entry.workload,
                "node": entry.node,
                "detail": dict(entry.detail),
                "hash": entry.hash,
            }
            for entry in entries
        ],
    }


def audit_text(entries: Sequence[AuditEntry], look: Look, *, simulated: bool) -> str:
    """The entries, oldest first."""
    head = [look.paint("simulated", Role.WARN)] if simulated else []
    if not entries:
        return "\n".join([*head, "nothing was done yet"])
    rows = [
        [
            str(entry.seq),
            stamp(entry.at_s),
            escape(entry.kind),
            escape(entry.actor),
            escape(entry.workload or ""),
            escape(entry.node or ""),
        ]
        for entry in entries
    ]
    titles, *lines = table(_COLUMNS, rows, look).splitlines()
    told = [[line, *_detail(entry, look)] for line, entry in zip(lines, entries, strict=True)]
    return "\n".join([*head, titles, *(line for lines in told for line in lines)])


def _detail(entry: AuditEntry, look: Look) -> list[str]:
    """What was done in full, below its line: it is what the trail is read for."""
    text = escape(", ".join(f"{key}={_plain(value)}" for key, value in entry.detail.items()))
    wrapped = textwrap.wrap(text, look.width, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return [look.paint(line, Role.QUIET) for line in wrapped]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
