"""How hard a simulated process works a GPU over time: a fixed function of pattern, seed and age."""

from __future__ import annotations

import math
from enum import StrEnum
from random import Random

_EPOCH_S = 600.0
_VALIDATION_PART = 0.1
_BURST_S = 20.0
_WOBBLE_S = 15.0
_DAY_S = 86_400.0
_PEAK_S = 14 * 3600.0
"""When most is asked of services, seconds since midnight UTC."""
_THOUGHT_S = 1200.0
_RUNNING_PART = 0.15


class Pattern(StrEnum):
    """What kind of work a process does."""

    IDLE = "idle"
    """Holds memory and does nothing."""
    STEADY = "steady"
    TRAINING = "training"
    """Nearly all of the GPU, with a pause for validation at the end of each ten-minute epoch."""
    INFERENCE = "inference"
    """Mostly little, with bursts."""
    DAILY = "daily"
    """A wave with its peak in the middle of each day of the process's own."""
    WORKDAY = "workday"
    """A wave with its peak at 14:00 UTC of each simulated day, whenever the process was started."""
    NOTEBOOK = "notebook"
    """Nothing while its owner thinks; in one of seven stretches of 20 minutes a cell runs."""


def utilization(pattern: Pattern, seed: int, age_s: float, at_s: float = 0.0) -> float:
    """Part of the GPU in use, 0..1, at that age of the process and that epoch second."""
    wobble = _wobble(seed, age_s)
    match pattern:
        case Pattern.IDLE:
            return 0.0
        case Pattern.STEADY:
            return 0.8 + 0.15 * wobble
        case Pattern.TRAINING:
            validating = age_s % _EPOCH_S > _EPOCH_S * (1 - _VALIDATION_PART)
            return 0.15 + 0.2 * wobble if validating else 0.88 + 0.12 * wobble
        case Pattern.INFERENCE:
            return 0.05 + 0.9 * _noise(seed, int(age_s // _BURST_S)) ** 3
        case Pattern.DAILY:
            return 0.05 + 0.8 * _wave(age_s) + 0.1 * wobble
        case Pattern.WORKDAY:
            return 0.05 + 0.8 * _wave(at_s - _PEAK_S + _DAY_S / 2) + 0.1 * wobble
        case Pattern.NOTEBOOK:
            return 0.6 + 0.3 * wobble if _noise(seed, int(age_s // _THOUGHT_S)) < _RUNNING_PART else 0.0


_MEANS = {
    Pattern.IDLE: 0.0,
    Pattern.STEADY: 0.875,
    Pattern.TRAINING: 0.871,
    Pattern.INFERENCE: 0.275,
    Pattern.DAILY: 0.5,
    Pattern.WORKDAY: 0.5,
    Pattern.NOTEBOOK: 0.1125,
}


def mean_utilization(pattern: Pattern) -> float:
    """What `utilization` is on average over a long time."""
    return _MEANS[pattern]


def _wave(second: float) -> float:
    """0 at the begin of each day, 1 in its middle."""
    return (1 - math.cos(2 * math.pi * second / _DAY_S)) / 2


def _wobble(seed: int, age_s: float) -> float:
    """Noise in 0..1 without jumps."""
    knot, part = divmod(age_s / _WOBBLE_S, 1)
    return _noise(seed, int(knot)) * (1 - part) + _noise(seed, int(knot) + 1) * part


def _noise(seed: int, number: int) -> float:
    return Random(f"{seed}/{number}").random()  # noqa: S311 - repeatable on purpose
