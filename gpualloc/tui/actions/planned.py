"""Plans as lines of a dialog, as the command line shows them."""

from __future__ import annotations

from gpualloc.engine.chain import Report
from gpualloc.model.plan import Plan
from gpualloc.tui.actions.told import text_lines
from gpualloc.tui.cells import Cell
from gpualloc.tui.state import State
from gpualloc.views.look import Look
from gpualloc.views.plan import plan_text, report_text

_COLUMNS = 100


def plan_lines(plan: Plan, state: State) -> tuple[Cell, ...]:
    """Every step with its reason, who notices, and the sum."""
    return text_lines(plan_text(plan, state.names, Look(_COLUMNS)))


def report_of(report: Report) -> str:
    """What became of a plan, in one line."""
    return report_text(len(report.done), len(report.failed), len(report.skipped), len(report.unknown), len(report.left))
