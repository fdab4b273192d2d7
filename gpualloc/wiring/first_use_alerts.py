"""Alerts and their channels, opened when they are first asked for: most commands use neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpualloc.config.settings import Config
from gpualloc.store.paths import StatePaths

if TYPE_CHECKING:
    from gpualloc.adapters.alert_channels import ChannelMessenger
    from gpualloc.model.alert import Delivered, Notice, Silence, Transition
    from gpualloc.ports import AlertChanges, Standing
    from gpualloc.store.alerts import SqliteAlerts


class AlertsAtFirstUse:
    """`ports.Alerts` that opens history.db when it is first asked."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._opened: SqliteAlerts | None = None

    def standing(self) -> Standing:
        """As `Alerts.standing`."""
        return self._alerts().standing()

    def keep(self, before: Standing, now_s: float, changes: AlertChanges) -> bool:
        """As `Alerts.keep`."""
        return self._alerts().keep(before, now_s, changes)

    def transitions(
        self, since_s: float, *, rule: str | None = None, node: str | None = None
    ) -> tuple[Transition, ...]:
        """As `Alerts.transitions`."""
        return self._alerts().transitions(since_s, rule=rule, node=node)

    def silences(self, now_s: float) -> tuple[Silence, ...]:
        """As `Alerts.silences`."""
        return self._alerts().silences(now_s)

    def silence(self, silence: Silence) -> Silence:
        """As `Alerts.silence`."""
        return self._alerts().silence(silence)

    def unsilence(self, ids: Sequence[int]) -> None:
        """As `Alerts.unsilence`."""
        self._alerts().unsilence(ids)

    def waiting(self, since_s: float) -> tuple[Notice, ...]:
        """As `Alerts.waiting`."""
        return self._alerts().waiting(since_s)

    def ended(self, delivered: Sequence[Delivered]) -> None:
        """As `Alerts.ended`."""
        self._alerts().ended(delivered)

    def close(self) -> None:
        """Close the database if it was opened."""
        if self._opened is not None:
            self._opened.close()

    def _alerts(self) -> SqliteAlerts:
        if self._opened is None:
            from gpualloc.store.alerts import SqliteAlerts

            self._opened = SqliteAlerts(self._paths)
        return self._opened


class MessengerAtFirstUse:
    """`ports.Messenger` that learns to reach channels when there is something to tell."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._made: ChannelMessenger | None = None

    def begin(self, notices: Sequence[Notice]) -> None:
        """As `Messenger.begin`."""
        if notices:
            self._messenger().begin(notices)

    def ended(self) -> tuple[Delivered, ...]:
        """As `Messenger.ended`."""
        return () if self._made is None else self._made.ended()

    def rest(self, wait_s: float) -> bool:
        """As `Messenger.rest`."""
        return True if self._made is None else self._made.rest(wait_s)

    def attempt(self, notice: Notice) -> Delivered:
        """As `Messenger.attempt`."""
        return self._messenger().attempt(notice)

    def close(self) -> None:
        """Let go of the channels."""
        if self._made is not None:
            self._made.close()

    def _messenger(self) -> ChannelMessenger:
        if self._made is None:
            from gpualloc.adapters.alert_channels import ChannelMessenger

            self._made = ChannelMessenger(self._config.alerts.channels)
        return self._made
