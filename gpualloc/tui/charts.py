"""The charts of a device and of a node: of what, from where, and what stands in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.foresee import foresee
from gpualloc.engine.series import Past, Reading, averaged, joined, past_of
from gpualloc.model.health import Event
from gpualloc.model.sample import METRICS, Level, SeriesKey, SeriesKind
from gpualloc.tui.cells import Role
from gpualloc.tui.foreseen_graph import ahead_of
from gpualloc.tui.graph import Band, Curve, Graph
from gpualloc.tui.past_graph import Line, event_marks, past_graph
from gpualloc.tui.recent import Recent

_LEAST_STEP_S = 300.0
"""What is looked ahead at has steps of that length at least."""
_HORIZONS = 3
_AHEAD = 4
"""A chart looks ahead for one part in so many of what it shows of the past, and for a day at most."""
_FURTHEST_S = 86_400.0


class Trace(Struct, frozen=True):
    """One metric of a chart."""

    metric: str
    name: str = ""
    """As that of a curve; needed where there are several."""


class Chart(Struct, frozen=True):
    """What one chart tells."""

    title: str
    traces: tuple[Trace, ...]
    most: str = ""
    """Which of `About.most` is the most it can be; empty: none is known."""
    is_rest: bool = False
    """Whether the metric is what is left of that most, while the chart tells what is not."""
    of_devices: bool = False
    """Whether it is the mean over the devices of a node, between the lowest and the highest of them."""
    reading: str = ""
    """What the reading is called where a device tells why it is missing."""
    is_foretold: bool = False
    """Whether the engine is asked what is to be expected."""


DEVICE_CHARTS = (
    Chart("GPU use", (Trace("gpu_utilization_ratio"),), reading="gpu_utilization_ratio", is_foretold=True),
    Chart("memory used", (Trace("gpu_memory_used_mib"),), most="memory", reading="memory_used_mib", is_foretold=True),
    Chart("power", (Trace("power_w"),), most="power", reading="power_w", is_foretold=True),
    Chart("temperature", (Trace("temperature_c"),), reading="temperature_c", is_foretold=True),
    Chart(
        "SMs active",
        (Trace("sm_active_ratio", "SMs"), Trace("tensor_active_ratio", "tensor pipes")),
        reading="activity.sm_active_ratio",
    ),
    Chart(
        "PCIe",
        (Trace("pcie_rx_bytes_per_s", "in"), Trace("pcie_tx_bytes_per_s", "out")),
        reading="pcie.rx_bytes_per_s",
    ),
    Chart(
        "NVLink",
        (Trace("nvlink_rx_bytes_per_s", "in"), Trace("nvlink_tx_bytes_per_s", "out")),
        reading="nvlink_rx_bytes_per_s",
    ),
    Chart("SM clock", (Trace("sm_clock_mhz"),), reading="sm_clock_mhz"),
)
NODE_CHARTS = (
    Chart("CPU", (Trace("cpu_utilization_ratio"),), is_foretold=True),
    Chart("memory used", (Trace("memory_available_mib"),), most="memory", is_rest=True),
    Chart("GPU use, mean", (Trace("gpu_utilization_ratio"),), of_devices=True),
    Chart("network", (Trace("network_rx_bytes_per_s", "in"), Trace("network_tx_bytes_per_s", "out"))),
    Chart("disk used", (Trace("disk_used_mib"),), most="disk"),
    Chart("disk operations", (Trace("disk_reads_per_s", "reads"), Trace("disk_writes_per_s", "writes"))),
    Chart("RDMA", (Trace("rdma_rx_bytes_per_s", "in"), Trace("rdma_tx_bytes_per_s", "out"))),
)
_ROLES = (Role.CURVE, Role.MEMORY)


class About(Struct, frozen=True):
    """What charts are of."""

    node: str
    device: str | None = None
    """UUID; None: the node itself."""
    devices: tuple[str, ...] = ()
    """UUIDs of the devices of a node."""
    most: Mapping[str, float | None] = field(default_factory=dict)
    """`memory`, `power`, `disk`: the most that can be used; None is unknown."""
    why: Mapping[str, str] = field(default_factory=dict)
    """Why a device does not tell a reading; untrusted text."""

    @property
    def key(self) -> tuple[str, str | None, tuple[str, ...]]:
        """Names it."""
        return self.node, self.device, self.devices

    def series(self, chart: Chart) -> tuple[SeriesKey, ...]:
        """What the chart is made of."""
        if chart.of_devices:
            return tuple(SeriesKey(SeriesKind.DEVICE, self.node, device) for device in self.devices)
        kind = SeriesKind.NODE if self.device is None else SeriesKind.DEVICE
        return (SeriesKey(kind, self.node, self.device or ""),)


class Window(Struct, frozen=True):
    """The time that charts show."""

    start_s: float
    """Epoch seconds."""
    end_s: float
    is_live: bool
    """Whether its end is now."""


class Stored(Struct, frozen=True):
    """What was read for the charts of one thing."""

    pasts: Mapping[tuple[SeriesKey, str], Past] = field(default_factory=dict)
    """By series and name of the metric."""
    events: tuple[Event, ...] = ()
    """Oldest first; those of the last `events_s` seconds too that are not in the window."""


Ahead = Mapping[str, tuple[Curve, Band]]
"""What is to be expected, by the name of a metric."""


def read_stored(
    ctx: Context, about: About, charts: Sequence[Chart], window: Window, *, columns: int, events_s: float
) -> Stored:
    """Read what is kept for the charts. Blocks.

    Args:
        ctx: the ports.
        about: what they are of.
        charts: which ones.
        window: the time that they show.
        columns: how wide one is.
        events_s: how far back events are wanted in any case, seconds.
    """
    metrics: dict[SeriesKey, list[str]] = {}
    for chart in charts:
        for key in about.series(chart):
            metrics.setdefault(key, []).extend(trace.metric for trace in chart.traces)
    pasts = {
        (key, name): past
        for key, names in metrics.items()
        for name, past in past_of(
            ctx, key, names, since_s=window.start_s, until_s=window.end_s, columns=columns
        ).items()
    }
    since_s = min(window.start_s, window.end_s - events_s)
    found = ctx.events.events(since_s, node=about.node, device=about.device)
    return Stored(pasts, tuple(event for event in found if event.at_s <= window.end_s))


def look_ahead(ctx: Context, about: About, charts: Sequence[Chart], span_s: float) -> Ahead:
    """What is to be expected of the charts that are foretold; without those of which too little is known. Blocks.

    Args:
        ctx: the ports.
        about: what they are of.
        charts: which ones.
        span_s: how much of the past they show, seconds.
    """
    horizons = horizons_of(span_s)
    found = {}
    for chart in charts if horizons else ():
        metric = chart.traces[0].metric
        seen = foresee(ctx, metric, horizons, node=about.node, device=about.device)
        ahead = ahead_of(seen, 0) if seen.grid.names else None
        if ahead is not None:
            found[metric] = ahead
    return found


def horizons_of(span_s: float) -> tuple[float, ...]:
    """How far ahead charts of so much of the past look, in seconds; empty: not at all."""
    longest_s = min(_FURTHEST_S, span_s / _AHEAD)
    if longest_s < _HORIZONS * _LEAST_STEP_S:
        return ()
    return tuple(longest_s * step / _HORIZONS for step in range(1, _HORIZONS + 1))


def graph_of(
    chart: Chart, about: About, window: Window, *, stored: Stored, recent: Recent, ahead: Ahead
) -> Graph | None:
    """The chart as it is drawn; None when nothing of it is known in this time.

    Args:
        chart: what it tells.
        about: what it is of.
        window: the time that it shows.
        stored: what was read of it, maybe of another time.
        recent: what the dashboard saw itself; counts only where the window ends now.
        ahead: what is to be expected.
    """
    most = about.most.get(chart.most)
    lines = []
    for trace, role in zip(chart.traces, _ROLES, strict=False):
        past = _past(chart, trace.metric, about, window, stored=stored, recent=recent)
        lines.append(Line(_used(past, most) if chart.is_rest else past, role, trace.name))
    lines = [line for line in lines if _is_known(line.past, window)]
    if not lines:
        return None
    drawn = past_graph(
        chart.title if len(lines) > 1 or not lines[0].name else f"{chart.title}, {lines[0].name}",
        [lines[0], *lines[1:]] if len(lines) > 1 else [replace(lines[0], name="")],
        start_s=window.start_s,
        end_s=window.end_s,
        is_live=window.is_live,
        high=None if most is None else max([most, *_highs(lines, window)]),
        marks=event_marks(stored.events),
    )
    return _with_ahead(drawn, chart, window, ahead)


def _with_ahead(drawn: Graph, chart: Chart, window: Window, ahead: Ahead) -> Graph:
    """With what is to be expected behind now; charts of the same time all reach that far."""
    if not ahead or not window.is_live:
        return drawn
    end_s = max(curve.points[-1][0] for curve, _ in ahead.values())
    told = ahead.get(chart.traces[0].metric) if chart.is_foretold else None
    if told is not None:
        curve, band = told
        bands = drawn.bands or tuple(Band((), Role.CURVE_BAND) for _ in drawn.curves)
        drawn = replace(drawn, curves=(*drawn.curves, replace(curve, name="")), bands=(*bands, band))
    return replace(drawn, end_s=max(end_s, window.end_s), now_s=window.end_s)


def missing(chart: Chart, about: About) -> str:
    """Why nothing of a chart is known, as far as the device tells; untrusted text, empty where it does not."""
    return about.why.get(chart.reading, "") if chart.reading else ""


def _past(chart: Chart, metric: str, about: About, window: Window, *, stored: Stored, recent: Recent) -> Past:
    found = [_one(key, metric, stored, recent, window) for key in about.series(chart)]
    if not found:
        return Past(SeriesKey(SeriesKind.DEVICE, about.node, ""), METRICS[metric], Level.RAW, 1.0)
    return averaged(found) if chart.of_devices else found[0]


def _one(key: SeriesKey, metric: str, stored: Stored, recent: Recent, window: Window) -> Past:
    past = stored.pasts.get((key, metric)) or Past(key, METRICS[metric], Level.RAW, 1.0)
    return joined(past, recent.points(key, metric, window.start_s)) if window.is_live else past


def _used(past: Past, most: float | None) -> Past:
    """What is not left of the most; unknown where that is."""

    def rest(value: float | None) -> float | None:
        return None if value is None or most is None else max(0.0, most - value)

    readings = [Reading(one.at_s, rest(one.high), rest(one.mean), rest(one.low)) for one in past.readings]
    return replace(past, readings=tuple(readings))


def _highs(lines: Sequence[Line], window: Window) -> list[float]:
    """The highest of each line: a limit that was lowered does not cut off what was before."""
    return [
        reading.high
        for line in lines
        for reading in line.past.readings
        if reading.high is not None and window.start_s <= reading.at_s <= window.end_s
    ]


def _is_known(past: Past, window: Window) -> bool:
    within = (reading for reading in past.readings if window.start_s - past.step_s <= reading.at_s <= window.end_s)
    return any(reading.mean is not None for reading in within)
