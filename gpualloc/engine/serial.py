"""What stands in the ports where nothing else is given: one piece of work at a time, nothing foretold or kept."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Callable, Collection, Sequence

from gpualloc.model.alert import Delivered, Notice, Silence, Transition
from gpualloc.model.forecast import QUANTILES, Forecasts, Grid
from gpualloc.model.health import Condition, Event, Heard, Looked, Severity
from gpualloc.model.scaling import ScaleAnswer, ScaleOrder
from gpualloc.ports import AlertChanges, HookEvent, HookOutcome, Standing


class OneAtATime:
    """`ports.Crew` that does each piece of work as it is begun."""

    def __init__(self) -> None:
        self._told: deque[object] = deque()

    def __enter__(self) -> OneAtATime:
        """Itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing is ever under way."""

    def begin(self, work: Callable[[Callable[[object], None]], None]) -> None:
        """Do it now, to its end; raises what it raises."""
        work(self._told.append)

    def hear(self) -> object:
        """What was told next; raises IndexError when nothing is left."""
        return self._told.popleft()


class NoHooks:
    """`ports.Hooks` without any program."""

    def run(self, name: str, event: HookEvent) -> HookOutcome | None:  # noqa: ARG002  the port's signature
        """None."""
        return None


class NoScaleHook:
    """`ports.ScaleHook` where no program is ever run."""

    def run(self, command: Sequence[str], timeout_s: float, order: ScaleOrder) -> ScaleAnswer:  # noqa: ARG002  the port's signature
        """Nothing is added or taken away."""
        return ScaleAnswer((), "no program can be run here")


class NoEvents:
    """`ports.Events` that keeps nothing."""

    def note(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """All of them: none was known."""
        return tuple(events)

    def events(
        self,
        since_s: float,  # noqa: ARG002  the port's signature, as below
        until_s: float | None = None,  # noqa: ARG002
        *,
        node: str | None = None,  # noqa: ARG002
        device: str | None = None,  # noqa: ARG002
        least: Severity = Severity.INFO,  # noqa: ARG002
    ) -> tuple[Event, ...]:
        """None."""
        return ()

    def keep(self, looked: Looked) -> tuple[Event, ...]:
        """All of its events: none was known."""
        return looked.events

    def mark(self) -> int:
        """The beginning."""
        return 0

    def kept_after(self, mark: int) -> tuple[tuple[Event, ...], int]:
        """None."""
        return (), mark

    def conditions(
        self,
        nodes: Collection[str] | None = None,  # noqa: ARG002
        *,
        suspected: bool = False,  # noqa: ARG002
    ) -> tuple[Condition, ...]:
        """None."""
        return ()

    def heard(self, nodes: Collection[str] | None = None) -> dict[str, Heard]:  # noqa: ARG002
        """Nothing."""
        return {}

    def devices_seen(self, node: str | None = None) -> dict[str, dict[str, float]]:  # noqa: ARG002
        """None."""
        return {}

    def forget(self, node: str, part: str) -> bool:  # noqa: ARG002
        """It was not expected."""
        return False


class NoAlerts:
    """`ports.Alerts` that keeps nothing."""

    def standing(self) -> Standing:
        """There are none."""
        return Standing()

    def keep(self, before: Standing, now_s: float, changes: AlertChanges) -> bool:  # noqa: ARG002  the port's signature, as below
        """They are forgotten."""
        return True

    def transitions(
        self,
        since_s: float,  # noqa: ARG002
        *,
        rule: str | None = None,  # noqa: ARG002
        node: str | None = None,  # noqa: ARG002
    ) -> tuple[Transition, ...]:
        """None."""
        return ()

    def silences(self, now_s: float) -> tuple[Silence, ...]:  # noqa: ARG002
        """None."""
        return ()

    def silence(self, silence: Silence) -> Silence:
        """It is forgotten."""
        return silence

    def unsilence(self, ids: Sequence[int]) -> None:
        """There are none."""

    def waiting(self, since_s: float) -> tuple[Notice, ...]:  # noqa: ARG002
        """Nothing."""
        return ()

    def ended(self, delivered: Sequence[Delivered]) -> None:
        """It is forgotten."""


class NoMessenger:
    """`ports.Messenger` without any channel."""

    def begin(self, notices: Sequence[Notice]) -> None:
        """Nobody is told."""

    def ended(self) -> tuple[Delivered, ...]:
        """None."""
        return ()

    def rest(self, wait_s: float) -> bool:  # noqa: ARG002  the port's signature
        """Nothing is ever under way."""
        return True

    def attempt(self, notice: Notice) -> Delivered:
        """It does not arrive."""
        return Delivered(notice, "no channel can be used here")


class NoForecaster:
    """`ports.Forecaster` that can tell nothing of any series."""

    name = "none"
    version = "1"

    def forecast(self, grid: Grid, horizons: Sequence[int]) -> Forecasts:
        """Unknown everywhere."""
        values = array("d", [math.nan]) * (len(grid.names) * len(horizons) * len(QUANTILES))
        return Forecasts(tuple(horizons), values, (("",) * len(horizons),) * len(grid.names))
