"""Everything of one device: readings, history, MIG instances in their places, processes, who holds it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from gpualloc.model.inventory import Device
from gpualloc.tui.actions.action import DeviceTarget, NodeTarget, ProcessTarget, Target, Targets
from gpualloc.tui.cells import Cell, Role, Span, bar, cell, memory_pair, memory_ratio, watts
from gpualloc.tui.charts import DEVICE_CHARTS, About
from gpualloc.tui.facts.device import device_sections, happened_section
from gpualloc.tui.listings.fleet import holders_cell, short_model
from gpualloc.tui.listings.processes import ON_DEVICE, ProcessRow, Row, process_rows
from gpualloc.tui.listings.troubles import EVENTS, trouble_rows
from gpualloc.tui.mig_axis import mig_lines
from gpualloc.tui.rows import FleetRow, Moment, state_words
from gpualloc.tui.screens.charted import ChartedView
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.facts import Facts
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.measure import set_measure
from gpualloc.tui.widgets.pane import Pane

WIDE_FROM = 120
"""Terminal width from which the readings stand beside the rest."""
_BAR = 10
_EVENTS_FROM, _MOST_EVENTS = 28, 6
"""Lines from which what happened has a list of its own, and the most of it in sight."""


class DeviceView(ChartedView):
    """One device."""

    NAME = "device"
    HEADING = "GPU"
    AUTO_FOCUS = "#processes"
    CHARTS = DEVICE_CHARTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "facts", "readings", tooltip="Every reading, or back to charts and processes"),
        Binding("greater_than_sign", "next(1)", "next GPU", show=False, tooltip="The next GPU of the node"),
        Binding("less_than_sign", "next(-1)", "GPU before", show=False, tooltip="The GPU before it on the node"),
    ]

    def body(self) -> ComposeResult:
        """Readings beside charts, instances and processes, or in their place where it is narrow."""
        yield Lines(id="figures")
        with Horizontal(id="all"):
            yield Facts(id="facts")
            with Vertical(id="beside"):
                yield Lines(id="mig")
                yield from self.charts_pane()
                yield Pane(ListTable(ON_DEVICE, self.shell.memory("device-processes"), id="processes"), id="on-device")
                yield Pane(ListTable(EVENTS, self.shell.memory("device-events"), id="events"), id="happened-here")

    def subject(self) -> str:
        """Node and index."""
        row = self._row
        return plain(self.of) if row is None or row.device is None else f"{plain(row.node.name)} GPU {row.device.index}"

    def targets(self) -> tuple[Target, ...]:
        """The processes that are selected, else the device."""
        processes: ListTable[Row] = self.query_one("#processes", ListTable)
        if processes.selected or processes.has_focus:
            return process_targets(processes.chosen)
        return self._own

    def around(self) -> tuple[Targets, ...]:
        """The device, then its node."""
        return (self._own, (NodeTarget(self._row.node.name),)) if self._row is not None else ()

    @property
    def _own(self) -> tuple[Target, ...]:
        row = self._row
        if row is None or row.device is None:
            return ()
        return (DeviceTarget(row.node.name, row.device.uuid, row.device.index, row.device.model),)

    @property
    def _row(self) -> FleetRow | None:
        return self.shell.state.row(self.of)

    def about(self) -> About | None:
        """The device, with its limits."""
        row = self._row
        device = None if row is None else row.device
        if row is None or device is None:
            return None
        most = {"memory": device.memory_total_mib, "power": device.power_limit_w}
        return About(row.node.name, device.uuid, most=most, why=device.unavailable)

    def draw(self, state: State) -> None:
        """Show what is known now; a device that is gone is said to be."""
        self.set_class(self.size.width >= WIDE_FROM, "wide")
        self.set_class(self.nothing_known, "unknown")
        row = state.row(self.of)
        figures = self.query_one("#figures", Lines)
        self.query_one("#all").display = row is not None
        if row is None or row.device is None:
            figures.show([cell(" This GPU is not there any more; Esc goes back", Role.WARN)])
            return
        figures.show([_figures(row, state.moment)])
        sections = device_sections(row, row.device, state.names, state.moment, state.workloads)
        self.query_one(Facts).show((*sections, happened_section(self.events)))
        beside = self.query_one("#beside")
        answer = row.node.node
        instances = [] if answer is None else mig_lines(answer, row.device, state.names, beside.size.width - 1)
        self.query_one("#mig", Lines).show(instances)
        self.query_one("#mig").display = bool(instances)
        self._draw_processes(row, row.device, state)
        self._draw_events(state)
        self.draw_charts(state)

    def _draw_processes(self, row: FleetRow, device: Device, state: State) -> None:
        found = process_rows((row.node,), state.indices, state.names, device.uuid)
        self.query_one("#processes", ListTable).show_rows(found, state.moment, unknown=state.unlisted)
        pane = self.query_one("#on-device", Pane)
        pane.entitle((Span(" Processes", Role.NAME), Span(f"  {len(found)}")))
        room = self.query_one("#beside").size.height
        set_measure(pane, "height", "1fr" if self.nothing_known else max(3, min(len(found) + 2, room // 3)))

    def _draw_events(self, state: State) -> None:
        pane, events = self.query_one("#happened-here", Pane), self.events
        pane.display = bool(events) and self.query_one("#beside").size.height >= _EVENTS_FROM
        if pane.display:
            indices: dict[str, int | None] = {**state.indices}
            self.query_one("#events", ListTable).show_rows(trouble_rows(events, indices), state.moment)
            pane.entitle((Span(" What happened here", Role.NAME), Span(f"  {len(events)}")))
            set_measure(pane, "height", min(len(events), _MOST_EVENTS) + 2)

    def action_facts(self) -> None:
        """Every reading, or back."""
        self.toggle_class("told")
        if self.has_class("told"):
            self.query_one(Facts).focus()
        else:
            self.focus_body()

    def action_next(self, by: int) -> None:
        """Another device of the same node."""
        row = self._row
        if row is None or row.device is None:
            return
        devices = sorted(row.node.devices, key=lambda device: device.index)
        at = next(at for at, device in enumerate(devices) if device.uuid == row.device.uuid)
        self.of = f"{row.node.name}/{devices[(at + by) % len(devices)].uuid}"
        self.redraw()


def process_targets(rows: Iterable[Row]) -> tuple[ProcessTarget, ...]:
    """What an action acts upon when it is on these: each process once, those of groups too."""
    found: dict[tuple[str, int], ProcessTarget] = {}
    for row in rows:
        for one in (row,) if isinstance(row, ProcessRow) else row.members:
            told = one.process
            found[one.node, told.pid] = ProcessTarget(
                one.node, told.pid, told.started_at_s, told.user, told.command, told.workload
            )
    return tuple(found.values())


def _figures(row: FleetRow, moment: Moment) -> Cell:
    """The few numbers that matter, in one line."""
    device = row.device
    if device is None:
        return ()
    words = state_words(row, moment)
    ratio, memory = device.gpu_utilization_ratio, memory_ratio(device.memory_used_mib, device.memory_total_mib)
    pair = memory_pair(device.memory_used_mib, device.memory_total_mib) or "n/a"
    power = "n/a" if device.power_w is None else watts(device.power_w)
    limit = "" if device.power_limit_w is None else f"/{watts(device.power_limit_w)}"
    warmth = "n/a" if device.temperature_c is None else f"{device.temperature_c}°C"
    return (
        Span(f" {short_model(device.model)}  ", Role.NAME),
        Span(words.whole, words.role),
        Span("  util ", Role.DIM),
        Span("n/a " if ratio is None else f"{ratio * 100:.0f}% "),
        *bar(ratio, _BAR, Role.UTILIZATION),
        Span("  mem ", Role.DIM),
        Span(f"{pair} GiB "),
        *bar(memory, _BAR, Role.MEMORY),
        Span(f"  {power}{limit}  {warmth}  "),
        *holders_cell(row),
    )
