"""Moments as people type them."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

from gpualloc.errors import UsageError
from gpualloc.model.units import parse_duration_s

LIVE = frozenset({"", "now", "live"})
_AGO = re.compile(r"-\s*(?P<before>.+)|(?P<after>.+?)\s+ago", re.IGNORECASE)
_CLOCK = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(:(?P<second>\d{2}))?")
_HINT = "write -2h, 14:30, yesterday 14:30, 2026-11-20, 2026-11-20 14:30, or now"


def parse_when(text: str, now_s: float) -> float | None:
    """Turn "-2h", "14:30", "yesterday 14:30", "2026-11-20" or "2026-11-20T14:30Z" into epoch seconds; "now" into None.

    A time of day alone is the last one that was; a day alone is its beginning. What names no time zone is local time.

    Args:
        text: as it was typed.
        now_s: epoch seconds.

    Raises:
        UsageError: it is no moment, or one that is yet to come.
    """
    typed = " ".join(text.split())
    if typed.lower() in LIVE:
        return None
    ago = _AGO.fullmatch(typed)
    try:
        at_s = now_s - _duration_s(ago) if ago else _moment_s(typed.lower(), datetime.fromtimestamp(now_s).astimezone())
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"{text!r} is not a moment", hint=_HINT) from error
    if at_s > now_s:
        raise UsageError(f"{text!r} is yet to come", hint=_HINT)
    return at_s


def _duration_s(ago: re.Match[str]) -> float:
    return parse_duration_s(ago["before"] or ago["after"])


def _moment_s(typed: str, now: datetime) -> float:
    """Epoch seconds of a date, a time of day, or both; raises ValueError."""
    day, _, clock = typed.partition(" ")
    if day in ("today", "yesterday"):
        that = now.date() - timedelta(days=day == "yesterday")
        return _local_s(that, _clock(clock) if clock else time())
    if _CLOCK.fullmatch(typed):
        at = _clock(typed)
        today_s = _local_s(now.date(), at)
        return today_s if today_s <= now.timestamp() else _local_s(now.date() - timedelta(days=1), at)
    # What is naive is local time to `timestamp`.
    return datetime.fromisoformat(typed.upper()).timestamp()


def _clock(text: str) -> time:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return time(int(found["hour"]), int(found["minute"]), int(found["second"] or 0))


def _local_s(day: date, at: time) -> float:
    """Of the day as it is there: one may have 23 hours or 25."""
    return datetime.combine(day, at).timestamp()
