"""A week of work for 64 GPUs: training jobs of the Philly trace, and notebooks, services, MIG requests and batch jobs.

Everything but the training jobs is made up, by the numbers in this file and a seed.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from random import Random

from msgspec import Struct

from gpualloc.model.workload import Preemption, Request

PHILLY = Path(__file__).parent / "data" / "philly" / "jobs.csv.gz"
DAY_S, HOUR_S = 86_400.0, 3600.0
MONDAY_S = 3 * DAY_S
"""The first Monday, 2017-09-04, on the clock of the trace."""
WEEKS_BEFORE = 2
"""Seed 1 has the jobs of the third week after that Monday, seed 2 those of the fourth, and so on."""
SHORTEST_S, LONGEST_S, MOST_GPUS = 900.0, 48 * HOUR_S, 8
"""Shorter jobs of the trace, which hold few GPU-hours, are left out; longer and larger ones are cut."""
DEMAND = {"103959": 19.0, "6c71a0": 17.0, "e13805": 6.0}
"""GPUs that the jobs of each virtual cluster want in the mean; of more a random part is taken, of fewer some twice."""
SHIFT_S = 6 * HOUR_S
"""A job that is taken again comes up to that much earlier or later."""
TENANTS = {"103959": "speech", "6c71a0": "vision", "e13805": "robots"}


class Class(StrEnum):
    """Kinds of work that are looked at apart."""

    TRAINING = "training"
    NOTEBOOK = "notebook"
    SERVICE = "service"
    MIG = "MIG"
    BATCH = "batch"


class Arrival(Struct, frozen=True):
    """Work that is submitted."""

    at_s: float
    """After the beginning of the week."""
    kind: Class
    tenant: str
    name: str
    request: Request
    lasts_s: float
    """Run time when nothing disturbs it."""


def arrivals(seed: int, days: float, scale: float = 1.0) -> list[Arrival]:
    """All work of the first days of a week, in the order in which it comes.

    Args:
        seed: also names the week of the trace, from 1 to 7.
        days: how many of its days.
        scale: of all demand, 1 for the cluster of the bench.
    """
    parts = (training, notebooks, services, instances, batch)
    found = [one for part in parts for one in part(Random(f"{seed}/{part.__name__}"), seed, scale)]
    return sorted((one for one in found if one.at_s < days * DAY_S), key=lambda one: (one.at_s, one.name))


def training(random: Random, seed: int, scale: float) -> Iterator[Arrival]:
    """Jobs of the trace, thinned out, or repeated, to the demand that is wanted of each virtual cluster."""
    begin_s = MONDAY_S + (seed + WEEKS_BEFORE) * 7 * DAY_S
    jobs: dict[str, list[tuple[float, float, int]]] = {vc: [] for vc in DEMAND}
    with gzip.open(PHILLY, "rt", encoding="ascii", newline="") as file:
        for row in csv.DictReader(file):
            at_s = float(row["submit_s"]) - begin_s
            if 0 <= at_s < 7 * DAY_S and row["vc"] in jobs:
                lasts_s = min(LONGEST_S, float(row["duration_s"]))
                if lasts_s >= SHORTEST_S:
                    jobs[row["vc"]].append((at_s, lasts_s, min(MOST_GPUS, int(row["gpus"]))))
    number = 0
    for vc, found in jobs.items():
        offered = sum(lasts_s * gpus for _, lasts_s, gpus in found) / (7 * DAY_S)
        times = DEMAND[vc] * scale / offered if offered else 0.0
        for at_s, lasts_s, gpus in found:
            for copy in range(int(times) + (random.random() < times % 1)):
                number += 1
                begin_s = at_s if not copy else min(7 * DAY_S - 1, max(0.0, at_s + random.uniform(-SHIFT_S, SHIFT_S)))
                request = _trained(random, lasts_s, gpus)
                yield Arrival(begin_s, Class.TRAINING, TENANTS[vc], f"train-{number}", request, lasts_s)


def _trained(random: Random, lasts_s: float, gpus: int) -> Request:
    """Two fifths save themselves on a signal, two fifths may be suspended, one fifth gives way to nobody."""
    command, draw = ("train", f"{lasts_s:.0f}s"), random.random()
    if draw < 0.4:
        return Request(command, gpus=gpus, preempt=Preemption.CHECKPOINT, checkpoint_signal="USR1")
    return Request(command, gpus=gpus, preempt=Preemption.SUSPEND if draw < 0.8 else Preemption.NEVER)


def notebooks(random: Random, _seed: int, scale: float) -> Iterator[Arrival]:
    """On weekdays 24 people begin between 8 and 16 o'clock and keep a GPU for 3 to 9 hours."""
    for day in range(7):
        for number in range(round((24 if day < 5 else 4) * scale)):
            at_s = day * DAY_S + random.uniform(8, 16) * HOUR_S
            lasts_s = random.uniform(3, 9) * HOUR_S
            request = Request(("notebook", f"{lasts_s:.0f}s"), gpus=1)
            yield Arrival(at_s, Class.NOTEBOOK, "students", f"notebook-{day}-{number}", request, lasts_s)


