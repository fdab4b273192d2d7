"""The bottom line: what the keys do, and how the fleet table is ordered."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.tui.cells import Cell, Role, Span, width_of
from gpualloc.tui.widgets.lines import Lines


class KeyLine(Lines):
    """Keys from the left, as many as fit, and a status that stays at the right."""

    def show_keys(self, keys: Sequence[tuple[str, str]], status: Cell) -> None:
        """Draw (key, what it does) and the status."""
        spans: list[Span] = [Span(" ")]
        room = self.size.width - width_of(status) - 1
        for key, what in keys:
            entry = (Span(key, Role.KEY), Span(f" {what}  ", Role.DIM))
            if width_of((*spans, *entry)) > room:
                break
            spans.extend(entry)
        spans.append(Span(" " * max(0, room - width_of(tuple(spans)))))
        self.show([(*spans, *status)])
