"""What was measured and foretold over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpualloc.model.forecast import Grid
    from gpualloc.model.foresight import KeptForecast, Steps, Subject
    from gpualloc.model.sample import Digest, KeptSamples, Level, Metric, Rollup, Sample, Series, SeriesKind


class History(Protocol):
    """Samples over time."""

    def append(self, samples: Sequence[Sample]) -> int:
        """Store one tick; a second write of the same tick replaces it. Returns rows written."""
        ...

    def read(
        self,
        metric: Metric,
        since_s: float,
        until_s: float,
        *,
        kind: SeriesKind | None = None,
        node: str | None = None,
        key: str | None = None,
    ) -> Iterator[Series]:
        """Series of one metric in the window, those with no row in it left out."""
        ...

    def rollups(
        self,
        metric: Metric,
        level: Level,
        since_s: float,
        until_s: float,
        *,
        kind: SeriesKind | None = None,
        node: str | None = None,
        key: str | None = None,
    ) -> Iterator[Rollup]:
        """Steps of a minute or an hour that begin in the window, by node, kind and key; as `read` leaves out."""
        ...

    def digests(
        self, kind: SeriesKind, metrics: Sequence[Metric], start_s: int, step_s: int, ticks: int
    ) -> Iterator[Digest]:
        """Series of one kind on a grid of ticks, by node and key, those with no row in it left out."""

    def grid(
        self, metric: Metric, kind: SeriesKind, steps: Steps, nodes: Sequence[str] | None = None, key: str | None = None
    ) -> Grid:
        """Means over steps, of these nodes, and of this device, instance or workload; a tick is the end of a step."""
        ...

    def span(self) -> tuple[int, int] | None:
        """Epoch seconds of the oldest and the newest sample of anything; None when there is none."""
        ...

    def moment(self, at_s: float, reach_s: float) -> KeptSamples:
        """Of each series the newest sample at that moment, none older than `reach_s` seconds.

        Where samples are no longer kept it is the newest step of the finest rollup that is.
        """
        ...

    def neighbours(self, at_s: float) -> tuple[int | None, int | None]:
        """The moments nearest to that one, before and after it, of which anything is kept; None where there is none."""
        ...

    def workloads_seen(self) -> Mapping[str, float]:
        """Epoch seconds of the newest sample of each workload, by id."""
        ...

    def keep(self, forecasts: Sequence[KeptForecast]) -> int:
        """Store forecasts to be scored later; one of the same series, moment and horizon is replaced. Returns rows."""
        ...

    def kept(self, what: str | None = None) -> tuple[KeptForecast, ...]:
        """Forecasts that are kept, of one metric or of all, by subject, series, moment and horizon."""
        ...

    def last_kept(self, subject: Subject, since_s: float) -> Mapping[tuple[str, int], int]:
        """When a forecast was last kept, if since then, by series of the subject and horizon in seconds."""
        ...

    def prune(
        self, before_s: float, *, minutes_before_s: float | None = None, hours_before_s: float | None = None
    ) -> int:
        """Delete samples older than that, and forecasts made before; returns samples deleted.

        Rollups by minutes and by hours go where they are older than their own time, never before the samples; None:
        with the samples.
        """
        ...

    def close(self) -> None:
        """Close the database."""
        ...
