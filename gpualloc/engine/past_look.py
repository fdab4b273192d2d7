"""The fleet as it was at a moment: out of the history, or out of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.engine.past_conditions import PastConditions
from gpualloc.engine.past_nodes import Then, Today, nodes_of
from gpualloc.engine.past_work import claims_of, places_of, work_at
from gpualloc.engine.settle import SHOWN_AFTER_END_S
from gpualloc.model.health import Condition, Event, Heard
from gpualloc.model.inventory import Node
from gpualloc.model.sample import Level, Sample, SeriesKind
from gpualloc.model.workload import Workload
from gpualloc.ports import Playback

REACH_PERIODS = 2.0
"""A node of which nothing was sampled for so many periods was not seen at that moment."""
EVENTS_S = 86_400.0
"""Of so much time before the moment events are told."""
_LONGEST_PERIOD_S = 3600.0
_JUDGED_AFTER = 1.5
"""A tick is judged when it is over, so many of its lengths after its beginning at the latest."""
_MEANS = {Level.MINUTE: "means of a minute: the samples are no longer kept", Level.HOUR: "means of an hour"}


class PastLook(Struct, frozen=True):
    """The fleet as it was at a moment."""

    at_s: float
    """The moment, epoch seconds."""
    sampled_s: float | None
    """When anything was sampled last before it; None when nothing ever was."""
    period_s: float
    """How far apart samples were then."""
    nodes: tuple[Node, ...]
    """Sorted by name. `Node.at_s` is when it was sampled, `Node.limited` says what is not kept of it."""
    workloads: tuple[Workload, ...] = ()
    conditions: tuple[Condition, ...] = ()
    events: tuple[Event, ...] = ()
    """Of the day before, oldest first."""
    note: str | None = None
    """What holds of all readings, as that they are means; None when they are as they were taken."""


class Chronicle(Protocol):
    """A past that can be looked at. Blocking; not to be asked by several threads at a time."""

    def span(self) -> tuple[float, float] | None:
        """Epoch seconds of the oldest and the newest moment; None when there is none."""
        ...

    def neighbours(self, at_s: float) -> tuple[float | None, float | None]:
        """The nearest moments before and after that one of which anything is known; None where there is none."""
        ...

    def look(self, at_s: float, today: Sequence[Node]) -> PastLook:
        """The fleet as it was then; `today` are the nodes as they were last seen, of which that is taken that stays."""
        ...


def chronicle(ctx: Context) -> Chronicle:
    """The past of this world: that of its recording when it is one, else its history."""
    return HistoryChronicle(ctx) if ctx.playback is None else PlaybackChronicle(ctx.playback)


class HistoryChronicle:
    """A `Chronicle` of what is stored; its methods raise StateError where that cannot be read.

    Args:
        ctx: the ports.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._today: Today | None = None
        self._made_of: Sequence[Node] = ()
        self._heard: dict[str, Heard] | None = None
        self._conditions = PastConditions()
        self._mark: int | None = None
        self._work: tuple[Workload, ...] = ()
        self._work_of: tuple[int, float] | None = None
        """The version of the journal that it was read from, and since when work in it ended."""

    def span(self) -> tuple[float, float] | None:
        """As `Chronicle.span`."""
        return self._ctx.history.span()

    def neighbours(self, at_s: float) -> tuple[float | None, float | None]:
        """As `Chronicle.neighbours`."""
        return self._ctx.history.neighbours(at_s)

    def look(self, at_s: float, today: Sequence[Node]) -> PastLook:
        """As `Chronicle.look`.

        The state of work is told as far as its dates and its samples tell it: that it was suspended is not.
        """
        sampled_s, period_s = self._period(at_s)
        kept = self._ctx.history.moment(at_s, REACH_PERIODS * period_s)
        work = self._work_since(at_s - SHOWN_AFTER_END_S)
        then = work_at(work, _seen_on(kept.samples), at_s)
        conditions = self._conditions_at(self._judged_s(at_s, sampled_s))
        beside = Then(
            {(one.node, one.device, one.trouble): one for one in conditions},
            claims_of(then, self._ctx.journal.controller),
            places_of(work),
        )
        return PastLook(
            at_s=at_s,
            sampled_s=sampled_s,
            period_s=max(period_s, float(kept.level.step_s)),
            nodes=nodes_of(kept.samples, at_s, self._known(today), beside),
            workloads=then,
            conditions=conditions,
            events=self._ctx.events.events(at_s - EVENTS_S, at_s),
            note=_MEANS.get(kept.level),
        )

    def _period(self, at_s: float) -> tuple[float | None, float]:
        """When anything was sampled last at that moment, and how far apart samples were about then."""
        sampled_s, _ = self._ctx.history.neighbours(int(at_s) + 1)
        if sampled_s is None:
            return None, self._ctx.settings.sample_every_s
        before, after = self._ctx.history.neighbours(sampled_s)
        # The shorter side: there may be a long gap on the other one.
        apart = [abs(sampled_s - other) for other in (before, after) if other is not None]
        return sampled_s, min(max(min(apart, default=0.0), self._ctx.settings.sample_every_s), _LONGEST_PERIOD_S)

    def _judged_s(self, at_s: float, sampled_s: float | None) -> float:
        """When was judged what was seen at that moment: at the end of its tick, and before that of the next one."""
        grid_s = self._ctx.settings.sample_every_s
        if sampled_s is None or at_s >= sampled_s + grid_s:
            return at_s
        return sampled_s + _JUDGED_AFTER * grid_s

    def _work_since(self, ended_since_s: float) -> tuple[Workload, ...]:
        """Work as it is known today, but for what ended before then."""
        version = self._ctx.journal.data_version()
        if self._work_of is None or self._work_of[0] != version or self._work_of[1] > ended_since_s:
            # More than is asked for, so that the next steps back need not read again.
            since_s = ended_since_s - SHOWN_AFTER_END_S
            self._work = self._ctx.journal.workloads(ended_since_s=since_s)
            self._work_of = version, since_s
        return tuple(one for one in self._work if one.ended_at_s is None or one.ended_at_s >= ended_since_s)

    def _conditions_at(self, at_s: float) -> tuple[Condition, ...]:
        if self._mark is None:
            self._mark = self._ctx.events.mark()
            self._conditions.take(self._ctx.events.events(0.0))
        else:
            new, self._mark = self._ctx.events.kept_after(self._mark)
            self._conditions.take(new)
        return self._conditions.at(at_s, self._ctx.events.conditions())

    def _known(self, today: Sequence[Node]) -> Today:
        if self._heard is None:
            self._heard = self._ctx.events.heard()
        if self._today is None or today is not self._made_of:
            self._made_of = today
            self._today = Today(self._ctx.fleet.specs(), today, self._heard)
        return self._today


