"""The header: the cluster in two lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from gpualloc.tui.cells import Cell, Role, Span, bar, cell, gib, memory_ratio, width_of
from gpualloc.tui.cost import Cost
from gpualloc.tui.rows import FRESH_PERIODS, Standing
from gpualloc.tui.text import age_text, plain, time_text
from gpualloc.tui.totals import Totals
from gpualloc.tui.values import rate_text
from gpualloc.tui.widgets.lines import Lines

_GAP: Cell = cell("  ")
_RATE_FROM, _SLOWEST_FROM = 100, 140
"""Widths from which what nodes tell per second, and the slowest of them, have room."""
_BLANKS = 3
"""Cells of a line that stay blank: one at each end and one between left and right."""


class Heading(Struct, frozen=True):
    """What the header says beside the sums."""

    title: str
    simulated: bool
    paused: bool
    now_s: float
    every_s: float
    cost: Cost
    read_only: bool = False
    slowest: tuple[str, float] | None = None
    """The node heard longest ago among those that answer, and its age in seconds."""
    banners: tuple[str, ...] = ()
    """What else must not be overlooked: where in time it is, and that it is recorded."""


class Summary(Lines):
    """Nodes, devices, memory, power, work, clock and the dashboard's own cost."""

    def show_totals(self, heading: Heading, totals: Totals) -> None:
        """Draw the header."""
        width = self.size.width
        clock = [cell(time_text(heading.now_s), Role.NAME)]
        first = _joined(_first_left(heading, totals, width - width_of(clock[0])), clock, width)
        second = _joined(_second_left(totals, width), _second_right(heading, width), width)
        self.show([first, second])


def _first_left(heading: Heading, totals: Totals, room: int) -> list[Cell]:
    banners = [cell(" SIMULATED ", Role.BANNER)] if heading.simulated else []
    banners += [cell(" READ ONLY ", Role.BANNER)] if heading.read_only else []
    banners += [cell(f" {words} ", Role.BANNER) for words in heading.banners]
    parts = [cell(plain(heading.title, 40), Role.NAME), *banners, _nodes(totals)]
    devices = _devices(totals)
    # The total is what can be spared first: the parts add up to it.
    fits = width_of(_with_gaps([*parts, devices])) + _BLANKS <= room
    return [*parts, devices if fits else devices[3:]]


def _second_left(totals: Totals, width: int) -> list[Cell]:
    return [_memory(totals, 6 if width < 100 else 24, width >= 100), _work(totals), _power(totals)]


def _second_right(heading: Heading, width: int) -> list[Cell]:
    cost = heading.cost
    cpu = "n/a" if cost.cpu_ratio is None else f"{cost.cpu_ratio * 100:.1f}%"
    rate = "" if cost.received_bytes_per_s is None else f" {rate_text(cost.received_bytes_per_s)}"
    memory = "n/a" if cost.rss_mib is None else f"{cost.rss_mib}M"
    period = cell(" PAUSED ", Role.BANNER) if heading.paused else cell(f"every {heading.every_s:g}s", Role.DIM)
    parts = [period, cell(f"own {cpu} {memory}{rate if width >= _RATE_FROM else ''}", Role.DIM)]
    if heading.slowest is None or width < _SLOWEST_FROM:
        return parts
    name, age_s = heading.slowest
    # One that is as fresh as can be is not counted out, as it would change all the time.
    late = age_s > FRESH_PERIODS * heading.every_s
    words = f"{plain(name, 20)} {age_text(age_s)}" if late else f"all <{math.ceil(FRESH_PERIODS * heading.every_s)}s"
    return [(Span("slowest ", Role.DIM), Span(words, Role.WARN if late else Role.DIM)), *parts]


def _joined(left: Sequence[Cell], right: Sequence[Cell], width: int) -> Cell:
    """Left and right parts; of the left ones, those that fit."""
    tail = _with_gaps(right)
    room = width - width_of(tail) - _BLANKS
    head: list[Cell] = []
    for part in left:
        if width_of(_with_gaps([*head, part])) > room:
            break
        head.append(part)
    line = _with_gaps(head)
    return (Span(" "), *line, Span(" " * max(1, width - 2 - width_of(line) - width_of(tail))), *tail)


def _with_gaps(parts: Sequence[Cell]) -> Cell:
    line: Cell = ()
    for part in parts:
        line = (*line, *_GAP, *part) if line else part
    return line


def _nodes(totals: Totals) -> Cell:
    role = Role.PLAIN if totals.nodes_ok == totals.nodes else Role.BAD
    return (Span(f"{totals.nodes_ok}/{totals.nodes}", role), Span(" nodes ok", Role.DIM))


def _devices(totals: Totals) -> Cell:
    if not totals.devices:
        return (Span("no GPU", Role.DIM),)
    spans = [Span(str(totals.devices)), Span(" GPUs:", Role.DIM)]
    words = (
        (Standing.BUSY, "busy", Role.PLAIN),
        (Standing.IDLE, "idle", Role.PLAIN),
        (Standing.FAULTY, "faulty", Role.BAD),
        (Standing.UNKNOWN, "silent", Role.WARN),
    )
    for standing, word, role in words:
        count = totals.standing[standing]
        if count:
            spans += [Span(" "), Span(str(count), role), Span(f" {word}", Role.DIM)]
    return tuple(spans)


def _memory(totals: Totals, bar_width: int, tell_unknown: bool) -> Cell:
    known = totals.sums
    if known.memory_used_mib is None or known.memory_total_mib is None:
        return (Span("memory ", Role.DIM), Span("n/a", Role.DIM))
    ratio = memory_ratio(known.memory_used_mib, known.memory_total_mib)
    text = f" {gib(known.memory_used_mib)}/{gib(known.memory_total_mib)} GiB"
    missing = cell(f" +{known.unknown} n/a", Role.DIM) if known.unknown and tell_unknown else ()
    return (Span("memory ", Role.DIM), *bar(ratio, bar_width, Role.MEMORY), Span(text), *missing)


def _power(totals: Totals) -> Cell:
    power_w = totals.sums.power_w
    return (Span("power ", Role.DIM), Span("n/a", Role.DIM) if power_w is None else Span(f"{power_w / 1000:.1f} kW"))


def _work(totals: Totals) -> Cell:
    if totals.running is None or totals.pending is None:
        return (Span("work ", Role.DIM), Span("n/a", Role.DIM))
    return (
        Span(str(totals.running)),
        Span(" running ", Role.DIM),
        Span(str(totals.pending), Role.WARN if totals.pending else Role.PLAIN),
        Span(" pending", Role.DIM),
    )
