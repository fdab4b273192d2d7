"""A dialog with plans side by side: their figures, and what the one under the cursor does otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec import Struct
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen

from gpualloc.model.allocation import Grant
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import Plan
from gpualloc.planning.difference import Difference, Fate, differences
from gpualloc.planning.pareto import Choice
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.columns import Column, PlacedColumn
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.measure import set_measure
from gpualloc.tui.widgets.table import Table
from gpualloc.views.pareto import SHOWN, UNKNOWN
from gpualloc.views.text import plural

_KEYS = "Enter takes the plan under the cursor  Esc leaves"


class Compared(Struct, frozen=True):
    """A plan beside others."""

    key: str
    word: str
    """`shown` or `before` of plans made earlier; empty for the others."""
    choice: Choice


class ComparedTable(Table[Compared]):
    """Plans and their figures."""

    def __init__(self) -> None:
        super().__init__(id="compared")

    def columns(self, width: int) -> Sequence[Column]:  # noqa: ARG002 (the same in every width)
        """By what it was made, then every figure."""
        figures = [
            Column(title, title.upper(), least=max(7, len(title)), most=9, priority=3 + at, right=True)
            for at, (title, _) in enumerate(SHOWN)
        ]
        return (
            Column("word", "", least=6, most=6, priority=0),
            Column("objective", "OBJECTIVE", least=9, most=9, priority=1),
            Column("policy", "POLICY", least=8, most=14, priority=2),
            *figures,
        )

    def key_of(self, row: Compared) -> str:
        """Its key."""
        return row.key

    def draw(self, row: Compared, placed: PlacedColumn) -> Cell:
        """One cell."""
        key, plan = placed.column.key, row.choice.plan
        if key == "word":
            return cell(row.word, Role.KEY)
        if key == "objective":
            return cell(plan.objective.value)
        if key == "policy":
            return cell(plain(plan.policy), Role.NAME)
        text = dict(SHOWN)[key](row.choice.figures)
        return cell(text, Role.DIM if text == UNKNOWN else Role.PLAIN)


class ComparisonScreen(ModalScreen[Choice | None]):
    """Shows plans beside the one that is shown now; the answer is the one that is taken, None when it is left.

    Args:
        title: what they are; safe to draw.
        rows: the plans, the one that is shown first.
        names: names of workloads by id.
        snapshot: what they were made on.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,d", "leave", "leave it", show=False),
        Binding("q,ctrl+c", "app.quit", "quit", show=False),
    ]

    def __init__(self, title: str, rows: Sequence[Compared], names: Mapping[str, str], snapshot: Snapshot) -> None:
        super().__init__()
        self._heading = title
        self._rows = rows
        self._names = names
        self._snapshot = snapshot

    def compose(self) -> ComposeResult:
        """A title, the plans, the difference, and the keys."""
        with Vertical(classes="window tall"):
            yield Lines(classes="window-title")
            yield ComparedTable()
            with VerticalScroll(id="difference-pane", can_focus=False):
                yield Lines(id="difference")
            yield Lines(classes="window-keys")

    def on_mount(self) -> None:
        """Draw them."""
        self.query_one(".window-title", Lines).show([cell(self._heading, Role.NAME)])
        self.query_one(".window-keys", Lines).show([cell(_KEYS, Role.DIM)])
        self.query_one(ComparedTable).focus()
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        """Fit it in."""
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        table = self.query_one(ComparedTable)
        table.show(self._rows)
        set_measure(table, "max_height", len(self._rows) + 1)
        self._draw_difference()

    def on_table_moved(self, event: Table.Moved) -> None:
        """Another plan has other differences."""
        event.stop()
        self._draw_difference()

    def _draw_difference(self) -> None:
        row = self.query_one(ComparedTable).current
        if row is not None:
            lines = difference_lines(self._rows[0].choice.plan, row.choice.plan, self._names, self._snapshot)
            also = ", ".join(f"{objective.value} {plain(policy)}" for objective, policy in row.choice.also)
            if also:
                lines = [*lines, cell(f"in figures the same: {also}", Role.DIM)]
            self.query_one("#difference", Lines).show(lines)

    def action_leave(self) -> None:
        """Leave it."""
        self.dismiss(None)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Take it; the one that is shown stays."""
        event.stop()
        row = self.query_one(ComparedTable).current
        self.dismiss(None if row is None or row is self._rows[0] else row.choice)


def difference_lines(before: Plan, after: Plan, names: Mapping[str, str], snapshot: Snapshot) -> list[Cell]:
    """What the other plan does otherwise, one line for each workload."""
    if after is before:
        return [cell("this is the plan that is shown", Role.DIM)]
    found = differences(before, after)
    if not found:
        return [cell("every workload gets the same place as in the plan that is shown", Role.DIM)]
    title = f"{plural(len(found), 'workload')} treated otherwise than in the plan that is shown:"
    return [cell(title, Role.NAME), *(_line(one, names, snapshot) for one in found)]


def _line(one: Difference, names: Mapping[str, str], snapshot: Snapshot) -> Cell:
    name = plain(names.get(one.workload, one.workload))
    before, after = fate_text(one.before, snapshot), fate_text(one.after, snapshot)
    worse = one.after.waits is not None
    return (
        Span(f"  {name}: ", Role.PLAIN),
        Span(before, Role.DIM),
        Span(" → "),
        Span(after, Role.WARN if worse else Role.GOOD),
    )


def fate_text(fate: Fate, snapshot: Snapshot) -> str:
    """Where a workload goes, or that it waits; safe to draw."""
    if fate.waits is not None:
        return f"waits ({plain(fate.waits.partition(':')[0])})"
    if not fate.places:
        return "not in the plan"
    return "; ".join(f"{plain(node)}{_given(grants, snapshot)}" for node, grants in fate.places)


def _given(grants: Sequence[Grant], snapshot: Snapshot) -> str:
    indices = {device.uuid: str(device.index) for node in snapshot.nodes for device in node.devices}
    instances = {
        instance.uuid: instance.profile
        for node in snapshot.nodes
        for device in node.devices
        for instance in device.mig_instances
    }
    told = []
    for grant in grants:
        part = grant.place or instances.get(grant.mig_instance or "", "")
        told.append(indices.get(grant.device, plain(grant.device)) + (f" {part}" if part else ""))
    return f" GPU {', '.join(told)}" if told else ""
