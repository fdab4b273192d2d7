"""Timetables of pools as the configuration writes them: `Mon-Fri 08:00-20:00 = 6`."""

from __future__ import annotations

import re

from gpualloc.model.scaling import DAY_S, WEEKDAYS, Hours

_HOURS = re.compile(
    r"([A-Z][a-z]{2}(?:[,-][A-Z][a-z]{2}){0,6}) +([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9]) *= *([0-9]{1,6})"
)


def read_hours(text: str) -> Hours:
    """Hours of some weekdays and the nodes to have in them.

    Raises:
        ValueError: says how it is written.
    """
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise ValueError('as in: "Mon-Fri 08:00-20:00 = 6", "Sat,Sun 22:00-06:00 = 2"')
    days, *numbers = match.groups()
    from_h, from_m, until_h, until_m, nodes = map(int, numbers)
    from_s, until_s = from_h * 3600 + from_m * 60, until_h * 3600 + until_m * 60
    if from_s >= DAY_S or until_s > DAY_S:
        raise ValueError("a day goes from 00:00 to 24:00")
    return Hours(_days(days), from_s, until_s, nodes)


def _days(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        unknown = [day for day in (first, last or first) if day not in WEEKDAYS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is none of {', '.join(WEEKDAYS)}")
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        found.update(day % 7 for day in range(begin, end + (1 if end >= begin else 8)))
    return tuple(sorted(found))
