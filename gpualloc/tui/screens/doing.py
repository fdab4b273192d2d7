"""A dialog that shows what is being done, step by step, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from msgspec import Struct, field
from textual.binding import Binding, BindingType

from gpualloc.errors import GpuallocError
from gpualloc.model.plan import Step, StepState
from gpualloc.tui.cells import Cell, Role, cell
from gpualloc.tui.screens.dialog import Dialog
from gpualloc.tui.text import age_text, plain
from gpualloc.tui.widgets.press import Press
from gpualloc.views.plan import step_line
from gpualloc.views.text import plural

_TICK_S = 0.5
_MESSAGE_CHARS = 2000
_ROLES = {
    StepState.INTENT: Role.KEY,
    StepState.DONE: Role.GOOD,
    StepState.FAILED: Role.BAD,
    StepState.UNDONE: Role.WARN,
    StepState.SKIPPED: Role.DIM,
}


class Doing(Struct):
    """Something that is being done, or was."""

    title: str
    """Safe to draw."""
    began_s: float
    """Ticks."""
    steps: dict[tuple[object, ...], tuple[Step, StepState, str | None, int]] = field(default_factory=dict)
    """Each step that moved, as it stands, by what names it: steps of several runs may have the same number."""
    told: tuple[str, ...] = ()
    """What came of it; empty while it goes on."""
    error: GpuallocError | None = None
    """Why it failed."""
    left: bool = False
    """Whether somebody looked away from it."""

    @property
    def over(self) -> bool:
        """Whether it came to its end."""
        return bool(self.told) or self.error is not None

    def moved(self, step: Step, state: StepState, error: str | None, total: int) -> None:
        """A step moved."""
        name = (step.seq, step.kind, step.node, step.workload, step.device, step.target)
        self.steps[name] = (step, state, error, total)

    def lines(self) -> list[Cell]:
        """A line for each step that moved, by number."""
        found = sorted(self.steps.values(), key=lambda moved: moved[0].seq)
        return [cell(step_line(*moved), _ROLES[moved[1]]) for moved in found]

    def progress(self) -> str:
        """How many of its steps are done; empty before the first moves."""
        done = sum(state is StepState.DONE for _, state, _, _ in self.steps.values())
        total = max((total for *_, total in self.steps.values()), default=0)
        return f", {done} of {plural(total, 'step')} done" if total else ""


class DoingScreen(Dialog[None]):
    """Shows it until it is left; it goes on all the same.

    Args:
        doing: what is shown; it changes meanwhile.
        ticks_s: the time on the clock of `doing.began_s`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "leave", "leave", show=False)]

    def __init__(self, doing: Doing, ticks_s: Callable[[], float]) -> None:
        super().__init__()
        self.doing = doing
        self._ticks_s = ticks_s

    def title_text(self) -> str:
        """What is being done."""
        return self.doing.title

    def presses(self) -> Sequence[Press]:
        """One, to look away."""
        return (Press("leave", "Esc", "close" if self.doing.over else "leave it; it goes on"),)

    def on_mount(self) -> None:
        """Draw it, and the time that passes."""
        super().on_mount()
        self.draw()
        self.set_interval(_TICK_S, self._tick)

    def _tick(self) -> None:
        if self.doing.over:
            self.ended()
        else:
            self.draw()

    def draw(self) -> None:
        """Show how far it is."""
        doing = self.doing
        if not self.query(Press):  # It is being taken down.
            return
        lines = doing.lines()
        if doing.error is not None:
            lines.append(cell(plain(doing.error.message, _MESSAGE_CHARS), Role.BAD))
            lines += [cell(plain(doing.error.hint, _MESSAGE_CHARS))] if doing.error.hint else []
        elif doing.told:
            lines += [
                cell(plain(text, _MESSAGE_CHARS), Role.GOOD if not at else Role.PLAIN)
                for at, text in enumerate(doing.told)
            ]
        else:
            lines.append(cell(f"going on for {age_text(self._ticks_s() - doing.began_s)}{doing.progress()}", Role.DIM))
        self.tell(lines)
        self.query_one(Press).entitle("Esc", "close" if doing.over else "leave it; it goes on")

    def ended(self) -> None:
        """Nothing more comes: close, unless there is more to read than a line."""
        if not self.is_mounted:
            return  # It looks by itself in a moment.
        self.draw()
        if self.doing.error is None and len(self.doing.told) == 1 and self.is_current:
            self.dismiss(None)

    def on_press_pressed(self, event: Press.Pressed) -> None:
        """Look away."""
        event.stop()
        self.action_leave()

    def action_leave(self) -> None:
        """Look away."""
        self.doing.left = True
        self.dismiss(None)
