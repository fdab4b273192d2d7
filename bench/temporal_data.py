"""Demand over time of the kinds that GPU clusters have, drawn from a seed: no public set with a licence has it per GPU.

    .venv/bin/python bench/temporal_data.py FAMILY [--items 140] [--intervals 144] [--step 600] [--seed 0] > demand.csv

How the figures were chosen: what is published of inference pods on shared GPUs tells that the duty cycle is low (7 % in
the mean, 24 % in the mean of the peaks) and that memory is what fills a GPU (25 GiB in the mean, of 48 to 141). `pods`
was tuned to these three figures and to nothing else; the others ask for more compute, so that time matters more.

| family | items |
| --- | --- |
| pods | inference pods with a wave of a day each, in a few time zones, rare bursts; two in three there all day |
| waves | busier inference: memory 4 to 24 GiB, peaks of 0.2 to 0.7 of a GPU, phases all round the clock |
| batch | jobs of half an hour to 8 hours that come in working hours, steady, 0.15 to 0.8 of a GPU, 6 to 48 GiB |
| mixed | a third of each |
| training | long, 0.5 to 0.95 of a GPU with dips for evaluation and saving, beside small notebooks with bursts |
"""

from __future__ import annotations

import argparse
import sys
from typing import TextIO

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

FAMILIES = ("pods", "waves", "batch", "mixed", "training")
SIZES_GIB = (8.0, 16.0, 24.0, 40.0, 70.0)


class Drawn:
    """Items of one family: compute (I, T), memory (I,) and where they are there (I, T)."""

    def __init__(self, compute: Values, memory: Values, alive: Flags) -> None:
        self.compute = np.clip(np.round(compute, 4), 0.0, 1.0)
        self.memory, self.alive = np.round(memory, 2), alive


def draw(family: str, items: int, intervals: int, step_s: float, seed: int) -> Drawn:
    """Items of that family."""
    numbers = Generator(np.random.PCG64([seed, FAMILIES.index(family)]))
    hours = np.arange(intervals) * step_s / 3600
    if family == "mixed":
        parts = [
            draw(one, items // 3 + (at < items % 3), intervals, step_s, seed)
            for at, one in enumerate(("pods", "waves", "batch"))
        ]
        return Drawn(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("compute", "memory", "alive"))
        )
    return {"pods": _pods, "waves": _waves, "batch": _batch, "training": _training}[family](numbers, items, hours)


def _day(numbers: Generator, items: int, hours: Values, zones: tuple[int, ...] | None = None) -> Values:
    """(I, T) from 0 to 1: high once a day, at an hour of each item's own or of its time zone."""
    peak = (
        numbers.uniform(0, 24, items) if zones is None else numbers.choice(zones, items) + numbers.normal(0, 1.5, items)
    )
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * (hours[None] - peak[:, None]) / 24)
    return wave ** numbers.uniform(1.0, 4.0, items)[:, None]


def _lives(numbers: Generator, items: int, hours: Values, always: float) -> Flags:
    """(I, T): a part is there all the time, the others come and go once."""
    end = hours[-1]
    begins = numbers.uniform(-0.2 * end, 0.8 * end, items)
    lasts = numbers.uniform(0.15, 0.8, items) * end
    stays = numbers.random(items) < always
    alive = (hours[None] >= begins[:, None]) & (hours[None] <= (begins + lasts)[:, None])
    alive |= stays[:, None]
    alive[~alive.any(axis=1), 0] = True
    return alive


def _noise(numbers: Generator, shape: tuple[int, ...], spread: float) -> Values:
    """Noise that lasts from one interval to the next."""
    noise = numbers.normal(0, spread, shape)
    for at in range(1, shape[1]):
        noise[:, at] += 0.7 * noise[:, at - 1]
    return np.exp(noise)


