"""The history of 8,000 GPUs: how long a tick takes to store, how fast it is read, how big it is.

Run it as `python bench/store.py`; it prints the tables of docs/bench-store.md. A day is put into history.db: its first
hours straight from arrays through the code that packs and rolls ticks, its last ones tick by tick as a sampler does it,
which is what is timed. Beside it, turn by turn in the same run and folder, the same ticks go into two files with a wide
row for each series and tick (the layout of earlier releases): by plain executemany, and by sqlite-utils.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sqlite_utils
from store_data import Cluster

from gpualloc.model.foresight import Steps
from gpualloc.model.sample import METRICS, Level, Sample, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.history_compaction import put_piece
from gpualloc.store.history_pieces import Piece
from gpualloc.store.history_series import Register
from gpualloc.store.history_times import CHUNK_S, DAY_S, HOUR_S
from gpualloc.store.history_upkeep import finish
from gpualloc.store.keeping import StateFiles
from gpualloc.store.paths import StatePaths

EVERY_S = 10
START_S = 1_790_000_000 // DAY_S * DAY_S
SETTLED_S = 1800
"""Of the ticks that are timed, the first so many seconds are not shown: what waits to be packed builds up meanwhile."""
PEER_SHOWN = 24
READS = 15
UTILIZATION = METRICS["gpu_utilization_ratio"]


@dataclass(slots=True)
class Taken:
    """Seconds of each call."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def call(self, work: Callable[[], object]) -> object:
        """Call and remember how long it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        answer = work()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)
        return answer


class WideRows:
    """The layout of earlier releases, for comparison: one row for each series and tick."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        columns = ", ".join(f"{name} INTEGER" for name in METRICS)
        self.connection.execute(
            f"CREATE TABLE sample (series INTEGER NOT NULL, at_s INTEGER NOT NULL, {columns}, "
            "PRIMARY KEY (series, at_s)) WITHOUT ROWID"
        )
        self.table = sqlite_utils.Database(self.connection).table("sample")
        self._insert = f"INSERT OR REPLACE INTO sample VALUES ({', '.join('?' * (2 + len(METRICS)))})"

    def execute_many(self, rows: Sequence[dict[str, int | None]]) -> None:
        """Plain executemany in one transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(self._insert, [list(row.values()) for row in rows])
        self.connection.execute("COMMIT")

    def insert_all(self, rows: Sequence[dict[str, int | None]]) -> None:
        """As sqlite-utils does it."""
        self.table.insert_all(rows, replace=True)


def finished_rows(samples: Sequence[Sample]) -> list[dict[str, int | None]]:
    """A tick as wide rows take it."""
    rows = []
    for number, sample in enumerate(samples):
        row: dict[str, int | None] = {"series": number + 1, "at_s": sample.at_s}
        for metric in METRICS.values():
            value = sample.values.get(metric.name)
            row[metric.name] = None if value is None else round(value * metric.scale)
        rows.append(row)
    return rows


def fill(history: SqliteHistory, cluster: Cluster, until_s: int) -> None:
    """Pack the time until then through the same code, without going by way of ticks."""
    database, began = history._database, time.monotonic()
    for chunk in range(START_S // CHUNK_S, until_s // CHUNK_S):
        times = np.arange(chunk * CHUNK_S, (chunk + 1) * CHUNK_S, EVERY_S)
        readings = [cluster.readings(int(at_s)) for at_s in times]
        with database.transaction() as connection:
            register = Register().current(connection)
            metrics = register.metrics(connection)
            for kind, series in cluster.series.items():
                columns = {
                    name: np.round(np.array([one[kind][name] for one in readings]).T * METRICS[name].scale).astype(
                        np.int64
                    )
                    for name in readings[0][kind]
                }
                # Series that were never seen get slots in their order.
                by_block = Counter(register.place(connection, key)[0] for key in series)
                first = 0
                for block, count in by_block.items():
                    present = np.ones((count, len(times)), np.bool_)
                    its = {metrics[name]: (column[first : first + count], present) for name, column in columns.items()}
                    put_piece(connection, Piece(times, present, its), block, chunk)
                    first += count
        finish(database, (chunk + 1) * CHUNK_S)
        print(f"\r{(chunk + 1) * CHUNK_S - START_S} s filled in {time.monotonic() - began:.0f} s", end="", flush=True)
    print()


def ingest(
    history: SqliteHistory, cluster: Cluster, folder: Path, window: tuple[int, int], peer_ticks: int
) -> dict[str, Taken]:
    """Ticks one by one; the peers take the first `peer_ticks` of them."""
    rows_file, utils_file = WideRows(folder / "rows.db"), WideRows(folder / "utils.db")
    taken = {"ours": Taken(), "executemany": Taken(), "insert_all": Taken()}
    for number, at_s in enumerate(range(*window, EVERY_S)):
        samples = cluster.tick(at_s)
        taken["ours"].call(lambda samples=samples: history.append(samples))
        if number < peer_ticks:
            rows = finished_rows(samples)
            taken["executemany"].call(lambda rows=rows: rows_file.execute_many(rows))
            taken["insert_all"].call(lambda rows=rows: utils_file.insert_all(rows))
        if number % 60 == 0:
            wal = (folder / "ours" / "history.db-wal").stat().st_size
            print(f"\rtick {number}, log {wal / 1e6:.0f} MB", end="", flush=True)
    print()
    return taken


def read_all(history: SqliteHistory, cluster: Cluster, end_s: int, path: Path) -> dict[str, Taken]:
    """The reads of dashboards, forecasts and assessments, over the last day; the first of each from a cold file."""
    # Whole hours, up to now and on to the end of this hour.
    begin_s = -(-(end_s - DAY_S) // HOUR_S) * HOUR_S
    device = [cluster.devices[number * 521 % len(cluster.devices)].key for number in range(READS + 1)]
    four = [
        METRICS[name] for name in ("gpu_utilization_ratio", "gpu_memory_used_mib", "gpu_memory_total_mib", "power_w")
    ]
    kind = SeriesKind.DEVICE
    reads: dict[str, tuple[int, Callable[[int], object]]] = {
        "a day of one GPU, as taken": (READS, lambda n: list(history.read(UTILIZATION, begin_s, end_s, key=device[n]))),
        "a day of one GPU, min/mean/max/p95 by minutes": (
            READS, lambda n: list(history.rollups(UTILIZATION, Level.MINUTE, begin_s, end_s, key=device[n])),
        ),
        "a day of all GPUs, means by minutes": (
            5, lambda _: history.grid(UTILIZATION, kind, Steps(begin_s, 60, DAY_S // 60)),
        ),
        "a day of all GPUs, means by 5 minutes": (
            5, lambda _: history.grid(UTILIZATION, kind, Steps(begin_s, 300, DAY_S // 300)),
        ),
        "a day of all GPUs, means by hours": (
            5, lambda _: history.grid(UTILIZATION, kind, Steps(begin_s, HOUR_S, 24)),
        ),
        "a day of all GPUs, 4 metrics, mean and max by 15 minutes": (
            3, lambda _: sum(1 for _ in history.digests(kind, four, begin_s, 900, DAY_S // 900)),
        ),
        "the last quarter of an hour of all GPUs, as taken": (
            3, lambda _: sum(1 for _ in history.read(UTILIZATION, end_s - 900, end_s, kind=kind)),
        ),
    }  # fmt: skip
    taken = {}
    for name, (times, read) in reads.items():
        taken[name] = Taken()
        history._database.merge_journal()
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for number in range(times + 1):
            taken[name].call(lambda number=number, read=read: read(number))
    return taken


def read_beside(history: SqliteHistory, rows: WideRows, series: int, window: tuple[int, int]) -> dict[str, Taken]:
    """The same means by minutes of all GPUs over the time that both layouts hold, turn by turn."""
    begin_s, end_s = window
    steps = Steps(begin_s, 60, (end_s - begin_s) // 60)
    query = "SELECT series, (at_s - ?) / 60, avg(gpu_utilization_ratio) FROM sample WHERE series <= ? GROUP BY 1, 2"

    def from_rows() -> array[float]:
        values = array("d", [float("nan")]) * (series * steps.count)
        for number, step, mean in rows.connection.execute(query, (begin_s, series)):
            values[(number - 1) * steps.count + step] = mean / UTILIZATION.scale
        return values

    taken = {"ours": Taken(), "rows": Taken()}
    for _ in range(3):
        ours = taken["ours"].call(lambda: history.grid(UTILIZATION, SeriesKind.DEVICE, steps))
        theirs = taken["rows"].call(from_rows)
        assert np.allclose(ours.values, theirs)
    return taken


def spread(values: Sequence[float]) -> str:
    """Median and range in milliseconds."""
    shown = [value * 1000 for value in values]
    return f"{statistics.median(shown):,.1f} ({min(shown):,.1f} to {max(shown):,.1f})"


def tell_ingest(taken: dict[str, Taken], peer_ticks: int) -> None:
    """The table of writes."""
    ours = taken["ours"]
    settled = slice(SETTLED_S // EVERY_S, None)
    print("| way | ms per tick, median (range) | mean | p99 | mean of CPU | times ours |")
    print("| --- | --- | --- | --- | --- | --- |")
    mean = statistics.fmean(ours.wall[settled])
    shown = {"ours, all upkeep included": (ours, settled)}
    last = slice(peer_ticks - PEER_SHOWN, peer_ticks)
    shown |= {f"wide rows, {name}": (taken[name], last) for name in ("executemany", "insert_all")}
    for name, (one, part) in shown.items():
        wall = one.wall[part]
        p99 = sorted(wall)[int(len(wall) * 0.99)] * 1000
        cpu = statistics.fmean(one.cpu[part]) * 1000
        whole = statistics.fmean(wall)
        print(f"| {name} | {spread(wall)} | {whole * 1000:.1f} | {p99:.0f} | {cpu:.1f} | {whole / mean:.1f} |")
    print(f"\nof the time between ticks: {mean / EVERY_S:.2%}\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpus", type=int, default=8000)
    parser.add_argument("--ticked-hours", type=float, default=2.25, help="how much of the day is stored tick by tick")
    parser.add_argument("--peer-ticks", type=int, default=90)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()},"
    )
    print(f"SQLite {sqlite3.sqlite_version}, numpy {np.__version__}, sqlite-utils {version('sqlite-utils')}")
    with (
        tempfile.TemporaryDirectory(dir=args.folder) as name,
        closing(SqliteHistory(StatePaths(Path(name) / "ours"))) as history,
    ):
        folder, cluster = Path(name), Cluster(args.gpus, args.seed, EVERY_S)
        # Half a quarter of an hour is not packed at the end, as at any other time.
        end_s = START_S + DAY_S + CHUNK_S // 2
        began_s = (end_s - int(args.ticked_hours * HOUR_S)) // CHUNK_S * CHUNK_S
        fill(history, cluster, began_s)
        taken = ingest(history, cluster, folder, (began_s, end_s), args.peer_ticks)
        tell_ingest(taken, args.peer_ticks)
        window = (began_s, began_s + args.peer_ticks * EVERY_S)
        with closing(sqlite3.connect(folder / "rows.db", isolation_level=None)) as connection:
            rows = WideRows.__new__(WideRows)
            rows.connection = connection
            beside = read_beside(history, rows, args.gpus, window)
        ratio = statistics.median(beside["rows"].wall) / statistics.median(beside["ours"].wall)
        minutes = args.peer_ticks * EVERY_S // 60
        print(f"means by minutes of {minutes} minutes of all GPUs: ours {spread(beside['ours'].wall)} ms, ", end="")
        print(f"wide rows {spread(beside['rows'].wall)} ms, {ratio:.1f} times as long\n")
        print("| read | ms, median (range) | of CPU | ms from a cold file |\n| --- | --- | --- | --- |")
        for what, one in read_all(history, cluster, end_s, folder / "ours" / "history.db").items():
            cpu = statistics.median(one.cpu[1:]) * 1000
            print(f"| {what} | {spread(one.wall[1:])} | {cpu:,.1f} | {one.wall[0] * 1000:,.1f} |")
        figures = StateFiles(StatePaths(folder / "ours"), simulated=False).figures()
        wide = (folder / "rows.db").stat().st_size / (args.gpus * args.peer_ticks * EVERY_S / DAY_S)
        print("\n| level | bytes per GPU and day, all its metrics |\n| --- | --- |")
        for level in figures.levels:
            print(f"| {level.level.value} | {level.bytes_per_device_day:,.0f} |")
        print(f"| wide rows | {wide:,.0f} |")
        print(
            f"\nhistory.db: {figures.history_bytes / 1e6:,.0f} MB, its log {figures.journal_bytes / 1e6:.0f} MB;",
            end=" ",
        )
        print(
            f"{figures.history_bytes / args.gpus / 1000:,.0f} kB per GPU and day in all, nodes and workloads included"
        )


if __name__ == "__main__":
    main()
