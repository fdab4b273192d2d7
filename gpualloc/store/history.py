"""history.db behind the port: ticks as they come, packed by the quarter of an hour, rolled by minute and hour."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from gpualloc.errors import NotFoundError
from gpualloc.model.forecast import Grid
from gpualloc.model.foresight import KeptForecast, Steps, Subject
from gpualloc.model.sample import (
    METRICS,
    Digest,
    KeptSamples,
    Level,
    Metric,
    Rollup,
    Sample,
    Series,
    SeriesKey,
    SeriesKind,
)
from gpualloc.store import history_upkeep, past_forecasts
from gpualloc.store.database import Database, Schema
from gpualloc.store.history_series import Block, Register, Roster, blocks, metric_id, newest, order_of
from gpualloc.store.history_ticks import tick_rows
from gpualloc.store.history_times import horizon
from gpualloc.store.paths import StatePaths

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils.migrations import Migrations

    from gpualloc.store.history_pieces import Piece
    from gpualloc.store.history_reading import Seen

_T = TypeVar("_T")


def _migrations() -> Migrations:
    from gpualloc.store.history_migrations import migrations

    return migrations


SCHEMA = Schema(
    version=5,
    migrations=_migrations,
    synchronous="NORMAL",
    remedy="it holds only samples and past forecasts: delete it (and its -wal and -shm) to begin anew",
    shrinks=True,
)

_INSERT = "INSERT INTO tick (block, at_s, data) VALUES (?, ?, ?)"
_SPAN = (
    "SELECT (SELECT min(oldest_s) FROM series), (SELECT min(at_s) FROM tick), "
    "(SELECT max(newest_s) FROM series), (SELECT max(at_s) FROM tick)"
)


class SqliteHistory:
    """`ports.History` over history.db; its methods may be called from any thread.

    Args:
        paths: where the state lies. Where it cannot be written, what exists is read, and nothing reads as empty.

    Raises:
        NewerStateError: a newer gpualloc wrote the file.
        StateError: the file is damaged or may not be read.
    """

    def __init__(self, paths: StatePaths) -> None:
        self._database = Database(paths.history_db, SCHEMA)
        self._appending = threading.Lock()
        self._register = Register()
        self._roster = Roster()

    def append(self, samples: Sequence[Sample]) -> int:
        """Store one tick in one transaction; a second write of the same series and tick replaces all that is known.

        A value that is absent, None, not finite or beyond 64 bits is stored as unknown. What is older than samples
        are kept is not stored. After it, a share of what waits to be packed is packed.

        Returns:
            Samples stored.

        Raises:
            KeyError: a sample has a value for something that is not in `model.sample.METRICS`.
            StateError: the disk is full or the place cannot be written; nothing of the tick is stored then.
        """
        with self._appending:
            with self._database.transaction() as connection:
                register = self._register.current(connection)
                kept_s = horizon(connection, Level.RAW)
                kept = [sample for sample in samples if sample.at_s >= kept_s]
                metrics = register.metrics(connection)
                rows = tick_rows(kept, lambda sample: register.place(connection, sample.series), metrics)
                connection.executemany(_INSERT, rows)
                register.settle(connection)
            # Only now: had the transaction failed, the new places would not exist.
            self._register = register
        if kept:
            history_upkeep.keep_up(self._database, max(sample.at_s for sample in kept))
        return len(kept)

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
        """Series of one metric in the window, both ends included, sorted by node, kind and key.

        Series without any sample in the window, and kinds that never have this metric, are left out.

        Raises:
            NotFoundError: the metric is not one that is kept.
        """
        _check_kept(metric)

        def load(connection: sqlite3.Connection, block: int) -> tuple[int, Piece]:
            from gpualloc.store.history_reading import read_piece

            number = metric_id(connection, metric.name)
            return number, read_piece(connection, block, [number], since_s, until_s)

        for its_key, slot, (number, piece) in self._in_order(self._blocks(_kinds(metric, kind), node, key), load):
            points = piece.points(number, slot, metric.scale)
            if points:
                yield Series(its_key, metric, points)

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
        """As `ports.History.rollups`.

        Raises:
            NotFoundError: the metric is not one that is kept.
            ValueError: the level has no steps.
        """
        from gpualloc.store.history_grid import rollup_of, sampled
        from gpualloc.store.history_reading import read_level

        _check_kept(metric)
        if level is Level.RAW:
            raise ValueError("samples as they were taken have no steps")
        first, after = (int(-(-at_s // level.step_s)) for at_s in (since_s, until_s))
        steps = Steps(first * level.step_s, level.step_s, max(after - first, 0))
        if not steps.count:
            return

        def load(connection: sqlite3.Connection, block: int) -> Seen:
            number = metric_id(connection, metric.name)
            return read_level(connection, block, [number], level, steps, extremes=True)[number]

        for its_key, slot, seen in self._in_order(self._blocks(_kinds(metric, kind), node, key), load):
            if sampled(seen, slot):
                yield rollup_of(its_key, slot, metric, seen, steps)

    def digests(
        self, kind: SeriesKind, metrics: Sequence[Metric], start_s: int, step_s: int, ticks: int
    ) -> Iterator[Digest]:
        """Series of one kind, gathered by ticks of an even grid, sorted by node and key.

        Series without any sample on the grid are left out; each is read when it is asked for.

        Args:
            kind: which series.
            metrics: what is wanted of them.
            start_s: epoch seconds at which the first tick begins.
            step_s: seconds of a tick, 1 or more.
            ticks: how many.
        """
        from gpualloc.store.history_grid import digest_of, sampled

        steps = Steps(start_s, step_s, ticks)
        if not ticks or not metrics:
            return
        for key, slot, found in self._in_order(self._blocks([kind]), self._steps_of(metrics, steps)):
            if sampled(found[0][1], slot):
                yield digest_of(key, slot, found, steps)

    def grid(
        self, metric: Metric, kind: SeriesKind, steps: Steps, nodes: Sequence[str] | None = None, key: str | None = None
    ) -> Grid:
        """As `ports.History.grid`; series are sorted by node and key, and called `node/key`.

        Raises:
            NotFoundError: the metric is not one that is kept.
        """
        from gpualloc.store.history_grid import Means, grid_of
        from gpualloc.store.history_reading import read_steps

        _check_kept(metric)

        def load(connection: sqlite3.Connection, block: int) -> Means:
            number = metric_id(connection, metric.name)
            return Means.of(read_steps(connection, block, [number], steps)[number], metric)

        wanted = self._blocks([kind], None, key) if steps.count else []
        if nodes is not None:
            wanted = [block.only(frozenset(nodes)) for block in wanted]
        rows = [
            (its_key, found.values[slot])
            for its_key, slot, found in self._in_order(wanted, load)
            if slot < len(found.sampled) and found.sampled[slot]
        ]
        return grid_of(rows, steps)

    def span(self) -> tuple[int, int] | None:
        """Epoch seconds of the oldest and the newest sample of anything; None when there is none."""
        with self._database.snapshot() as connection:
            times = [at_s for row in connection.execute(_SPAN) for at_s in row if at_s is not None]
        return (min(times), max(times)) if times else None

    def moment(self, at_s: float, reach_s: float) -> KeptSamples:
        """As `ports.History.moment`; a block of series at a time, so that others get their turn in between."""
        from gpualloc.store.history_moment import level_of
        from gpualloc.store.history_newest import newest_samples

        with self._database.snapshot() as connection:
            level, wanted = level_of(connection, at_s), self._roster.blocks(connection)
        samples: list[Sample] = []
        for block in wanted:
            with self._database.snapshot() as connection:
                samples += newest_samples(connection, block, level, at_s, reach_s)
        return KeptSamples(level, tuple(samples))

    def neighbours(self, at_s: float) -> tuple[int | None, int | None]:
        """As `ports.History.neighbours`."""
        from gpualloc.store.history_moment import neighbours

        with self._database.snapshot() as connection:
            return neighbours(connection, at_s)

    def workloads_seen(self) -> Mapping[str, float]:
        """Epoch seconds of the newest sample of each workload, by id; of a gang that of its member seen last."""
        seen: dict[str, float] = {}
        with self._database.snapshot() as connection:
            for series, at_s in newest(connection, SeriesKind.WORKLOAD):
                seen[series.key] = max(seen.get(series.key, at_s), at_s)
        return seen

    def keep(self, forecasts: Sequence[KeptForecast]) -> int:
        """As `ports.History.keep`, in one transaction.

        Raises:
            StateError: the disk is full or the place cannot be written.
        """
        with self._database.transaction() as connection:
            past_forecasts.put(connection, forecasts)
        return len(forecasts)

    def kept(self, what: str | None = None) -> tuple[KeptForecast, ...]:
        """As `ports.History.kept`."""
        return past_forecasts.select(self._database, what)

    def last_kept(self, subject: Subject, since_s: float) -> Mapping[tuple[str, int], int]:
        """As `ports.History.last_kept`."""
        return past_forecasts.last_made(self._database, subject, since_s)

    def prune(
        self, before_s: float, *, minutes_before_s: float | None = None, hours_before_s: float | None = None
    ) -> int:
        """As `ports.History.prune`; series of which nothing is left are forgotten. Forecasts go with the minutes."""
        samples_s = math.ceil(before_s)
        minutes_s = min(samples_s, math.ceil(before_s if minutes_before_s is None else minutes_before_s))
        hours_s = min(minutes_s, math.ceil(before_s if hours_before_s is None else hours_before_s))
        bounds = {Level.RAW: samples_s, Level.MINUTE: minutes_s, Level.HOUR: hours_s}
        with self._appending:
            return history_upkeep.prune(self._database, bounds, minutes_s)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _blocks(self, kinds: Sequence[SeriesKind], node: str | None = None, key: str | None = None) -> list[Block]:
        with self._database.snapshot() as connection:
            return blocks(connection, kinds, node, key)

    def _steps_of(
        self, metrics: Sequence[Metric], steps: Steps
    ) -> Callable[[sqlite3.Connection, int], list[tuple[Metric, Seen]]]:
        from gpualloc.store.history_reading import read_steps

        def load(connection: sqlite3.Connection, block: int) -> list[tuple[Metric, Seen]]:
            numbers = [metric_id(connection, metric.name) for metric in metrics]
            found = read_steps(connection, block, numbers, steps, extremes=True)
            return [(metric, found[number]) for metric, number in zip(metrics, numbers, strict=True)]

        return load

    def _in_order(
        self, found: Sequence[Block], load: Callable[[sqlite3.Connection, int], _T]
    ) -> Iterator[tuple[SeriesKey, int, _T]]:
        """The series with their slots and what was loaded of their blocks: each once, and only while it is needed."""
        wanted = sorted((order_of(key), slot, key, block.id) for block in found for slot, key in block.series)
        left = Counter(block for *_, block in wanted)
        loaded: dict[int, _T] = {}
        for _, slot, key, block in wanted:
            if block not in loaded:
                with self._database.snapshot() as connection:
                    loaded[block] = load(connection, block)
            yield key, slot, loaded[block]
            left[block] -= 1
            if not left[block]:
                del loaded[block]


def _kinds(metric: Metric, kind: SeriesKind | None) -> list[SeriesKind]:
    return sorted(metric.kinds if kind is None else metric.kinds & {kind})


def _check_kept(metric: Metric) -> None:
    if METRICS.get(metric.name) != metric:
        raise NotFoundError(f"there is no metric {metric.name!r}", hint=f"there are: {', '.join(METRICS)}")
