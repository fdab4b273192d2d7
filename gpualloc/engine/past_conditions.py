"""What was wrong at a moment, out of the events that tell when it began and ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from gpualloc.model.health import Condition, Event, Severity, Trouble

_MOMENTARY = frozenset({Trouble.XID, Trouble.SXID, Trouble.DRIVER_MESSAGE, Trouble.RESTARTED})
_Key = tuple[str, str, str]


class _Span(Struct, frozen=True):
    """A condition from when it began, or grew worse, to when it was over, or grew worse again."""

    since_s: float
    until_s: float
    condition: Condition


class PastConditions:
    """When conditions held; takes events as they come to be known.

    One that began before events are kept is only known while it still holds.
    """

    def __init__(self) -> None:
        self._open: dict[_Key, list[Event]] = {}
        self._over: list[_Span] = []

    def take(self, events: Iterable[Event]) -> None:
        """Take in events, oldest first."""
        for event in events:
            if not _of_condition(event):
                continue
            key = (event.node, event.device or "", event.trouble.value)
            if event.over:
                self._over += _spans(self._open.pop(key, []), event.at_s)
            else:
                self._open.setdefault(key, []).append(event)

    def at(self, at_s: float, current: Iterable[Condition]) -> tuple[Condition, ...]:
        """What was wrong then, by node, device and trouble.

        Args:
            at_s: the moment, epoch seconds.
            current: the conditions that hold today.
        """
        found = {span.condition.key: span.condition for span in self._over if span.since_s <= at_s < span.until_s}
        for condition in current:
            spans = _spans(self._open.get(condition.key, []), float("inf"))
            held = next((span.condition for span in spans if span.since_s <= at_s < span.until_s), None)
            if held is not None:
                found[condition.key] = held
            elif condition.since_s <= at_s and condition.key not in self._open:
                found[condition.key] = condition
        return tuple(found[key] for key in sorted(found))


def _of_condition(event: Event) -> bool:
    """Whether it tells of something that goes on, and not of what happened once: a driver that was updated did."""
    once = event.trouble is Trouble.DRIVER and event.severity is Severity.INFO
    return event.trouble not in _MOMENTARY and not once


def _spans(told: list[Event], until_s: float) -> Iterator[_Span]:
    """From when it was told to have begun, and then to be worse, to the end; none when its beginning is not known."""
    for event, next_s in zip(told, [*(event.at_s for event in told[1:]), until_s], strict=False):
        condition = Condition(
            event.trouble, event.severity, event.node, event.device, event.what, event.advice, told[0].at_s
        )
        yield _Span(event.at_s, next_s, condition)
