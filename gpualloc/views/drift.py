"""What is not as gpualloc made it, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.planning.drift import Difference, DriftClass, Value
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import escape, plural

_ROLES = {
    DriftClass.MISSING: Role.BAD,
    DriftClass.CHANGED: Role.BAD,
    DriftClass.FOREIGN: Role.WARN,
    DriftClass.DOUBTFUL: Role.WARN,
}
_COLUMNS = (
    Column("node", least=6),
    Column("device or work", least=12),
    Column("field"),
    Column("class"),
    Column("desired", least=8),
    Column("live", least=8),
)


def difference_data(difference: Difference) -> dict[str, object]:
    """One difference as scripts read it."""
    return {
        "node": difference.node,
        "device": difference.device,
        "workload": difference.workload,
        "field": difference.field,
        "class": difference.drift.value,
        "desired": difference.desired,
        "live": difference.live,
    }


def drift_data(differences: Sequence[Difference], unknown: Sequence[str], *, simulated: bool) -> dict[str, object]:
    """`data` of `drift --json`."""
    return {
        "simulated": simulated,
        "drift": [difference_data(each) for each in differences],
        "unknown": list(unknown),
    }


def drift_text(differences: Sequence[Difference], unknown: Sequence[str], look: Look, *, simulated: bool) -> str:
    """A row for each difference, and the nodes of which nothing is known."""
    lines = [look.paint("simulated", Role.WARN)] if simulated else []
    if differences:
        lines += [table(_COLUMNS, [_row(each) for each in differences], look), plural(len(differences), "difference")]
    else:
        lines.append("no drift")
    if unknown:
        lines.append(f"unknown, for want of an answer: {', '.join(map(escape, unknown))}")
    return "\n".join(lines)


def _row(difference: Difference) -> list[str | Cell]:
    return [
        escape(difference.node),
        escape(difference.workload or difference.device or ""),
        difference.field,
        Cell(difference.drift.value, _ROLES[difference.drift]),
        _value(difference.desired),
        _value(difference.live),
    ]


def _value(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else escape(str(value))
