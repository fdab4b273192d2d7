"""The places that work could have, the best first, and what spoke for the one it gets."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from gpualloc.model.allocation import Allocation
from gpualloc.model.inventory import Snapshot
from gpualloc.model.objective import Objective
from gpualloc.policies.explanation import Explanation
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import escape, plural

INDENT = "  "
"""Before what is told of one workload."""
_PLACES = (Column("score", right=True), Column("node", least=8), Column("devices", least=8), Column(""))
_PLACES_FOR = (*_PLACES, Column("what the objective looks at", least=16))


def places_lines(
    explanation: Explanation, answer: Allocation, snapshot: Snapshot | None, policy: str, look: Look
) -> list[str]:
    """The best places with their scores, and whether the objective took another than the policy alone would have.

    Args:
        explanation: what is told; it has places.
        answer: the place it gets.
        snapshot: what was seen; None when no node was asked.
        policy: name and version of the policy.
        look: the terminal.
    """
    fitting = plural(explanation.fitting, "node")
    rows: list[list[str | Cell]] = []
    aimed = explanation.objective is not Objective.BALANCED
    for each in explanation.ranked:
        taken = Cell("taken", Role.GOOD) if each.node == answer.node else Cell("")
        where = devices_text(each.devices, snapshot).removeprefix(", ") or "no GPU"
        said = [escape(each.objective)] if aimed else []
        rows.append([f"{each.score:.4f}", escape(each.node), where, taken, *said])
    return [
        f"best places by {escape(policy)}{aim_text(explanation)}, of {fitting} where it fits:",
        table(_PLACES_FOR if aimed else _PLACES, rows, look, indent=len(INDENT)),
        *_overruled(explanation, look),
    ]


def aim_text(explanation: Explanation) -> str:
    """` for cost`; empty when the policy decides alone."""
    return "" if explanation.objective is Objective.BALANCED else f" for {explanation.objective.value}"


def devices_text(uuids: Iterable[str], snapshot: Snapshot | None) -> str:
    """`, GPU 0, 1`; UUIDs where their indices are not known."""
    known = {each.uuid: str(each.index) for node in (snapshot.nodes if snapshot else ()) for each in node.devices}
    shown = [known.get(uuid, escape(uuid)) for uuid in dict.fromkeys(uuids)]
    return f", GPU {', '.join(shown)}" if shown else ""


def _overruled(explanation: Explanation, look: Look) -> list[str]:
    """What the policy alone would have taken, where the objective decided."""
    first, liked = explanation.ranked[0], explanation.overruled
    if liked is None:
        return []
    text = f"the objective {explanation.objective.value} decided: {first.node} is {first.objective}; "
    told = escape(f"{text}{liked.node}, which has the higher score, is {liked.objective}")
    return textwrap.wrap(told, look.width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)
