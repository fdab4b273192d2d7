"""What takes a finished run back, and what of it stays."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from gpualloc.model.plan import Plan, Run, Step
from gpualloc.views.look import Look, Role
from gpualloc.views.plan import plan_data, plan_text, step_data
from gpualloc.views.text import escape, stamp

Left = Sequence[tuple[Step, str]]
"""Steps that are not taken back, each with why."""
_INDENT = "  "


def undo_data(run: Run, plan: Plan, left: Left) -> dict[str, object]:
    """What `undo` would do, as scripts read it."""
    return {
        "run": run.id,
        "plan": plan_data(plan),
        "stays": [{"step": step_data(step), "why": why} for step, why in left],
    }


def undo_text(run: Run, plan: Plan, left: Left, names: Mapping[str, str], look: Look) -> str:
    """The same for a person."""
    lines = [f"takes back run {run.id}, begun {stamp(run.started_at_s)} by {escape(run.actor)}"]
    lines.append(plan_text(plan, names, look))
    if left:
        lines += ["", "not taken back:"]
        for step, why in left:
            head = f"step {step.seq}, {step.kind.value} of {escape(step.target)} on {escape(step.node)}"
            lines.append(f"{_INDENT}{look.paint(head, Role.WARN)}")
            margin = _INDENT * 3
            lines += textwrap.wrap(escape(why), look.width, initial_indent=margin, subsequent_indent=margin)
    return "\n".join(lines)
