"""How fast samples are stored and read: our plain executemany beside sqlite-utils, in one run.

Run it as `python bench/ingest.py`; it prints the table of docs/bench-ingest.md. Both sides write to fresh files in the
same folder with the same journal settings and the same columns, turn by turn, so that a busy machine hits both.
sqlite-utils is given finished rows; ours begins with `Sample` values, as in real use.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import sqlite_utils

from gpualloc.model.sample import METRICS, Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

SERIES = 8000
TICKS = 72
SHOWN = 12
"""Ticks in a row of the table: the first of a new file, and the last, when every series has pages of its own."""
EVERY_S = 10
START_S = 1_790_000_000
DAY_SERIES = 64
DAY_TICKS = 86_400 // EVERY_S
READS = 25

KEYS = [SeriesKey(SeriesKind.DEVICE, f"node{number // 8:04d}", f"GPU-{number:08d}") for number in range(SERIES)]


def reading(number: int, at_s: int) -> dict[str, float | None]:
    """The seven metrics of a device; one of them unknown now and then."""
    return {
        "gpu_utilization_ratio": (number * 7 + at_s) % 101 / 100,
        "memory_utilization_ratio": (number * 3 + at_s) % 101 / 100,
        "gpu_memory_used_mib": (number * 977 + at_s) % 81_920,
        "gpu_memory_total_mib": 81_920,
        "power_w": None if number % 50 == 0 else 60 + (number + at_s) % 640 + 0.25,
        "temperature_c": 30 + (number + at_s) % 50,
        "sm_clock_mhz": 210 + (number + at_s) % 1700,
    }


def tick(at_s: int) -> list[Sample]:
    """One sample of every series."""
    return [Sample(key, at_s, reading(number, at_s)) for number, key in enumerate(KEYS)]


def finished_rows(at_s: int) -> list[dict[str, int | None]]:
    """The same tick as sqlite-utils takes it."""
    rows = []
    for number in range(SERIES):
        values = reading(number, at_s)
        row: dict[str, int | None] = {"series": number + 1, "at_s": at_s}
        for metric in METRICS.values():
            value = values.get(metric.name)
            row[metric.name] = None if value is None else round(value * metric.scale)
        rows.append(row)
    return rows


def helper_table(path: Path) -> sqlite_utils.db.Table:
    """An empty table of the same shape and settings, for sqlite-utils."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    columns = ", ".join(f"{name} INTEGER" for name in METRICS)
    connection.execute(
        f"CREATE TABLE sample (series INTEGER NOT NULL, at_s INTEGER NOT NULL, {columns}, "
        "PRIMARY KEY (series, at_s)) WITHOUT ROWID"
    )
    return sqlite_utils.Database(connection).table("sample")


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def time_writes(folder: Path) -> dict[str, list[float]]:
    """Seconds per tick of each way; the first tick, which makes the series, is left out."""
    history = SqliteHistory(StatePaths(folder / "ours"))
    inserted, upserted = helper_table(folder / "insert.db"), helper_table(folder / "upsert.db")
    taken: dict[str, list[float]] = {"ours": [], "insert_all": [], "upsert_all": []}
    for number in range(TICKS + 1):
        at_s = START_S + number * EVERY_S
        samples, rows = tick(at_s), finished_rows(at_s)
        taken["ours"].append(seconds(lambda samples=samples: history.append(samples)))
        taken["insert_all"].append(seconds(lambda rows=rows: inserted.insert_all(rows, replace=True)))
        taken["upsert_all"].append(seconds(lambda rows=rows: upserted.upsert_all(rows, pk=("series", "at_s"))))
    (stored,) = history.read(METRICS["temperature_c"], START_S, at_s, key=KEYS[-1].key)
    assert len(stored.points) == inserted.count // SERIES == upserted.count // SERIES == TICKS + 1
    history.close()
    return {name: values[1:] for name, values in taken.items()}


def time_reads(folder: Path) -> list[float]:
    """Seconds for the points of one metric of one series over a day, from a file that holds a day of many series."""
    history = SqliteHistory(StatePaths(folder / "day"))
    for number in range(DAY_TICKS):
        at_s = START_S + number * EVERY_S
        history.append([Sample(KEYS[one], at_s, reading(one, at_s)) for one in range(DAY_SERIES)])
    taken = []
    for number in range(READS):
        key = KEYS[number % DAY_SERIES].key
        start = time.perf_counter()
        (series,) = history.read(METRICS["gpu_utilization_ratio"], START_S, START_S + 86_400, key=key)
        taken.append(time.perf_counter() - start)
        assert len(series.points) == DAY_TICKS
    history.close()
    return taken


def spread(values: list[float], unit: float = 1.0) -> str:
    """Median and range."""
    return f"{statistics.median(values) * unit:,.1f} ({min(values) * unit:,.1f} to {max(values) * unit:,.1f})"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        writes = time_writes(Path(name))
        reads = time_reads(Path(name))
    ours = statistics.median(writes["ours"])
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()},"
    )
    print(f"SQLite {sqlite3.sqlite_version}, sqlite-utils {version('sqlite-utils')}")
    print(f"{SERIES} series, {len(METRICS)} columns, WAL, synchronous NORMAL\n")
    print("| ticks | way | ms per tick, median (range) | rows per second | times ours |")
    print("| --- | --- | --- | --- | --- |")
    for ticks, part in ((f"1 to {SHOWN}", slice(SHOWN)), (f"{TICKS - SHOWN + 1} to {TICKS}", slice(-SHOWN, None))):
        ours = statistics.median(writes["ours"][part])
        for way, taken in writes.items():
            median = statistics.median(taken[part])
            ratio = f"{SERIES / median:,.0f} | {median / ours:.1f}"
            print(f"| {ticks} | {way} | {spread(taken[part], 1000)} | {ratio} |")
    print(f"\nA day of one series ({DAY_TICKS} points, beside {DAY_SERIES - 1} others): {spread(reads, 1000)} ms")


if __name__ == "__main__":
    main()
