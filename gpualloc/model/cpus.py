"""CPU lists as the kernel writes them, such as `0-3,8`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

NEAR = "near"
"""Asks for the CPUs near the devices that the work is given."""


def cpu_numbers(cpuset: str) -> frozenset[int]:
    """The CPUs that a list names; raises ValueError when it is none."""
    found: set[int] = set()
    for part in cpuset.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def highest_cpu(cpuset: str) -> int:
    """The largest CPU number in a list."""
    return max(int(number) for part in cpuset.split(",") for number in part.split("-"))


def cpu_list(numbers: Iterable[int]) -> str:
    """The shortest list that names the CPUs."""
    ordered = sorted(set(numbers))
    breaks = [0, *(index for index, (low, high) in enumerate(pairwise(ordered), 1) if high != low + 1), len(ordered)]
    runs = [ordered[start:end] for start, end in pairwise(breaks) if start < end]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def near_all(lists: Iterable[str | None]) -> str | None:
    """The CPUs near any of several devices; None when one of them has no CPUs that are nearer than others."""
    known = list(lists)
    if not known or any(cpus is None for cpus in known):
        return None
    return cpu_list(number for cpus in known if cpus is not None for number in cpu_numbers(cpus))
