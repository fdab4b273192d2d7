"""The report of `gpualloc assess`: as text that fits 80 columns, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from gpualloc.model.assessment import (
    IDLE_AFTER_S,
    IDLE_BELOW_RATIO,
    Assessment,
    HolderKind,
    Holding,
    Ledger,
    Lever,
    Saving,
    Span,
)
from gpualloc.views.chart import chart, sparkline
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, bar, duration, escape, percent, plural, shorten, stamp

SHOWN = 5
"""Lines of a table in the text; JSON and the page have more."""
BEGIN = "`gpualloc sample --every 10s` begins one; an evening of it is enough for a first report"
LEVERS = {
    Lever.SUSPEND: "give idle GPUs back",
    Lever.RIGHT_SIZE: "right-size requests",
    Lever.SHARE: "share GPUs (MIG, slices)",
    Lever.CONSOLIDATE: "bring shares together",
    Lever.OFF: "turn idle nodes off",
    Lever.CLOCKS: "lower clocks while idle",
}
"""Each lever in a few words."""
_BAR, _SPARK = 24, 40
_BESIDE = 38
_LABEL = 12


def assessment_text(report: Assessment, look: Look) -> str:
    """The report for a terminal."""
    head = _head(report, look)
    if report.empty:
        return "\n".join([*head, "", "nothing can be told", *_unknown(report, look), "", _wrapped(BEGIN, look)])
    sections = [
        head,
        _use(report, look),
        _waste(report, look),
        _waits(report, look),
        _holders(report, look),
        _sizes(report, look),
        _savings(report, look),
        _unknown(report, look),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _head(report: Assessment, look: Look) -> list[str]:
    told_s, total = report.to_s - report.from_s, report.total
    words = f"{plural(report.devices, 'GPU')} on {plural(len(report.nodes), 'node')} in {duration(told_s)}"
    said = f"{stamp(report.from_s)} to {stamp(report.to_s)}"
    mark = [look.paint("simulated", Role.WARN)] if report.simulated else []
    if report.empty:
        return [*mark, f"asked for the {duration(report.asked_s)} to {stamp(report.to_s)}"]
    return [*mark, look.paint(words, Role.STRONG) + f", {percent(total.known_h / total.all_h)} of it known", said]


def _use(report: Assessment, look: Look) -> list[str]:
    total = report.total
    points = [(moment.at_s, moment.use_ratio) for moment in report.moments]
    said = f"mean use {percent(total.use_ratio)}, over the time that is known"
    drawn = chart(points, look.width, 5, lambda value: f"{100 * value:.0f} %") if len(points) > 1 else []
    return [look.paint("use", Role.STRONG), *drawn, said, *_nodes(report, look)]


def _room(most: int, look: Look) -> int:
    """Columns of a drawing that has words beside it."""
    return max(8, min(most, look.width - _BESIDE))


def _nodes(report: Assessment, look: Look) -> list[str]:
    """A line for each of the nodes that held the most idle; with a single one the chart above is all of it."""
    if len(report.nodes) < 2:
        return []
    columns = [
        Column("node", least=8),
        Column("use over time, to its own highest"),
        Column("use", right=True),
        Column("idle", right=True),
    ]
    shown = sorted(report.nodes, key=lambda one: (-one.ledger.held_idle_h, one.node))[:SHOWN]
    rows = [
        [
            escape(one.node),
            sparkline([(float(place), value) for place, value in enumerate(one.use_ratios)], _room(_SPARK, look)),
            percent(one.ledger.use_ratio),
            f"{one.ledger.held_idle_h:,.1f} GPU-h",
        ]
        for one in shown
    ]
    more = len(report.nodes) - len(shown)
    lines = [table(columns, rows, look)]
    return [*lines, f"and {plural(more, 'node')} that held less idle"] if more else lines


def _waste(report: Assessment, look: Look) -> list[str]:
    total = report.total
    rows = [
        ("in use", total.used_h, Role.GOOD),
        ("held idle", total.held_idle_h, Role.BAD),
        ("free", total.free_h, Role.WARN),
        ("not known", total.unknown_h, Role.QUIET),
    ]
    lines = [look.paint("where the time went", Role.STRONG)]
    for name, hours, role in rows:
        part = hours / total.all_h if total.all_h else 0.0
        drawn = bar(hours, total.all_h, _room(_BAR, look))
        lines.append(f"{name:<{_LABEL}}{look.paint(drawn, role)} {percent(part):>5} {hours:>11,.1f} GPU-h")
    return lines + [_wrapped(text, look) for text in _notes(total)]


def _notes(total: Ledger) -> Iterable[str]:
    yield (
        f"Held idle: somebody has it and no reading of use came to {percent(IDLE_BELOW_RATIO)} for "
        f"{IDLE_AFTER_S / 60:.0f} minutes or more. It held {total.idle_memory_gib_h:,.0f} GiB-hours of GPU memory."
    )
    if total.held_idle_waited_h or total.free_waited_h:
        idle_h, free_h = total.held_idle_waited_h, total.free_waited_h
        yield f"While work waited: {idle_h:,.1f} GPU-h held idle, {free_h:,.1f} GPU-h free."
    if total.energy_known_h:
        yield (
            f"Energy: {total.energy_kwh:,.1f} kWh; {total.held_idle_kwh:,.1f} kWh of it held idle, "
            f"{total.free_kwh:,.1f} kWh free."
        )
    if total.priced_h:
        part = "" if total.priced_h >= total.all_h else f" (of {percent(total.priced_h / total.all_h)} of the GPUs)"
        yield (
            f"Price{part}: {total.cost:,.2f}; {total.held_idle_cost:,.2f} of it held idle, {total.free_cost:,.2f} free."
        )


def _waits(report: Assessment, look: Look) -> list[str]:
    waits = report.waits
    if not waits.workloads:
        return [look.paint("waiting", Role.STRONG), "no work waited for GPUs in this time, as far as gpualloc knows"]
    rows = (
        (waits.fitted_h, "enough GPUs were free on one node"),
        (waits.scattered_h, "enough were free, on different nodes (fragmented)"),
        (waits.full_h, "not enough were free"),
        (waits.unknown_h, "not known"),
    )
    who, longest = plural(waits.workloads, "workload"), f"{waits.longest_h:,.1f} hours the longest"
    said = f"{who} waited {waits.wait_h:,.1f} hours together, {longest}"
    lines = [f"{hours:>9,.1f} h  {words}" for hours, words in rows if hours]
    return [look.paint("waiting", Role.STRONG), _wrapped(said, look), *lines]


def _holders(report: Assessment, look: Look) -> list[str]:
    idle = [one for one in report.holdings if one.idle_h > 0]
    if not idle:
        return []
    priced = any(one.idle_cost is not None for one in idle)
    columns = [
        Column("owner", least=6),
        Column("work", least=10),
        Column("GPUs", right=True),
        Column("held", right=True),
        Column("idle", right=True),
        Column("use", right=True),
        *([Column("idle price", right=True)] if priced else []),
    ]
    rows = [[*_holder(one), *([_money(one.idle_cost)] if priced else [])] for one in idle[:SHOWN]]
    more = [f"and {len(idle) - SHOWN} more"] if len(idle) > SHOWN else []
    owners = [one for one in report.owners if one.idle_h > 0]
    by = ", ".join(f"{owner_text(one.owner)} {one.idle_h:,.1f}" for one in owners[:SHOWN])
    return [
        look.paint("who held GPUs idle (GPU-hours)", Role.STRONG),
        table(columns, rows, look),
        *more,
        _wrapped(f"by owner: {by}", look),
    ]


def _holder(one: Holding) -> list[str | Cell]:
    return [
        owner_text(one.owner),
        holder_text(one),
        str(one.devices),
        f"{one.held_h:,.1f}",
        Cell(f"{one.idle_h:,.1f}", Role.BAD),
        percent(one.use_ratio),
    ]


def owner_text(owner: str | None) -> str:
    """An account, made harmless."""
    return "not known" if owner is None else escape(owner)


def holder_text(one: Holding) -> str:
    """Who held devices, in a few words made harmless."""
    if one.kind is HolderKind.WORKLOAD:
        return f"{escape(one.name)} ({escape(one.id)})"
    if one.kind is HolderKind.STRANGER:
        return f"{escape(one.name)} ({escape(one.id)}, not gpualloc's)"
    return f"memory in use on {escape(one.id)}, nobody seen"


def _sizes(report: Assessment, look: Look) -> list[str]:
    if not report.sizes:
        return []
    lines = [look.paint("asked for, and enough", Role.STRONG)]
    for one in report.sizes[:SHOWN]:
        name = f"{escape(one.name)} ({escape(one.id)}, {escape(one.owner)})"
        lines.append(f"{shorten(name, look.width - 16)}: {one.saved_gpu_h:,.1f} GPU-h")
        told = f"{one.asked or 'as asked'} -> {one.proposed}: {'; '.join(one.why)}"
        lines.append(textwrap.fill(told, look.width, initial_indent="  ", subsequent_indent="  "))
    more = len(report.sizes) - SHOWN
    return [*lines, f"and {more} more"] if more > 0 else lines


def _savings(report: Assessment, look: Look) -> list[str]:
    weekly = any(one.a_week is not None for one in report.savings)
    priced = any(one.cost is not None for one in report.savings)
    columns = [
        Column("lever"),
        Column("in the known time", least=12),
        *([Column("a week like it", least=12)] if weekly else []),
        *([Column("price", least=8)] if priced else []),
    ]
    rows = [
        [
            LEVERS[one.lever],
            saving_text(one),
            *([week_text(one)] if weekly else []),
            *([_cost_text(one)] if priced else []),
        ]
        for one in report.savings
    ]
    said = (
        f"They overlap and do not add up: together at most {report.at_most_h:,.1f} GPU-h. What each assumes is in the "
        "page (--html) and in --json."
    )
    return [
        look.paint("what gpualloc could have saved, from cautious to hopeful", Role.STRONG),
        table(columns, rows, look),
        _wrapped(said, look),
    ]


def saving_text(one: Saving) -> str:
    """What a lever would have saved, with its range."""
    parts = [
        span_text(one.gpu_h, "GPU-h") if one.gpu_h is not None else "",
        span_text(one.kwh, "kWh") if one.kwh is not None and one.gpu_h is None else "",
    ]
    return ", ".join(filter(None, parts)) or "not known"


def beside_text(one: Saving) -> str:
    """What comes with the GPU-hours that a lever gives back: their price, and energy."""
    parts = [
        f"price {_cost_text(one)}" if one.cost is not None and one.cost.high > 0 else "",
        span_text(one.kwh, "kWh") if one.kwh is not None and one.gpu_h is not None else "",
    ]
    return ", ".join(filter(None, parts))


def _cost_text(one: Saving) -> str:
    return "" if one.cost is None else span_text(one.cost, "").rstrip()


def week_text(one: Saving) -> str:
    """What a week like it would come to."""
    return UNKNOWN if one.a_week is None else span_text(one.a_week, "kWh" if one.gpu_h is None else "GPU-h")


def span_text(span: Span, unit: str) -> str:
    """A range; one figure where both ends read the same."""
    if span.high == 0:
        return "nothing"
    low, high = (f"{value:,.0f}" if span.high >= 100 else f"{value:,.1f}" for value in (span.low, span.high))
    return f"{high} {unit}" if low == high else f"{low} to {high} {unit}"


def _unknown(report: Assessment, look: Look) -> list[str]:
    if not report.unknown:
        return []
    lines = [textwrap.fill(text, look.width, initial_indent="- ", subsequent_indent="  ") for text in report.unknown]
    return [look.paint("not known", Role.STRONG), *map(escape_lines, lines)]


def escape_lines(text: str) -> str:
    """Text of several lines made harmless line by line."""
    return "\n".join(escape(line) for line in text.split("\n"))


def _money(cost: float | None) -> str:
    return UNKNOWN if cost is None else f"{cost:,.2f}"


def _wrapped(text: str, look: Look) -> str:
    return textwrap.fill(text, look.width)
