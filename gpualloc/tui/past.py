"""What the dashboard shows of the past: read in a thread of its own, and only what is still wished for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace
from textual.message import Message

from gpualloc.engine.judging import Judged
from gpualloc.errors import GpuallocError
from gpualloc.model.inventory import Node, NodeState
from gpualloc.tui.messages import Crashed
from gpualloc.tui.rows import Moment
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.tui.timeline import Span, Timeline

if TYPE_CHECKING:
    from gpualloc.engine.past_look import Chronicle, PastLook


class PastPlace(Struct, frozen=True):
    """The fleet at a moment, as views draw it."""

    look: PastLook
    seen: Seen
    moment: Moment
    """The moment is now, so that ages are those of that time."""
    span: Span
    """What is stored by now."""
    beyond: int = 0
    """Whether the wish led further than that: -1 before the oldest moment, 1 after the newest."""


class PastArrived(Message):
    """What was wished for was read."""

    def __init__(self, place: PastPlace) -> None:
        super().__init__()
        self.place = place

    def can_replace(self, message: Message) -> bool:
        """Only the newest is drawn."""
        return isinstance(message, PastArrived)


class PastLeft(Message):
    """A step went beyond the newest moment that is stored, or nothing is stored: it is live again."""

    def __init__(self, *, empty: bool) -> None:
        super().__init__()
        self.empty = empty
        """Whether nothing is stored."""


class PastFailed(Message):
    """The past could not be read."""

    def __init__(self, error: GpuallocError) -> None:
        super().__init__()
        self.error = error


class _Wish(Struct, frozen=True):
    at_s: float | None = None
    """Where it begins; None is where it was last."""
    seconds: float = 0.0
    """From there, earlier when below 0."""
    ticks: int = 0
    """Steps from moment to moment, back below 0."""


class Past:
    """Looks at the past, one look at a time; of what is wished meanwhile, only what it comes to is read.

    The thread is a daemon and is never joined: a disk that does not answer holds up neither keys nor the exit.

    Args:
        chronicle: gives the past; asked in the thread, so that it may open files.
        post: takes a message from any thread.
        ends: whether a step beyond the newest moment stays there, as at the end of a recording; else it leads to live.
    """

    def __init__(
        self, chronicle: Callable[[], Chronicle], post: Callable[[Message], object], *, ends: bool = False
    ) -> None:
        self._make = chronicle
        self._ends = ends
        self._post = post
        self._changed = threading.Condition()
        self._wish: _Wish | None = None
        self._stay = 0
        """Changes when the past is left, so that what is under way is not shown any more."""
        self._today: Sequence[Node] = ()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._place_s: float | None = None

    def enter(self, seen: Seen) -> None:
        """Take what is known of the fleet today: boards, models and sizes; call it when live is left."""
        with self._changed:
            self._today = today_of(seen)

    def go(self, at_s: float) -> None:
        """Look at that moment, epoch seconds."""
        self._ask(lambda _: _Wish(at_s))

    def step(self, ticks: int) -> None:
        """Go so many stored moments on, or back when below 0; from live the first is the newest moment."""
        self._ask(lambda wish: replace(wish, ticks=wish.ticks + ticks))

    def shift(self, seconds: float) -> None:
        """Go so far on, or back when below 0; from live it is counted from the newest moment."""
        self._ask(lambda wish: replace(wish, seconds=wish.seconds + seconds))

    def leave(self) -> None:
        """Forget what was wished for, and where it was."""
        with self._changed:
            self._wish, self._place_s = None, None
            self._stay += 1

    def stop(self) -> None:
        """Begin no further look; does not wait for the one under way."""
        with self._changed:
            self._stopped = True
            self._stay += 1
            self._changed.notify()

    def _ask(self, change: Callable[[_Wish], _Wish]) -> None:
        with self._changed:
            self._wish = change(self._wish or _Wish())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="past", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        try:
            chronicle = self._make()
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or self._wish is not None)
                    if self._stopped or self._wish is None:
                        return
                    wish, self._wish = self._wish, None
                    stay, place_s, today = self._stay, self._place_s, self._today
                self._tell(stay, self._answer(chronicle, wish, place_s, today))
        except Exception as error:  # noqa: BLE001 (outer guard of the thread: handed over, raised again by run_top)
            self._tell(self._stay, Crashed(error))

    def _answer(self, chronicle: Chronicle, wish: _Wish, place_s: float | None, today: Sequence[Node]) -> Message:
        try:
            span = chronicle.span()
            if span is None:
                return PastLeft(empty=True)
            at_s, beyond = _walked(chronicle, wish, place_s, span)
            if beyond > 0 and wish.at_s is None and not self._ends:
                return PastLeft(empty=False)
            return PastArrived(place_of(chronicle.look(at_s, today), span, beyond))
        except GpuallocError as error:
            return PastFailed(error)

    def _tell(self, stay: int, message: Message) -> None:
        with self._changed:
            if stay != self._stay:
                return
            if isinstance(message, PastArrived):
                self._place_s = message.place.look.at_s
            elif isinstance(message, PastLeft):
                self._wish, self._place_s = None, None
        self._post(message)


def _walked(chronicle: Chronicle, wish: _Wish, place_s: float | None, span: Span) -> tuple[float, int]:
    """Where the wish leads, and whether it would lead beyond that: -1 before the oldest moment, 1 after the newest."""
    began_s, ticks = place_s if wish.at_s is None else wish.at_s, wish.ticks
    if began_s is None:
        began_s = span[1]
        # From live the first step back is the newest moment.
        ticks += 1 if ticks < 0 and not wish.seconds else 0
    reached_s = Timeline(span).to(began_s).by(wish.seconds).at_s
    at_s = span[1] if reached_s is None else reached_s
    wanted_s = began_s + wish.seconds
    beyond = (wanted_s > span[1]) - (wanted_s < span[0])
    for _ in range(0 if wish.seconds else abs(ticks)):
        before_s, after_s = chronicle.neighbours(at_s)
        next_s = after_s if ticks > 0 else before_s
        beyond = 0 if next_s is not None else 1 if ticks > 0 else -1
        at_s = at_s if next_s is None else next_s
    return at_s, beyond


def today_of(seen: Seen) -> tuple[Node, ...]:
    """The nodes as they were last seen; those that do not answer with the devices that they had."""
    return tuple(
        one.node if one.node.devices else replace(one.node, devices=one.devices)
        for one in seen.nodes
        if one.node is not None
    )


def place_of(look: PastLook, span: Span, beyond: int = 0) -> PastPlace:
    """A look at the past as views draw it."""
    nodes = tuple(
        SeenNode(
            spec=node.spec,
            node=node,
            heard_s=node.at_s if node.state is NodeState.OK else None,
            devices=node.devices,
            processes=node.processes,
        )
        for node in look.nodes
    )
    seen = Seen(nodes, workloads=look.workloads, looks=1, judged=Judged(look.conditions, look.events))
    return PastPlace(look, seen, Moment(look.at_s, look.at_s, look.period_s), span, beyond)