def _pods(numbers: Generator, items: int, hours: Values) -> Drawn:
    peaks = np.minimum(numbers.lognormal(np.log(0.12), 0.75, items), 0.9)
    base = numbers.uniform(0.05, 0.3, items)
    wave = base[:, None] + (1 - base[:, None]) * _day(numbers, items, hours, zones=(4, 9, 15, 20))
    compute = peaks[:, None] * wave * _noise(numbers, wave.shape, 0.12)
    bursts = numbers.random(wave.shape) < 0.004
    compute = np.where(bursts, np.minimum(compute * 2.5 + 0.1, 1.0), compute)
    memory = numbers.choice(SIZES_GIB, items, p=(0.22, 0.25, 0.25, 0.2, 0.08)) * numbers.uniform(0.85, 1.0, items)
    return Drawn(compute, memory, _lives(numbers, items, hours, 0.67))


def _waves(numbers: Generator, items: int, hours: Values) -> Drawn:
    peaks, base = numbers.uniform(0.2, 0.7, items), numbers.uniform(0.05, 0.25, items)
    wave = base[:, None] + (1 - base[:, None]) * _day(numbers, items, hours)
    compute = peaks[:, None] * wave * _noise(numbers, wave.shape, 0.05)
    return Drawn(compute, numbers.uniform(4, 24, items), _lives(numbers, items, hours, 0.8))


def _batch(numbers: Generator, items: int, hours: Values) -> Drawn:
    begins = (
        np.clip(numbers.normal(12, 4, items), 0, hours[-1] - 0.5)
        if hours[-1] > 12
        else numbers.uniform(0, hours[-1] / 2, items)
    )
    lasts = np.exp(numbers.uniform(np.log(0.5), np.log(8), items))
    alive = (hours[None] >= begins[:, None]) & (hours[None] < (begins + lasts)[:, None])
    alive[~alive.any(axis=1), -1] = True
    level = numbers.uniform(0.15, 0.8, items)
    compute = level[:, None] * _noise(numbers, alive.shape, 0.03)
    return Drawn(compute, numbers.uniform(6, 48, items), alive)


def _training(numbers: Generator, items: int, hours: Values) -> Drawn:
    large = numbers.random(items) < 0.4
    level = np.where(large, numbers.uniform(0.5, 0.95, items), numbers.uniform(0.05, 0.2, items))
    period, phase = numbers.uniform(1.5, 4, items), numbers.uniform(0, 4, items)
    dips = ((hours[None] + phase[:, None]) % period[:, None]) < 0.35
    compute = level[:, None] * np.where(large[:, None] & dips, 0.15, 1.0) * _noise(numbers, dips.shape, 0.02)
    bursts = (numbers.random(dips.shape) < 0.05) & ~large[:, None]
    compute = np.where(bursts, numbers.uniform(0.2, 0.6, dips.shape), compute)
    memory = np.where(large, numbers.uniform(30, 60, items), numbers.uniform(2, 16, items))
    return Drawn(compute, memory, _lives(numbers, items, hours, 0.5))


def write(drawn: Drawn, step_s: float, stream: TextIO) -> None:
    """As `gpualloc simulate temporal` reads it."""
    stream.write("time_s,item,compute_ratio,memory_gib\n")
    for at in range(drawn.compute.shape[1]):
        for item in np.flatnonzero(drawn.alive[:, at]):
            stream.write(f"{at * step_s:g},item-{item:04},{drawn.compute[item, at]:.4f},{drawn.memory[item]:.2f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--items", type=int, default=140)
    parser.add_argument("--intervals", type=int, default=144)
    parser.add_argument("--step", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    drawn = draw(given.family, given.items, given.intervals, given.step, given.seed)
    used = np.where(drawn.alive, drawn.compute, np.nan)
    sys.stderr.write(
        f"compute {100 * np.nanmean(used):.1f} % in the mean, {100 * np.nanmax(used, axis=1).mean():.1f} % in the mean"
        f" of peaks, memory {drawn.memory.mean():.1f} GiB in the mean\n"
    )
    write(drawn, given.step, sys.stdout)


if __name__ == "__main__":
    main()
