"""The part of the dashboard that goes through time: back to what is stored, and recordings from within."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from gpualloc.engine.context import Context
from gpualloc.errors import GpuallocError, UsageError
from gpualloc.ports import Playback
from gpualloc.tui.commands import Command
from gpualloc.tui.past import Past, PastArrived, PastFailed, PastLeft
from gpualloc.tui.shell import Shell
from gpualloc.tui.state import State
from gpualloc.tui.text import age_text, plain
from gpualloc.tui.themes import ThemedApp
from gpualloc.tui.timeline import Presses, Timeline
from gpualloc.tui.watcher import Watcher
from gpualloc.tui.when import parse_when
from gpualloc.tui.widgets.prompt_line import Prompt

if TYPE_CHECKING:
    from gpualloc.engine.past_look import Chronicle
    from gpualloc.tui.recording import Tape, TapeMachine

_EXAMPLES = ("-10m", "-2h", "-1d", "yesterday 14:30", "now")


class TravellingApp(ThemedApp):
    """An application whose views can be taken back in time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "step(-1)", "back in time", show=False, tooltip="The stored moment before"),
        Binding("right_square_bracket", "step(1)", "forth in time", show=False, tooltip="The stored moment after"),
        Binding("left_curly_bracket", "shift(-1)", "far back", show=False, tooltip="A minute back; held, further"),
        Binding("right_curly_bracket", "shift(1)", "far forth", show=False, tooltip="A minute forth; held, further"),
        Binding(
            "t",
            "ask_time",
            "time",
            show=False,
            priority=True,
            tooltip="Jump to a time: -2h, 14:30, now",
        ),
        Binding("L", "live", "live", show=False, tooltip="Back to what is now"),
    ]
    shell: Shell
    watcher: Watcher

    def begin_travelling(self) -> None:
        """Make what goes through time; before the first look."""
        ctx = self.shell.ctx
        self._past = Past(partial(_chronicle, ctx), self.post_message, ends=ctx.playback is not None)
        self._timeline = Timeline()
        self._presses = Presses()
        self._note = ""
        self._tapes: TapeMachine | None = None

    def end_travelling(self) -> None:
        """End a recording, and leave the past to itself."""
        self._past.stop()
        if self._tapes is not None and self._tapes.running:
            self._tapes.end()

    @abstractmethod
    def show(self, state: State) -> None:
        """Draw this state from now on."""

    @abstractmethod
    def show_live(self) -> None:
        """Draw what is now."""

    @abstractmethod
    def say(self, text: str, *, wrong: bool = False) -> None:
        """Tell something in the notice line."""

    @abstractmethod
    def ask(self, prompt: Prompt, text: str, took: Callable[[str], None]) -> None:
        """Let a line be typed."""

    @property
    def is_live(self) -> bool:
        """Whether what is now is shown."""
        return self._timeline.live

    @property
    def banners(self) -> tuple[str, ...]:
        """What stands in the header: where in time it is, and that it is recorded."""
        found = []
        if not self._timeline.live:
            words = self._timeline.words(self.shell.source.now_s(), recorded=self._recorded)
            found.append(f"{words}, {self._note}" if self._note else words)
        tape = None if self._tapes is None else self._tapes.tape
        if tape is not None and tape.running:
            found.append(f"REC {age_text(tape.seconds)} {tape.size_bytes / 1e6:.1f} MB")
        return tuple(found)

    # Time.

    def action_step(self, by: int) -> None:
        """The stored moment before or after."""
        if self._is_last(by):
            return
        self._enter()
        self._past.step(by)

    def action_shift(self, by: int) -> None:
        """A minute back or forth; the longer the key is held, the further."""
        if self._is_last(by):
            return
        self._presses = self._presses.pressed(by, self.shell.source.ticks_s())
        self._enter()
        self._past.shift(by * (self._presses.stride.value or 0.0))

    def action_ask_time(self) -> None:
        """Jump to a time."""
        prompt = Prompt(
            "time",
            "time",
            "-2h, 14:30, yesterday 14:30, 2026-11-20 14:30, now",
            lambda text: tuple(one for one in _EXAMPLES if one.startswith(text)),
        )
        self.ask(prompt, "", self._jump)

    @property
    def _recorded(self) -> bool:
        return self.shell.ctx.playback is not None

    def _is_last(self, by: int) -> bool:
        """Whether there is nothing in that direction; tells so."""
        if not self._timeline.live or by < 0:
            return False
        self.say(f"nothing is later: [ goes {'to the end of the recording' if self._recorded else 'back in time'}")
        return True

    def action_live(self) -> None:
        """Back to what is now."""
        # What was asked for and has not come yet is not wanted any more, either.
        self._past.leave()
        if not self._timeline.live:
            self._timeline = self._timeline.to(None)
            self.show_live()

    def _jump(self, text: str) -> None:
        playback = self.shell.ctx.playback
        if playback is not None and text.strip().lower() != "live":
            # Where it ends is read from the file.
            self.shell.desk.ask("time", partial(_recorded_s, playback, text), self._travel, self._mistyped)
            return
        try:
            at_s = parse_when(text, self.shell.source.now_s())
        except UsageError as error:
            self._mistyped(error)
            return
        if at_s is None:
            self.action_live()
        else:
            self._travel(at_s)

    def _travel(self, at_s: float) -> None:
        self._enter()
        self._past.go(at_s)

    def _mistyped(self, error: GpuallocError) -> None:
        self.say(f"{error.message}{'; ' + error.hint if error.hint else ''}", wrong=True)

    def _enter(self) -> None:
        if self._timeline.live:
            self._past.enter(self.watcher.seen())

    def on_past_arrived(self, message: PastArrived) -> None:
        """Draw that moment."""
        place = message.place
        self._timeline = self._timeline.known(place.span).to(place.look.at_s)
        self._note = place.look.note or ""
        self.show(State.of(place.seen, place.moment, live=False))
        if place.beyond:
            self.say(_end_words(place.beyond, recorded=self._recorded))

    def on_past_left(self, message: PastLeft) -> None:
        """It is live again."""
        if message.empty:
            self.say("nothing is stored yet; `gpualloc sample --every 10s` remembers what is seen", wrong=True)
        else:
            self.say("nothing later is stored: this is now")
        self._timeline = self._timeline.to(None)
        self.show_live()

    def on_past_failed(self, message: PastFailed) -> None:
        """Tell why."""
        self.say(message.error.message, wrong=True)

    # Recordings.

    def record(self, name: str) -> None:
        """Begin a recording in a new file, or end the one that runs.

        Raises:
            UsageError: no name, and nothing is being recorded.
        """
        if self._tapes is not None and self._tapes.running:
            self._end_recording(self._tapes)
            return
        if not name:
            raise UsageError("there is no file to record into", hint=":record FILE.rec")
        from gpualloc.tui.recording import TapeMachine
        from gpualloc.wiring.doors import recorder

        path, source = Path(name).expanduser(), self.shell.source
        self._tapes = TapeMachine(recorder, source.specs, source.now_s, every_s=self.shell.every_s)
        self.shell.desk.ask(
            "recording", partial(self._tapes.begin, path), lambda _: self.say(f"recording into {path}"), self._refused
        )

    def _end_recording(self, tapes: TapeMachine) -> None:
        def ended(tape: Tape | None) -> None:
            if tape is not None:
                self.say(f"{tape.ticks} looks recorded in {tape.path}")

        self.shell.desk.ask("recording", tapes.end, ended, self._refused)

    def _refused(self, error: GpuallocError) -> None:
        self.say(plain(error.message), wrong=True)

    def hear(self) -> None:
        """Hand what was seen to the recording."""
        if self._tapes is None:
            return
        if self._tapes.running:
            self._tapes.hear(self.watcher.seen())
            return
        tape = self._tapes.tape
        if tape is not None and tape.why is not None:
            self._tapes = None
            self.say(f"the recording {tape.path} ended: {tape.why}", wrong=True)

    def time_commands(self) -> tuple[Command, ...]:
        """What can be typed behind `:` about time."""
        return (
            Command("time", "jump to a time", self._jump, argument="WHEN", values=lambda: _EXAMPLES),
            Command("live", "back to what is now", lambda _: self.action_live()),
            Command("record", "record into a file, or end it", self.record, argument="[FILE]"),
        )


def _recorded_s(playback: Playback, text: str) -> float:
    """The moment that is typed, in a recording: now is its end."""
    end_s = playback.span()[1]
    at_s = parse_when(text, end_s)
    return end_s if at_s is None else at_s


def _end_words(beyond: int, *, recorded: bool) -> str:
    """What is told whoever would go beyond an end."""
    if recorded:
        return "the recording begins here" if beyond < 0 else "the recording ends here; L plays it on from where it was"
    return "nothing earlier is stored" if beyond < 0 else "nothing later is stored; L is live again"


def _chronicle(ctx: Context) -> Chronicle:
    """The past; what reads it is imported when somebody goes there."""
    from gpualloc.engine.past_look import chronicle

    return chronicle(ctx)
