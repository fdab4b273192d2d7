"""Packings that look less far: what plans over time are measured against. All devices are alike."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from msgspec.structs import replace

from gpualloc.policies.temporal.case import case_of, part_of
from gpualloc.policies.temporal.finish import finish
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.plan import TemporalPlan
from gpualloc.policies.temporal.problem import NOWHERE, Flags, Places, TemporalProblem
from gpualloc.policies.temporal.starts import series_fit


def pack_peaks(problem: TemporalProblem) -> TemporalPlan:
    """First-fit decreasing on the peaks of each item, which keeps its part of a device for ever."""
    ever = np.any(problem.alive, axis=1, keepdims=True)
    alive = np.repeat(ever, len(problem.hours), axis=1)
    return pack_lifetimes(replace(_at_peak(problem, problem.alive), alive=alive))


def pack_lifetimes(problem: TemporalProblem) -> TemporalPlan:
    """First-fit decreasing on the peaks of each item while it is there; devices are used again after it."""
    return finish(series_fit(case_of(_at_peak(problem, problem.alive)), None), complete=True)


def pack_series(problem: TemporalProblem) -> TemporalPlan:
    """First-fit decreasing on whole series: items share a device when their sum never exceeds it, and never move."""
    return finish(series_fit(case_of(problem), None), complete=True)


def pack_windows(problem: TemporalProblem, hours: float) -> TemporalPlan:
    """First-fit decreasing on the peaks within each window of so many hours, each packed anew.

    The devices of a window are numbered so that as many items as a greedy matching finds stay where they were.
    """
    begins = np.concatenate([[0.0], np.cumsum(problem.hours)[:-1]])
    window = np.floor(begins / hours + 1e-9).astype(np.int64)
    loads = Loads(case_of(problem))
    edges = [0, *(np.flatnonzero(np.diff(window)) + 1).tolist(), len(window)]
    for first, end in pairwise(edges):
        _pack_window(loads, first, end)
    return finish(loads, complete=True)


def _pack_window(loads: Loads, first: int, end: int) -> None:
    case = part_of(loads.case, first, end)
    peaks = case.compute.max(axis=1, initial=0.0)
    flat = replace(case, compute=np.where(case.alive, peaks[:, None], 0.0))
    packed = series_fit(flat, None)
    there = np.flatnonzero(case.alive.any(axis=1))
    group = packed.place[there].max(axis=1)
    before = loads.place[there, first - 1] if first else np.full(len(there), NOWHERE)
    device = _matched(group, before, case.devices)
    for item, chosen in zip(there.tolist(), device[group].tolist(), strict=True):
        times = packed.times[item] + first
        loads.put(item, times, np.full(len(times), chosen))


def _matched(group: Places, before: Places, devices: int) -> Places:
    """A device for each group, of its own: most items that stay first, then the lowest number."""
    pairs, shared = np.unique(np.column_stack([group, before])[before != NOWHERE], axis=0, return_counts=True)
    device = np.full(devices, NOWHERE)
    free = np.ones(devices, bool)
    for number, old in pairs[np.argsort(-shared, kind="stable")].tolist():
        if device[number] == NOWHERE and free[old]:
            device[number], free[old] = old, False
    waiting = np.flatnonzero(device == NOWHERE)
    device[waiting] = np.flatnonzero(free)[: len(waiting)]
    return device


def _at_peak(problem: TemporalProblem, alive: Flags) -> TemporalProblem:
    compute = np.where(alive, problem.compute, 0.0).max(axis=1, initial=0.0)
    memory = np.where(alive, problem.memory, 0.0).max(axis=1, initial=0.0)
    shape = problem.alive.shape
    return replace(
        problem,
        compute=np.broadcast_to(compute[:, None], shape),
        memory=np.broadcast_to(memory[:, None], shape),
        upper=None,
    )
