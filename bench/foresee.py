"""How fast the past is read for a forecast: devices from the samples, demand from the books; and forecasts kept.

Run it as `python bench/foresee.py [--devices N] [--days N] [--every SECONDS] [--workloads N]`; it prints the table of
docs/bench-foresee.md. The data are made up, and packed without going by way of ticks: a fortnight of them would take
hours.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np

from gpualloc.engine.demand_series import series_at
from gpualloc.forecast.gridding import ticks_of
from gpualloc.model.forecast import Band, Grid
from gpualloc.model.foresight import By, KeptForecast, Steps, Subject
from gpualloc.model.inventory import NodeSpec
from gpualloc.model.sample import METRICS, SeriesKey, SeriesKind
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.store.history import SqliteHistory
from gpualloc.store.history_compaction import put_piece
from gpualloc.store.history_packing import Ints
from gpualloc.store.history_pieces import Piece
from gpualloc.store.history_series import Register
from gpualloc.store.history_times import CHUNK_S
from gpualloc.store.history_upkeep import finish
from gpualloc.store.paths import StatePaths

STEP_S = 300
START_S = 1_790_006_400
DAY_S = 86_400
USE = METRICS["gpu_utilization_ratio"]
POOLS = 14
HORIZONS_S = (300, 900, 1800, 3600, 7200)


def fill(paths: StatePaths, devices: int, days: int, every_s: int) -> int:
    """A history of that many devices; returns its rows."""
    keys = [SeriesKey(SeriesKind.DEVICE, f"node{number // 8:04d}", f"GPU-{number:08d}") for number in range(devices)]
    with closing(SqliteHistory(paths)) as history:
        database = history._database
        with database.transaction() as connection:
            register = Register().current(connection)
            metrics = register.metrics(connection)
            blocks = Counter(register.place(connection, key)[0] for key in keys)
        for chunk in range(START_S // CHUNK_S, (START_S + days * DAY_S) // CHUNK_S):
            times = np.arange(chunk * CHUNK_S, (chunk + 1) * CHUNK_S, every_s)
            with database.transaction() as connection:
                first = 0
                for block, count in blocks.items():
                    numbers = np.arange(first, first + count)
                    put_piece(connection, piece(numbers, times, metrics), block, chunk)
                    first += count
            finish(database, (chunk + 1) * CHUNK_S)
    return devices * days * DAY_S // every_s


def piece(numbers: Ints, times: Ints, metrics: Mapping[str, int]) -> Piece:
    """What devices of these numbers tell at these times."""
    whole, present = np.zeros((len(numbers), len(times)), np.int64), np.ones((len(numbers), len(times)), np.bool_)
    columns = {
        "gpu_utilization_ratio": (numbers[:, None] * 7 + times) % 10_000,
        "gpu_memory_used_mib": whole + times % 81_920,
        "gpu_memory_total_mib": whole + 81_920,
        "power_w": whole + 300_000 + times % 90_000,
    }
    return Piece(times, present, {metrics[name]: (column, present) for name, column in columns.items()})


def work(number: int, days: int) -> Workload:
    """One of many pieces of work, spread over the days."""
    at_s = START_S + number * 7919 % (days * DAY_S)
    return Workload(
        f"w{number:08d}",
        f"train-{number}",
        f"user{number % 200}",
        Request(("x",), gpus=1 + number % 8, nodes=(f"n{number % POOLS}",)),
        WorkloadState.FINISHED,
        float(at_s),
        started_at_s=at_s + 60.0,
        ended_at_s=at_s + 60.0 + number * 131 % 20_000,
    )


def timed(what: str, do: Callable[[], object]) -> object:
    """Do it, and print a row of the table: time on the wall, and of a processor."""
    start, used = time.perf_counter(), time.process_time()
    found = do()
    print(f"| {what} | {time.perf_counter() - start:,.2f} | {time.process_time() - used:,.2f} |", flush=True)
    return found


def read(history: SqliteHistory, days: int) -> Grid:
    """All devices over all days."""
    return history.grid(USE, SeriesKind.DEVICE, Steps(START_S, STEP_S, days * DAY_S // STEP_S))


def kept(count: int) -> list[KeptForecast]:
    """Forecasts of that many series at five horizons."""
    subject = Subject(USE.name, By.SERIES)
    return [
        KeptForecast(subject, f"s{number}", START_S, STEP_S, horizon_s, "last", Band(0.1, 0.2, 0.3), 0.2)
        for number in range(count)
        for horizon_s in HORIZONS_S
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    for name, default in (("devices", 8000), ("days", 14), ("every", 300), ("workloads", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()},")
    print(f"SQLite {sqlite3.sqlite_version}")
    with tempfile.TemporaryDirectory() as name:
        paths = StatePaths(Path(name))
        rows = fill(paths, asked.devices, asked.days, asked.every)
        size = paths.history_db.stat().st_size / 2**30
        print(f"{asked.devices} devices, {asked.days} days, every {asked.every} s: {rows:,} samples, {size:.1f} GiB\n")
        print("| what | s | s of CPU |\n| --- | --- | --- |")
        with closing(SqliteHistory(paths)) as history:
            found = timed("all devices", lambda: read(history, asked.days))
            assert isinstance(found, Grid)
            assert len(found.names) == asked.devices
            timed(
                "one device",
                lambda: history.grid(USE, SeriesKind.DEVICE, Steps(START_S, STEP_S, 4032), key="GPU-00000000"),
            )
            forecasts = kept(asked.devices)
            timed(f"{len(forecasts):,} forecasts kept", lambda: history.keep(forecasts))
            timed(f"{len(forecasts):,} forecasts read back", history.kept)
        grown = paths.history_db.stat().st_size / 2**30 - size
        workloads = [work(number, asked.days) for number in range(asked.workloads)]
        specs = [NodeSpec(f"n{number}", f"pool{number}", "ssh") for number in range(POOLS)]
        times = ticks_of(START_S, STEP_S, asked.days * DAY_S // STEP_S)
        for by in (By.POOL, By.TENANT):
            subject = Subject("demand", by)
            timed(
                f"demand by {by} of {asked.workloads:,} workloads",
                lambda subject=subject: series_at(workloads, specs, subject, times, STEP_S),
            )
    print(f"\nThe forecasts take {grown:.2f} GiB more.")


if __name__ == "__main__":
    main()
