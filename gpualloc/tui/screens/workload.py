"""Everything of one workload: what it asked for and got, why it waits, and what it prints."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll

from gpualloc.engine.why import why
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.tui.actions.action import DeviceTarget, NodeTarget, Target, Targets, WorkloadTarget
from gpualloc.tui.cells import Cell, Role, cell
from gpualloc.tui.facts.work import workload_sections
from gpualloc.tui.messages import Go
from gpualloc.tui.output import Output, read_output
from gpualloc.tui.painted import cells_of, painted
from gpualloc.tui.screens.device import WIDE_FROM
from gpualloc.tui.screens.view import View
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.facts import Facts
from gpualloc.tui.widgets.lines import Lines
from gpualloc.views.submission import starter_text
from gpualloc.views.why import Account, why_text

_WHY_S = 15.0
_OUTPUT_S = 1.0


class WorkloadView(View):
    """One workload."""

    NAME = "workload"
    HEADING = "Workload"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "facts", "facts", tooltip="What it asked for and got, or back to what it prints"),
        Binding("o", "device", "GPU", show=False, tooltip="Go to its first GPU"),
    ]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._why: tuple[float, Account | str] = (float("-inf"), "")
        self._output = Output()
        self._problem = ""

    def body(self) -> ComposeResult:
        """Facts beside what it prints, or in its place where it is narrow."""
        with Horizontal():
            yield Facts(id="facts")
            with VerticalScroll(id="beside"):
                yield Lines(id="why", classes="wrapped")
                yield Lines(id="output")

    def on_mount(self) -> None:
        """Read what it prints, and read on."""
        self.set_interval(_OUTPUT_S, self._read_on)

    def subject(self) -> str:
        """Its name and id."""
        found = self._workload
        return plain(self.of) if found is None else f"{plain(found.name)} {found.id}"

    def targets(self) -> tuple[Target, ...]:
        """The workload."""
        found = self._workload
        return () if found is None else (WorkloadTarget(found.id, found.name, found.owner),)

    def around(self) -> tuple[Targets, ...]:
        """The GPUs that it runs on, then their node."""
        found = self._workload
        if found is None or found.allocation is None or found.state is not WorkloadState.RUNNING:
            return ()
        node = found.allocation.node
        devices = (self.shell.state.device(node, grant.device) for grant in found.allocation.grants)
        held = (DeviceTarget(node, one.uuid, one.index, one.model) for one in devices if one is not None)
        return (tuple(dict.fromkeys(held)), (NodeTarget(node),))

    @property
    def _workload(self) -> Workload | None:
        return next((one for one in self.shell.state.workloads if one.id == self.of), None)

    def draw(self, state: State) -> None:
        """Show what is known now."""
        self.set_class(self.size.width >= WIDE_FROM, "wide")
        found = self._workload
        told = self.query_one("#why", Lines)
        if found is None:
            told.show([cell(" It ended more than a day ago, or there is no such work; Esc goes back", Role.WARN)])
            return
        progress = state.progress.get(found.id)
        self.query_one(Facts).show(workload_sections(found, state.indices, progress))
        self._ask_why(state)
        room = self.query_one("#beside").size.width - 3
        told.show(self._reasons(room))
        self.query_one("#output", Lines).show(self._printed(found, room))

    def _reasons(self, room: int) -> list[Cell]:
        answer = self._why[1]
        text = answer if isinstance(answer, str) else why_text(answer, painted(room))
        return cells_of(text) if text else []

    def _printed(self, found: Workload, room: int) -> list[Cell]:
        if found.allocation is None:
            return []
        title = cell("What it prints", Role.NAME)
        if self._problem:
            return [title, cell(self._problem, Role.DIM)]
        return [title, *self._output.lines(room)]

    def _ask_why(self, state: State) -> None:
        found = self._workload
        if found is None or state.moment.ticks_s - self._why[0] < _WHY_S or not state.live:
            return
        self._why = (state.moment.ticks_s, self._why[1])
        ctx, identity = self.shell.ctx, found.id

        def tell() -> Account:
            answer = why(ctx, identity)
            starter = answer.starter
            return Account(
                answer.workload,
                answer.at_s,
                ctx.simulated,
                f"{ctx.policy.name} {ctx.policy.version}",
                starter_text(starter.kind, starter.last_rebalance_s) if starter else "",
                answer.explanation,
                answer.placed,
                answer.snapshot,
                state.names,
            )

        self.shell.desk.ask(f"why {identity}", tell, self._take_why, lambda error: self._take_why(plain(error.message)))

    def _take_why(self, answer: Account | str) -> None:
        self._why = (self._why[0], answer)
        self.redraw()

    def _read_on(self) -> None:
        found = self._workload
        if not self.is_on_top or found is None or found.allocation is None or self._output.ended:
            return
        fleet, node, identity, before = self.shell.ctx.fleet, found.allocation.node, found.id, self._output
        self.shell.desk.ask(
            f"output {identity}",
            lambda: read_output(fleet, node, identity, before),
            self._take_output,
            lambda error: self._refused(plain(error.message)),
        )

    def _take_output(self, output: Output) -> None:
        if output != self._output or self._problem:
            self._output, self._problem = output, ""
            if not self.is_on_top:
                return
            body = self.query_one("#beside", VerticalScroll)
            follows = body.is_vertical_scroll_end
            self.redraw()
            if follows:
                body.scroll_end(animate=False)

    def _refused(self, problem: str) -> None:
        self._problem = problem
        self.redraw()

    def action_facts(self) -> None:
        """Facts, or back."""
        self.toggle_class("told")
        self.query_one(Facts if self.has_class("told") else "#beside").focus()

    def action_device(self) -> None:
        """Go to its first GPU."""
        found = self._workload
        if found is None or found.allocation is None or found.state is not WorkloadState.RUNNING:
            return
        for grant in found.allocation.grants[:1]:
            self.post_message(Go("device", f"{found.allocation.node}/{grant.device}"))
