"""How alerts stand, and the way in which they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from gpualloc.model.alert import Alert, AlertKey, Delivered, Notice, Silence, Transition


class AlertChanges(Struct, frozen=True):
    """What a look changed; an alert is in one of the two at most."""

    alerts: Sequence[Alert] = ()
    """New ones, and those that are not as before."""
    gone: Sequence[AlertKey] = ()
    transitions: Sequence[Transition] = ()
    notices: Sequence[Notice] = ()
    """What is to be delivered of the transitions."""


class Standing(Struct, frozen=True):
    """All alerts as they were left by the last look."""

    looked_s: float | None = None
    """Epoch seconds of that look; None when there was none."""
    alerts: Mapping[AlertKey, Alert] = field(default_factory=dict)

    def after(self, now_s: float, changes: AlertChanges) -> Standing:
        """As it is once a look has changed something."""
        alerts = {**self.alerts, **{alert.key: alert for alert in changes.alerts}}
        for key in changes.gone:
            alerts.pop(key, None)
        return Standing(now_s, alerts)


class Alerts(Protocol):
    """Alerts, their past, silences, and the outbox."""

    def standing(self) -> Standing:
        """All alerts that are pending or firing."""
        ...

    def keep(self, before: Standing, now_s: float, changes: AlertChanges) -> bool:
        """Keep what a look changed, all of it or nothing.

        Returns:
            False when another process looked since `before` was read; nothing is kept then.

        Raises:
            StateError: it cannot be written; it is remembered, and written with the next look.
        """
        ...

    def transitions(
        self, since_s: float, *, rule: str | None = None, node: str | None = None
    ) -> tuple[Transition, ...]:
        """What was told or kept silent since then, oldest first, without reminders."""
        ...

    def silences(self, now_s: float) -> tuple[Silence, ...]:
        """Those that are in force, the one that ends first in front."""
        ...

    def silence(self, silence: Silence) -> Silence:
        """Keep a silence; returns it with its id."""
        ...

    def unsilence(self, ids: Sequence[int]) -> None:
        """End silences."""
        ...

    def waiting(self, since_s: float) -> tuple[Notice, ...]:
        """Notices made since then that have not arrived, oldest first."""
        ...

    def ended(self, delivered: Sequence[Delivered]) -> None:
        """Take notices out of the outbox."""
        ...


class Messenger(Protocol):
    """Delivers notices beside everything else."""

    def begin(self, notices: Sequence[Notice]) -> None:
        """Deliver them as soon as may be; returns at once."""
        ...

    def ended(self) -> tuple[Delivered, ...]:
        """Deliveries that came to an end since the last call."""
        ...

    def rest(self, wait_s: float) -> bool:
        """Wait until nothing is left that was not tried, at most so long; False when the time was over."""
        ...

    def attempt(self, notice: Notice) -> Delivered:
        """Deliver a notice now, in a single try."""
        ...
