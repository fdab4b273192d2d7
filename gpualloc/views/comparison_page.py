"""A comparison of policies as one HTML page that needs nothing else: figures, and curves as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from gpualloc.sim.traces.comparison import LOADS, Entry
from gpualloc.views.comparison import no_place, shown
from gpualloc.views.page import page
from gpualloc.views.plot import Line, plot
from gpualloc.views.simulation import FROM_PCT
from gpualloc.views.text import UNKNOWN, plural

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
.table { overflow-x: auto; }
tr.published, tr.bound { opacity: .75; }
svg { width: 100%; height: auto; }
svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
.grid { stroke: currentColor; opacity: .15; }
.wrong { color: #c00; font-weight: bold; }
"""


def comparison_page(entries: Sequence[Entry], orders: Sequence[str], tasks: str) -> str:
    """The page.

    Args:
        entries: the lines of the comparison; at least one.
        orders: labels of the orders of arrival.
        tasks: which trace it was, such as the path of its tasks.
    """
    title = "Unallocated GPU %, simulated"
    about = f"{tasks}: {plural(len(orders), 'order')} of arrival ({', '.join(orders)}). Mean ± standard deviation."
    head = "".join(f"<th>{escape(column)}</th>" for column in _columns())
    body = "\n".join(_row(entry) for entry in entries)
    told = f"""<p>{escape(about)}</p>
{_curves(entries)}
<div class="table">
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
<p>Fragmented: idle and of no use, in percent of all GPUs, at load 100.
Wrong: limits broken, and refusals of what fitted.</p>"""
    return page(title, _STYLE, told)


def _columns() -> list[str]:
    loads = [f"load {load}" for load in LOADS]
    return ["policy", *loads, "fragmented", "kW at 100", "decisions/s", "wrong", "no place"]


def _row(entry: Entry) -> str:
    loads = [shown(entry.unallocated_pct[load]) for load in LOADS]
    figures = entry.figures
    if figures is None:
        return _cells(entry.kind, [entry.label, *loads, "", "", "", "", ""])
    wrong = figures.violations + figures.refusals_that_fitted
    return _cells(
        "run wrong" if wrong else "run",
        [
            entry.label,
            *loads,
            shown(figures.fragmentation_pct),
            shown(figures.power_kw),
            UNKNOWN if figures.decisions_per_s is None else f"{figures.decisions_per_s:,.0f}",
            str(wrong),
            no_place(figures),
        ],
    )


def _cells(kind: str, texts: Iterable[str]) -> str:
    return f'<tr class="{kind}">' + "".join(f"<td>{escape(text)}</td>" for text in texts) + "</tr>"


def _curves(entries: Sequence[Entry]) -> str:
    hues = {name: hue for hue, name in enumerate(dict.fromkeys(entry.name for entry in entries))}
    lines = [line for entry in entries if (line := _line(entry, hues[entry.name])).points]
    return plot(lines, "GPU demand that has arrived, % of all GPUs", "unallocated GPU %") if lines else ""


def _line(entry: Entry, hue: int) -> Line:
    if entry.figures is not None:
        drawn = [(load, part) for load, part in entry.figures.curve if load >= FROM_PCT]
        return Line(entry.label, tuple((float(load), part) for load, part in drawn or entry.figures.curve), hue)
    known = [(float(load), spread.mean) for load in LOADS if (spread := entry.unallocated_pct[load]) is not None]
    return Line(entry.label, tuple(known), hue, dots=True)
