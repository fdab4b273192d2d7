"""Charts of the report as SVG, to stand inside its page. Everything foreign is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from gpualloc.model.assessment import Assessment, Lever, Moment, NodeUse, Saving
from gpualloc.views.assess import span_text
from gpualloc.views.text import percent, shorten, stamp

WIDTH = 860
_LEFT, _RIGHT, _WORDS = 180, 16, 240
_AREA_HEIGHT, _ROW, _BAR, _AXIS = 220, 16, 26, 24
PARTS: tuple[tuple[str, str, Callable[[Moment], float]], ...] = (
    ("#009e73", "in use", lambda moment: moment.used),
    ("#d55e00", "held idle", lambda moment: moment.held_idle),
    ("#56b4e9", "free", lambda moment: moment.free),
    ("#9a9a9a", "not known", lambda moment: moment.unknown),
)
"""Colour, words and figure of each part of the time, from the bottom up; told apart by people who see colours
differently (Okabe and Ito)."""
_USE, _UNKNOWN, _SURE = "#009e73", "#9a9a9a", "#0072b2"


def area(report: Assessment) -> str:
    """GPUs over time, stacked by what they did."""
    top = float(max(1, report.devices))
    points = report.moments
    bottom = _AREA_HEIGHT - _AXIS

    def y(gpus: float) -> float:
        return bottom - gpus / top * (bottom - 8)

    edges = [*(moment.at_s for moment in points), report.to_s]
    below = [0.0] * len(points)
    shapes = []
    for colour, words, figure in PARTS:
        above = [low + figure(moment) for low, moment in zip(below, points, strict=True)]
        upper = _steps(report, edges, [y(value) for value in above])
        lower = _steps(report, edges, [y(value) for value in below])
        path = " ".join(f"{x:.1f},{at:.1f}" for x, at in [*upper, *reversed(lower)])
        shapes.append(f'<polygon fill="{colour}" points="{path}"><title>{escape(words)}</title></polygon>')
        below = above
    labels = [
        f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in (0.0, top / 2, top)
    ]
    return _svg(_AREA_HEIGHT, "GPUs over time by what they did", [*shapes, *labels, *_times(report, bottom)])


def legend() -> str:
    """The parts in words, with their colours."""
    marks = "".join(
        f'<span><svg width="12" height="12" aria-hidden="true"><rect fill="{colour}" width="12" height="12"/></svg> '
        f"{escape(words)}</span>"
        for colour, words, _ in PARTS
    )
    return f'<p class="legend">{marks}</p>'


def strips(report: Assessment, nodes: Sequence[NodeUse]) -> str:
    """The use of each node along the time line: the stronger the colour, the higher."""
    cells = []
    for number, node in enumerate(nodes):
        at = number * _ROW
        name = escape(shorten(node.node, 20))
        cells.append(f'<text x="{_LEFT - 6}" y="{at + 12}" text-anchor="end">{name}</text>')
        for place, value in enumerate(node.use_ratios):
            left = _x(report, report.moments[place].at_s)
            later = report.moments[place + 1].at_s if place + 1 < len(report.moments) else report.to_s
            box = f'x="{left:.1f}" y="{at + 2}" width="{_x(report, later) - left:.2f}" height="{_ROW - 4}"'
            told = f"<title>{escape(node.node)}, {stamp(report.moments[place].at_s)}: {percent(value)}</title>"
            if value is None:
                cells.append(f'<rect fill="{_UNKNOWN}" {box}>{told}</rect>')
            else:
                cells.append(f'<rect fill="{_USE}" {box} fill-opacity="{0.06 + 0.94 * value:.2f}">{told}</rect>')
    bottom = len(nodes) * _ROW
    return _svg(bottom + _AXIS, "use of each node over time", [*cells, *_times(report, bottom)])


def ranges(savings: Sequence[Saving], words: Mapping[Lever, str]) -> str:
    """The GPU-hours that each lever gives back: a full bar to the cautious figure, a pale one to the hopeful."""
    spans = [(words[one.lever], one.gpu_h) for one in savings if one.gpu_h is not None]
    most = max((span.high for _, span in spans), default=0.0) or 1.0
    parts = []
    for number, (name, span) in enumerate(spans):
        at = number * _BAR
        low, high = (value / most * (WIDTH - _LEFT - _WORDS) for value in (span.low, span.high))
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 16}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect fill="{_SURE}" fill-opacity=".35" x="{_LEFT}" y="{at + 4}" width="{high:.1f}" height="16"/>'
        )
        parts.append(f'<rect fill="{_SURE}" x="{_LEFT}" y="{at + 4}" width="{low:.1f}" height="16"/>')
        told = escape(span_text(span, "GPU-h"))
        parts.append(f'<text x="{_LEFT + high + 6:.1f}" y="{at + 16}">{told}</text>')
    return _svg(_BAR * len(spans), "GPU-hours that each lever could have given back", parts)


def _steps(report: Assessment, edges: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """Corners of a line that keeps each value from one edge to the next."""
    corners = []
    for place, value in enumerate(values):
        corners += [(_x(report, edges[place]), value), (_x(report, edges[place + 1]), value)]
    return corners


def _x(report: Assessment, at_s: float) -> float:
    span_s = report.to_s - report.from_s
    return _LEFT + (at_s - report.from_s) / span_s * (WIDTH - _LEFT - _RIGHT)


def _times(report: Assessment, bottom: float) -> list[str]:
    """Times below a chart: midnights, or with few of them whole hours (UTC)."""
    span_s = report.to_s - report.from_s
    steps = (600, 3600, 3 * 3600, 6 * 3600, 86_400, 2 * 86_400, 7 * 86_400, 30 * 86_400)
    step_s = next((step_s for step_s in steps if span_s / step_s <= 8), 90 * 86_400)
    first = -(-report.from_s // step_s) * step_s
    form = "%H:%M" if step_s < 86_400 else "%b %d"
    labels = []
    for number in range(int((report.to_s - first) / step_s) + 1):
        at_s = first + number * step_s
        x = _x(report, at_s)
        text = datetime.fromtimestamp(at_s, UTC).strftime(form)
        labels.append(
            f'<line stroke="currentColor" stroke-opacity=".15" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{bottom:.1f}"/>'
        )
        labels.append(f'<text x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{text}</text>')
    return labels


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    box = f'viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}"'
    return "\n".join([f'<svg {box} fill="currentColor" font-size="12">', *parts, "</svg>"])
