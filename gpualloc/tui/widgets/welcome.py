"""What to try when no node has a GPU."""

from __future__ import annotations

from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.seen import Seen
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.lines import Lines


def welcome_lines(seen: Seen) -> list[Cell]:
    """Why there is no device, and three ways to see some."""
    return [
        (),
        cell("No GPU on any node that answered.", Role.NAME),
        *_reasons(seen),
        (),
        cell("What you can do now:", Role.NAME),
        _way("gpualloc --sim demo top", "look round a simulated cluster; nothing is changed"),
        _way("gpualloc init", "look round this machine and write a configuration"),
        _way("", "then add GPU nodes to it, such as gpu[01-04]:"),
        _way("", "they are reached by your own ssh as they are"),
        _way("gpualloc doctor", "find out why a GPU is not seen"),
        (),
        cell("Work without a GPU runs too:  gpualloc run --gpus 0 -- command", Role.DIM),
    ]


class Welcome(Lines):
    """Shown in place of the lists of processes and workloads while there is no device."""

    def show_for(self, seen: Seen) -> None:
        """Draw what fits the nodes seen."""
        self.show(welcome_lines(seen))


def _way(command: str, what: str) -> Cell:
    return (Span(f"  {command:<24}", Role.KEY), Span(f" {what}"))


def _reasons(seen: Seen) -> list[Cell]:
    lines: list[Cell] = []
    for node in seen.nodes[:3]:
        answer = node.node
        reason = "has not answered yet" if answer is None else answer.nvml_reason or answer.reason or "reports no GPU"
        lines.append((Span(f"  {plain(node.name, 30)}: "), Span(plain(reason, 200), Role.WARN)))
    if len(seen.nodes) > 3:
        lines.append(cell(f"  and {len(seen.nodes) - 3} more nodes", Role.DIM))
    return lines
