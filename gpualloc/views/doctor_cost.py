"""What reading nodes costs them, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.readings import NodeCost, ReadingCost
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import escape

_COLUMNS = (
    Column("group", least=10),
    Column("every", right=True),
    Column("calls", right=True),
    Column("mean", right=True),
    Column("most", right=True),
    Column("of a CPU", right=True),
)


def cost_data(costs: Sequence[NodeCost], *, simulated: bool) -> dict[str, object]:
    """`data` of `doctor --cost --json`."""
    return {
        "simulated": simulated,
        "nodes": [
            {
                "node": cost.node,
                "sampling_every_s": cost.every_s,
                "cpu_ratio": cost.total,
                "groups": [_group_data(cost, group) for group in cost.groups],
            }
            for cost in costs
        ],
    }


def cost_text(costs: Sequence[NodeCost], look: Look, *, simulated: bool) -> str:
    """A table for each node, the dearest group first, and the sum."""
    parts = [look.paint("simulated", Role.WARN)] if simulated else []
    for cost in costs:
        head = f"{look.paint(escape(cost.node), Role.STRONG)}, sampled every {cost.every_s:g} s"
        if not cost.groups:
            parts.append(f"{head}: nothing was measured")
            continue
        total = Cell(_percent(cost.total), Role.STRONG)
        rows = [_row(cost, group) for group in cost.groups]
        rows.append(["together", "", "", "", "", total])
        parts.append(f"{head}\n{table(_COLUMNS, rows, look, indent=2)}")
    return "\n".join(parts)


def _group_data(cost: NodeCost, group: ReadingCost) -> dict[str, object]:
    return {
        "group": group.group,
        "every_s": group.every_s,
        "calls": group.calls,
        "mean_s": group.mean_s,
        "max_s": group.max_s,
        "cpu_ratio": cost.share(group),
    }


def _row(cost: NodeCost, group: ReadingCost) -> list[str | Cell]:
    every = "each look" if group.every_s is None else f"{group.every_s:g} s"
    return [
        escape(group.group),
        every,
        str(group.calls),
        f"{group.mean_s * 1e3:.2f} ms",
        f"{group.max_s * 1e3:.2f} ms",
        _percent(cost.share(group)),
    ]


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.2f} %"