def services(random: Random, _seed: int, scale: float) -> Iterator[Arrival]:
    """Halves and quarters of devices: 8 and 4 around the clock, renewed each day, and as many more by day."""
    for day in range(7):
        for number in range(round(24 * scale)):
            by_day = number % 2 == 1
            begin_h = random.uniform(6, 10) if by_day else random.uniform(0, 24)
            lasts_s = (random.uniform(8, 13) if by_day else 24.0) * HOUR_S
            part = 0.5 if number % 3 else 0.25
            request = Request(("serve", f"{lasts_s:.0f}s"), gpus=1, fraction=part, gpu_memory_mib=int(36_000 * part))
            name = f"serve{'day' if by_day else 'all'}-{day}-{number}"
            yield Arrival(day * DAY_S + begin_h * HOUR_S, Class.SERVICE, "services", name, request, lasts_s)


def instances(random: Random, _seed: int, scale: float) -> Iterator[Arrival]:
    """Bursts of 2 to 6 requests for MIG instances, 6 on a weekday and 3 on others, between 7 and 22 o'clock."""
    for day in range(7):
        for burst in range(round((6 if day < 5 else 3) * scale)):
            begin_s = day * DAY_S + random.uniform(7, 22) * HOUR_S
            for number in range(random.randint(2, 6)):
                profile = random.choices(("1g.5gb", "2g.10gb", "3g.20gb"), (4, 3, 2))[0]
                lasts_s = random.uniform(20, 90) * 60.0
                request = Request(("train", f"{lasts_s:.0f}s"), gpus=1, mig_profile=profile)
                name = f"small-{day}-{burst}-{number}"
                yield Arrival(begin_s + random.uniform(0, 300), Class.MIG, "students", name, request, lasts_s)


def batch(random: Random, _seed: int, scale: float) -> Iterator[Arrival]:
    """12 jobs of one GPU a day, at any time, for 5 to 30 minutes."""
    for number in range(round(12 * 7 * scale)):
        lasts_s = random.uniform(5, 30) * 60.0
        request = Request(("train", f"{lasts_s:.0f}s"), gpus=1)
        yield Arrival(random.uniform(0, 7) * DAY_S, Class.BATCH, "vision", f"batch-{number}", request, lasts_s)


def offered_gpus(work: list[Arrival], days: float) -> float:
    """GPUs that the work wants in the mean, parts counted as parts; a slice of MIG is a seventh."""
    total = 0.0
    for one in work:
        profile = one.request.mig_profile
        part = int(profile[0]) / 7 if profile else one.request.fraction or 1.0
        total += min(one.lasts_s, days * DAY_S - one.at_s) * one.request.gpus * part
    return total / (days * DAY_S)
