"""The report of `gpualloc assess` as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from gpualloc.model.assessment import IDLE_AFTER_S, IDLE_BELOW_RATIO, Assessment, Ledger
from gpualloc.views import assess_charts as charts
from gpualloc.views.assess import BEGIN, LEVERS, beside_text, holder_text, owner_text, saving_text, week_text
from gpualloc.views.page import page
from gpualloc.views.text import UNKNOWN, duration, percent, plural, stamp
from gpualloc.views.text import escape as harmless

ROWS = 20
"""Lines of a table at most."""
NODES = 100
"""Nodes in the chart at most: those that held the most idle."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.2rem; font-size: 1.15rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #8884; vertical-align: top; }
.words { text-align: left; overflow-wrap: break-word; }
td:not(.words) { white-space: nowrap; }
.table { overflow-x: auto; }
.figures { display: flex; flex-wrap: wrap; gap: .5rem 2.2rem; padding: 0; }
.figures div { min-width: 8rem; } .figures b { display: block; font-size: 1.6rem; line-height: 1.2; }
.legend span { margin-right: 1.2rem; }
.note { opacity: .8; }
.simulated { color: #d55e00; font-weight: bold; }
svg[viewBox] { width: 100%; height: auto; }
"""


def assessment_page(report: Assessment) -> str:
    """The page, whole."""
    title = "GPU use, waste and what could be saved"
    body = _nothing(report) if report.empty else _sections(report)
    mark = '<p class="simulated">simulated</p>\n' if report.simulated else ""
    return page(title, _STYLE, f"{mark}{body}")


def _nothing(report: Assessment) -> str:
    return (
        f"<p>Nothing can be told of the {duration(report.asked_s)} to {stamp(report.to_s)}.</p><p>{escape(BEGIN)}</p>"
    )


def _sections(report: Assessment) -> str:
    told = duration(report.to_s - report.from_s)
    about = (
        f"{plural(report.devices, 'GPU')} on {plural(len(report.nodes), 'node')}, {stamp(report.from_s)} to "
        f"{stamp(report.to_s)} ({told} of the {duration(report.asked_s)} asked for). Times are UTC."
    )
    parts = [
        f"<p>{escape(about)}</p>",
        _figures(report),
        "<h2>What the GPUs did</h2>",
        charts.area(report),
        charts.legend(),
        f'<p class="note">{escape(_idle_words(report.total))}</p>',
        "<h2>Use by node</h2>",
        _strips(report),
        "<h2>What gpualloc could have saved</h2>",
        _savings(report),
        _holders(report),
        _owners(report),
        _sizes(report),
        _waits(report),
        "<h2>What is not known</h2>",
        _list(report.unknown or ("nothing of note",)),
    ]
    return "\n".join(part for part in parts if part)


def _figures(report: Assessment) -> str:
    total = report.total
    figures = [
        (percent(total.use_ratio), "mean use"),
        (f"{total.held_idle_h:,.0f} GPU-h", "held idle"),
        (f"{total.free_h:,.0f} GPU-h", "free"),
        (percent(total.unknown_h / total.all_h), "of the time not known"),
    ]
    if total.priced_h:
        figures.append((f"{total.held_idle_cost:,.0f}", "price of what was held idle"))
    if total.energy_known_h:
        figures.append((f"{total.held_idle_kwh + total.free_kwh:,.0f} kWh", "taken at rest"))
    cells = "".join(f"<div><b>{escape(figure)}</b>{escape(words)}</div>" for figure, words in figures)
    return f'<div class="figures">{cells}</div>'


def _idle_words(total: Ledger) -> str:
    return (
        f"Held idle: somebody has it, and no reading of use came to {percent(IDLE_BELOW_RATIO)} for "
        f"{IDLE_AFTER_S / 60:.0f} minutes or more; it held {total.idle_memory_gib_h:,.0f} GiB-hours of GPU memory. "
        f"While work waited: {total.held_idle_waited_h:,.1f} GPU-hours held idle, {total.free_waited_h:,.1f} free."
    )


def _strips(report: Assessment) -> str:
    shown = sorted(report.nodes, key=lambda node: (-node.ledger.held_idle_h, node.node))[:NODES]
    more = len(report.nodes) - len(shown)
    left = f'<p class="note">{more} more nodes, which held less idle</p>' if more else ""
    return charts.strips(report, sorted(shown, key=lambda node: node.node)) + left


def _savings(report: Assessment) -> str:
    rows = [
        (
            LEVERS[one.lever],
            saving_text(one),
            week_text(one),
            beside_text(one),
            " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in one.assumes),
        )
        for one in report.savings
    ]
    said = (
        "From a cautious to a hopeful figure. They overlap and do not add up: together at most "
        f"{report.at_most_h:,.1f} GPU-hours. A week like it: the middle 90 % over days drawn again and again, if what "
        "was not seen was like what was seen."
    )
    return "\n".join(
        [
            charts.ranges([one for one in report.savings if one.gpu_h is not None], LEVERS),
            f"<p>{escape(said)}</p>",
            _table(
                ("lever", "in the known time", "a week like it", "with it", "what it assumes"), rows, words=(0, 3, 4)
            ),
        ]
    )


def _holders(report: Assessment) -> str:
    idle = [one for one in report.holdings if one.idle_h > 0]
    if not idle:
        return ""
    rows = [
        (
            owner_text(one.owner),
            holder_text(one),
            str(one.devices),
            f"{one.held_h:,.1f}",
            f"{one.idle_h:,.1f}",
            percent(one.use_ratio),
            UNKNOWN if one.idle_cost is None else f"{one.idle_cost:,.2f}",
        )
        for one in idle[:ROWS]
    ]
    head = ("owner", "work", "GPUs", "held GPU-h", "idle GPU-h", "use", "idle price")
    return "<h2>Who held GPUs idle</h2>\n" + _table(head, rows, words=(0, 1)) + _more(len(idle))


def _owners(report: Assessment) -> str:
    idle = [one for one in report.owners if one.idle_h > 0]
    if not idle:
        return ""
    rows = [
        (
            owner_text(one.owner),
            str(one.holders),
            f"{one.held_h:,.1f}",
            f"{one.idle_h:,.1f}",
            percent(one.use_ratio),
            UNKNOWN if one.idle_cost is None else f"{one.idle_cost:,.2f}",
        )
        for one in idle[:ROWS]
    ]
    head = ("owner", "workloads and processes", "held GPU-h", "idle GPU-h", "use", "idle price")
    return "<h2>By owner</h2>\n" + _table(head, rows) + _more(len(idle))


def _sizes(report: Assessment) -> str:
    if not report.sizes:
        return ""
    rows = [
        (
            harmless(f"{one.name} ({one.id}, {one.owner})"),
            one.asked or "as asked",
            one.proposed,
            f"{one.saved_gpu_h:,.1f}",
            "; ".join(one.why),
        )
        for one in report.sizes[:ROWS]
    ]
    head = ("workload", "asked for", "enough", "GPU-h", "why")
    return "<h2>Requests far from use</h2>\n" + _table(head, rows, words=(0, 1, 2, 4)) + _more(len(report.sizes))


def _waits(report: Assessment) -> str:
    waits = report.waits
    if not waits.workloads:
        return "<h2>Waiting</h2>\n<p>No work waited for GPUs in this time, as far as gpualloc knows.</p>"
    rows = [
        ("enough GPUs were free on one node", f"{waits.fitted_h:,.1f}"),
        ("enough were free, on different nodes (fragmented)", f"{waits.scattered_h:,.1f}"),
        ("not enough were free", f"{waits.full_h:,.1f}"),
        ("not known", f"{waits.unknown_h:,.1f}"),
    ]
    said = (
        f"{plural(waits.workloads, 'workload')} waited {waits.wait_h:,.1f} hours, {waits.longest_h:,.1f} the longest."
    )
    return f"<h2>Waiting</h2>\n<p>{escape(said)}</p>\n" + _table(("while they waited", "hours"), rows)


def _more(count: int) -> str:
    return f'\n<p class="note">and {count - ROWS} more</p>' if count > ROWS else ""


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(harmless(sentence))}</li>" for sentence in sentences) + "</ul>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """A table; the columns at the places `words` hold words, the others figures."""

    def line(kind: str, texts: Sequence[str]) -> str:
        marks = [' class="words"' if place in words else "" for place in range(len(texts))]
        cells = (f"<{kind}{mark}>{escape(text)}</{kind}>" for mark, text in zip(marks, texts, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return f'<div class="table"><table><thead>{line("th", head)}</thead><tbody>\n{body}\n</tbody></table></div>'
