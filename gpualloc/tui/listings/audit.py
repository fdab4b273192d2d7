"""The list of what was done, to what, by whom."""

from __future__ import annotations

import json

from gpualloc.model.audit import AuditEntry
from gpualloc.tui.cells import Cell, Role, cell
from gpualloc.tui.fields import Field, Unit
from gpualloc.tui.listing import Listing, Sort
from gpualloc.tui.rows import Moment
from gpualloc.tui.text import date_time_text, plain

_MAX_DETAIL = 500


def detail_text(entry: AuditEntry) -> str:
    """What else is known of it, in one line, safe to draw."""
    return plain("  ".join(f"{key}={_value(value)}" for key, value in entry.detail.items()), _MAX_DETAIL)


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _when(entry: AuditEntry, _: Moment, __: int) -> Cell:
    return cell(date_time_text(entry.at_s))


def _kind(entry: AuditEntry, _: Moment, __: int) -> Cell:
    return cell(plain(entry.kind), Role.BAD if "failed" in entry.kind else Role.NAME)


FIELDS: tuple[Field[AuditEntry], ...] = (
    Field(
        "seq",
        "SEQ",
        "number in the trail",
        lambda one, _: one.seq,
        Unit.COUNT,
        least=5,
        most=7,
        priority=6,
        descends=True,
    ),
    Field(
        "when",
        "WHEN",
        "when it was done",
        lambda one, _: one.at_s,
        Unit.EPOCH,
        draw=_when,
        least=19,
        most=19,
        priority=0,
        descends=True,
    ),
    Field("kind", "WHAT", "what was done", lambda one, _: one.kind, draw=_kind, least=10, most=16, priority=1),
    Field("actor", "WHO", "who did it", lambda one, _: one.actor, least=8, most=14, priority=2),
    Field(
        "workload",
        "WORKLOAD",
        "of which workload",
        lambda one, _: one.workload,
        least=9,
        most=12,
        priority=4,
        absent="",
    ),
    Field("node", "NODE", "on which node", lambda one, _: one.node, least=8, most=20, priority=5, absent=""),
    Field(
        "detail",
        "DETAIL",
        "what else is known",
        lambda one, _: detail_text(one) or None,
        least=16,
        most=200,
        priority=3,
        absent="",
    ),
)

AUDIT: Listing[AuditEntry] = Listing(
    "audit", FIELDS, key=lambda one: str(one.seq), sorts=(Sort("seq", descends=True),), absent="nothing was done yet"
)
"""The audit trail, the newest first."""
