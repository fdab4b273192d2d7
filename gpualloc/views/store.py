"""What lies in the state's files, and what was done with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gpualloc.model.sample import SeriesKey
from gpualloc.model.store import Backup, Compacted, LevelFigures, StoreFigures
from gpualloc.views.csv import Value, csv_header, csv_rows
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Column, table
from gpualloc.views.text import bar, escape, plural, stamp

_LINES = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")
_KILO = 1000
_BAR = 16
_MINUTES = len("2026-11-21 19:21")


def figures_data(figures: StoreFigures, folder: str, *, simulated: bool) -> dict[str, object]:
    """`data` of `store stats --json`; sizes in bytes, times in epoch seconds."""
    return {
        "folder": folder,
        "simulated": simulated,
        "state_bytes": figures.state_bytes,
        "history_bytes": figures.history_bytes,
        "journal_bytes": figures.journal_bytes,
        "free_bytes": figures.free_bytes,
        "series": {kind.value: count for kind, count in figures.series.items()},
        "unpacked": {
            "rows": figures.ticks,
            "bytes": figures.tick_bytes,
            "oldest_s": figures.oldest_tick_s,
            "hours_to_roll": figures.due,
        },
        "levels": [
            {
                "level": one.level.value,
                "chunks": one.chunks,
                "bytes": one.bytes,
                "oldest_s": one.oldest_s,
                "newest_s": one.newest_s,
                "bytes_per_device_day": one.bytes_per_device_day,
            }
            for one in figures.levels
        ],
    }


def figures_text(figures: StoreFigures, folder: str, look: Look, *, simulated: bool) -> str:
    """Files, series and levels, with bars for what takes the room."""
    said = ", " + look.paint("simulated", Role.WARN) if simulated else ""
    series = ", ".join(f"{count} {kind.value}" for kind, count in figures.series.items())
    whole = figures.history_bytes
    rows = [_level_row(one, whole) for one in figures.levels]
    rows.append(["unpacked", str(figures.ticks), size(figures.tick_bytes), _since(figures.oldest_tick_s), "", "", ""])
    columns = [
        Column("level"), Column("chunks", right=True), Column("size", right=True), Column("from"),
        Column("to"), Column("GPU and day", right=True), Column("share", least=4),
    ]  # fmt: skip
    lines = [
        f"{escape(folder)}{said}",
        f"state.db {size(figures.state_bytes)}, history.db {size(whole)} ({size(figures.free_bytes)} of it free), "
        f"write-ahead log {size(figures.journal_bytes)}",
        f"series: {series}",
        "",
        table(columns, rows, look),
    ]
    if figures.due:
        lines.append(f"{plural(figures.due, 'hour of a block', 'hours of blocks')} packed and not rolled yet")
    return "\n".join(lines)


def compacted_data(done: Compacted, *, simulated: bool) -> dict[str, object]:
    """`data` of `store compact --json`."""
    return {
        "steps": done.steps,
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
        "whole": done.whole,
        "simulated": simulated,
    }


def compacted_text(done: Compacted) -> str:
    """What it came to."""
    said = f"{plural(done.steps, 'chunk')} packed or rolled; history.db and its log: "
    said += f"{size(done.bytes_before)} before, {size(done.bytes_after)} now"
    return said if done.whole else said + "; some of it is being read, and stays for now"


def backup_data(made: Backup, file: str) -> dict[str, object]:
    """`data` of `store backup --json` and `store restore --json`."""
    return {
        "file": file,
        "made_at_s": made.made_at_s,
        "gpualloc": made.version,
        "simulated": made.simulated,
        "files": dict(made.files),
    }


def backup_text(made: Backup, file: str, *, restored: bool) -> str:
    """What is in it."""
    held = ", ".join(f"{name} {size(its_bytes)}" for name, its_bytes in made.files.items())
    done = "is in place again" if restored else "was written"
    simulated = " (simulated)" if made.simulated else ""
    return f"{escape(file)} of {stamp(made.made_at_s)} {done}: {held}{simulated}"


def export_csv(
    columns: Sequence[str], rows: Iterable[tuple[int, SeriesKey, Sequence[float | None]]], *, simulated: bool
) -> Iterator[str]:
    """The table as text, some lines at a time; an unknown value is an empty field."""
    yield csv_header(["at_s", "node", "kind", "key", *columns, "simulated"])
    lines: list[Sequence[Value]] = []
    for at_s, key, values in rows:
        lines.append((at_s, key.node, key.kind.value, key.key, *values, simulated))
        if len(lines) == _LINES:
            yield csv_rows(lines)
            lines = []
    yield csv_rows(lines)


def size(count: float) -> str:
    """Bytes as `512 B`, `84.1 kB` or `9.7 GB`, by thousands as disks are sold."""
    for unit in _UNITS[:-1]:
        if count < _KILO:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= _KILO
    return f"{count:.3g} {_UNITS[-1]}"


def _level_row(one: LevelFigures, whole: int) -> list[str]:
    per_day = "" if one.bytes_per_device_day is None else size(one.bytes_per_device_day)
    share = bar(one.bytes, whole, _BAR) if whole else ""
    return [
        one.level.value,
        str(one.chunks),
        size(one.bytes),
        *map(_since, (one.oldest_s, one.newest_s)),
        per_day,
        share,
    ]


def _since(at_s: int | None) -> str:
    return "" if at_s is None else stamp(at_s)[:_MINUTES]
