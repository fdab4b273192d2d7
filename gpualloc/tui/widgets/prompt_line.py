"""The line in which a filter or a command is typed, with what could come next."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from gpualloc.tui.cells import Role, Span
from gpualloc.tui.text import printable
from gpualloc.tui.widgets.lines import Lines

_SHOWN = 8
"""So many continuations are named."""


class Prompt(Struct, frozen=True):
    """What is asked for."""

    name: str
    """Names it in messages: `filter`, `command`, or what a dialog asks."""
    label: str
    placeholder: str
    complete: Callable[[str], tuple[str, ...]]
    """Whole texts that the typed one could become, the likeliest first."""
    live: bool = False
    """Whether every change is told, not only the end."""
    says: Callable[[str], str] = lambda _: ""
    """What a text means in plain words, safe to draw; empty where that is not known."""


class _PromptInput(Input):
    """Takes keys one after the other as they were typed, however fast: what comes after the end is no text any more."""

    async def _on_key(self, event: events.Key) -> None:
        line = self.parent
        if not isinstance(line, PromptLine) or (line.display and event.key not in line.ends):
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        if line.display:
            line.ends[event.key]()
        else:
            self.app.post_message(events.Key(event.key, event.character))


class PromptLine(Horizontal):
    """Hidden until it asks; names what the text could become, and what it means where it is whole."""

    class Edited(Message):
        """The text of a live prompt is another one."""

        def __init__(self, prompt: Prompt, text: str) -> None:
            super().__init__()
            self.prompt = prompt
            self.text = text

    class Accepted(Message):
        """The text was accepted."""

        def __init__(self, prompt: Prompt, text: str, took: Callable[[str], None]) -> None:
            super().__init__()
            self.prompt = prompt
            self.text = text
            self.took = took
            """Whoever asked for it."""

    class Left(Message):
        """The prompt was left without a text."""

        def __init__(self, prompt: Prompt) -> None:
            super().__init__()
            self.prompt = prompt

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = _PromptInput(compact=True, select_on_focus=False)
        self._input.cursor_blink = False
        self._input.can_focus = False
        self._prompt: Prompt | None = None
        self._took: Callable[[str], None] = lambda _: None
        self.ends = {"enter": self.accept, "escape": self.leave, "tab": self.complete}
        """What keys do that are no text."""
        self.display = False

    def compose(self) -> ComposeResult:
        """What is asked, the text, and what it could become."""
        yield Lines(id="prompt-label")
        yield self._input
        yield Lines(id="prompt-hint")

    @property
    def text(self) -> str:
        """What is typed."""
        return self._input.value

    def ask(self, prompt: Prompt, text: str, took: Callable[[str], None]) -> None:
        """Show the line and type into it, after the text that is there; `took` is for whoever hears of the end."""
        self._prompt, self._took = prompt, took
        self.display = True
        self.query_one("#prompt-label", Lines).show([(Span(f" {prompt.label} ", Role.KEY),)])
        self._input.placeholder = prompt.placeholder
        self._input.value = printable(text)
        self._input.cursor_position = len(self._input.value)
        self._input.can_focus = True
        # At once: what is typed fast behind the key that asks is part of the text.
        self.screen.set_focus(self._input)
        self._hint()

    def close(self) -> None:
        """Out of sight."""
        self._prompt = None
        self.display = False
        self._input.can_focus = False
        self._input.value = ""
        if self._input.has_focus:
            # A key that comes before the view has the focus again is no text either.
            self.screen.set_focus(None)

    def complain(self, text: str) -> None:
        """Say in place of the hint what is wrong with the text; empty says nothing is."""
        if text:
            self.query_one("#prompt-hint", Lines).show([(Span(text, Role.BAD),)])
        else:
            self._hint()

    def leave(self) -> None:
        """Leave without a text."""
        prompt = self._prompt
        self.close()
        if prompt is not None:
            self.post_message(self.Left(prompt))

    def accept(self) -> None:
        """Take the text."""
        prompt, text = self._prompt, self._input.value
        if prompt is not None:
            self.close()
            self.post_message(self.Accepted(prompt, text, self._took))

    def complete(self) -> None:
        """Take the likeliest continuation, as far as all of them agree when there are several."""
        found = self._continuations()
        if not found:
            return
        text = _common(found) if len(found) > 1 else found[0]
        if len(text) <= len(self._input.value):
            text = found[0]
        self._input.value = text
        self._input.cursor_position = len(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell the screen, and name what could come next."""
        event.stop()
        # What it tells of may be past: more is typed meanwhile, and must stay where it is.
        typed = self._input.value
        if not typed.isprintable():
            # It was pasted, and comes again without what cannot be drawn.
            self._input.value = printable(typed)
            return
        if self._prompt is None:
            return
        self._hint()
        if self._prompt.live:
            self.post_message(self.Edited(self._prompt, typed))

    def on_descendant_blur(self, _: events.DescendantBlur) -> None:
        """A prompt that nobody types into is in the way."""
        if self.display and self.screen.focused is not self._input:
            self.leave()

    def _continuations(self) -> tuple[str, ...]:
        """What it could become; what a node calls something may be nothing that can be typed."""
        found = () if self._prompt is None else self._prompt.complete(self._input.value)
        return tuple(text for text in found if text.isprintable())

    def _hint(self) -> None:
        found = self._continuations()
        words = [text.rsplit(" ", 1)[-1] for text in found[:_SHOWN]]
        more = " …" if len(found) > _SHOWN else ""
        line = self.query_one("#prompt-hint", Lines)
        said = "" if words or self._prompt is None else self._prompt.says(self._input.value)
        # What is typed last is at the end.
        room = max(1, line.size.width - 1)
        line.show(
            [(Span("  ".join(words) + more or (said if len(said) <= room else f"…{said[1 - room :]}"), Role.DIM),)]
        )


def _common(texts: tuple[str, ...]) -> str:
    first, last = min(texts), max(texts)
    at = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:at]
