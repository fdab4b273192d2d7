"""How long `gpualloc assess` takes: a week of 64 GPUs, sampled every 10 seconds.

Run it as `python bench/assess.py`; it prints the line of docs/assess.md. Half an hour of work and of rest follow each
other on each GPU, drawn with a seed; the work is known to nobody, so that all of it is told as unseen.
"""

from __future__ import annotations

import os
import platform
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gpualloc.cli.app import main
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

GPUS, DAYS, EVERY_S, SPELL_S = 64, 7, 10, 1800
TICKS = DAYS * 86_400 // EVERY_S


def samples(number: int, end_s: int) -> Iterator[Sample]:
    """A week of one GPU."""
    drawn = random.Random(number)
    key = SeriesKey(SeriesKind.DEVICE, f"node{number // 8:02d}", f"GPU-{number:04d}")
    works = False
    for tick in range(TICKS):
        if tick * EVERY_S % SPELL_S == 0:
            works = drawn.random() < 0.5
        values = {
            "gpu_utilization_ratio": drawn.uniform(0.3, 1.0) if works else 0.0,
            "gpu_memory_used_mib": 40_000 if works else 1000,
            "gpu_memory_total_mib": 81_920,
            "power_w": 400.0 if works else 70.0,
        }
        yield Sample(key, end_s - (TICKS - tick) * EVERY_S, values)


def run() -> None:
    """Write the week, and time the command."""
    end_s = int(time.time()) // EVERY_S * EVERY_S
    with tempfile.TemporaryDirectory() as folder:
        history = SqliteHistory(StatePaths(Path(folder)))
        for number in range(GPUS):
            history.append(list(samples(number, end_s)))
        history.close()
        print(f"{GPUS} GPUs x {TICKS} samples; {os.cpu_count()} CPUs, Python {platform.python_version()}")
        os.environ["GPUALLOC_STATE_DIR"] = folder
        for _ in range(3):
            began_s, worked_s = time.perf_counter(), time.process_time()
            main(["assess", "--html", f"{folder}/page.html", "--json"])
            took_s, used_s = time.perf_counter() - began_s, time.process_time() - worked_s
            print(f"assess: {took_s:.1f} s, of which {used_s:.1f} s of CPU time", flush=True)


if __name__ == "__main__":
    run()