class PlaybackChronicle:
    """A `Chronicle` of a recording; its methods raise BrokenInputError where that is damaged.

    Args:
        playback: the recording.
    """

    def __init__(self, playback: Playback) -> None:
        self._playback = playback

    def span(self) -> tuple[float, float] | None:
        """As `Chronicle.span`."""
        return self._playback.span()

    def neighbours(self, at_s: float) -> tuple[float | None, float | None]:
        """As `Chronicle.neighbours`."""
        return self._playback.neighbours(at_s)

    def look(self, at_s: float, today: Sequence[Node]) -> PastLook:  # noqa: ARG002  a recording has all that it tells
        """As `Chronicle.look`; work, conditions and events are not in a recording."""
        sampled_s, _ = self._playback.neighbours(at_s + _A_MOMENT_S)
        return PastLook(at_s, sampled_s, self._playback.every_s, self._playback.nodes_at(at_s))


_A_MOMENT_S = 1e-3
"""Shorter than any time between two ticks."""


def _seen_on(samples: Sequence[Sample]) -> dict[str, list[str]]:
    seen: dict[str, list[str]] = {}
    for sample in samples:
        if sample.series.kind is SeriesKind.WORKLOAD:
            seen.setdefault(sample.series.key, []).append(sample.series.node)
    return seen
