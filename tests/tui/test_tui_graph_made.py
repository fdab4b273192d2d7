"""Charts made of what is stored, of what was seen, and of what is expected."""

from __future__ import annotations

import math
from array import array
from itertools import pairwise

import pytest

from gpualloc.engine.series import Past, Reading
from gpualloc.model.forecast import Forecasts, Grid
from gpualloc.model.foresight import CHOSEN, By, Foresight, Score, Subject
from gpualloc.model.health import Event, Severity, Trouble
from gpualloc.model.sample import METRICS, Level, SeriesKey, SeriesKind
from gpualloc.tui.cells import Role
from gpualloc.tui.fields import Unit
from gpualloc.tui.foreseen_graph import error_words, foreseen_graphs
from gpualloc.tui.graph import Graph
from gpualloc.tui.graph_lines import graph_lines
from gpualloc.tui.past_graph import Line, event_marks, past_graph, unit_of

T = 1_790_000_000.0
KEY = SeriesKey(SeriesKind.DEVICE, "a1", "GPU-1")


def past(metric: str, *readings: tuple[float | None, float | None, float | None]) -> Past:
    told = tuple(Reading(T + 60 * at, *reading) for at, reading in enumerate(readings))
    return Past(KEY, METRICS[metric], Level.MINUTE, 60.0, told)


def lines_of(graph: Graph) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in graph_lines(graph, 80, 12)]


def test_single_readings_are_a_line_and_steps_have_a_band() -> None:
    use = past("gpu_utilization_ratio", (0.2, 0.2, 0.2), (0.5, 0.5, 0.5))
    graph = past_graph("use", [Line(use, Role.UTILIZATION)], start_s=T, end_s=T + 120, is_live=True)
    assert (graph.title, graph.unit, graph.high, graph.now_s, graph.bands) == ("use", Unit.RATIO, 1.0, T + 120, ())
    assert graph.curves[0].points == [(T, 0.2), (T + 60, 0.5)]
    wide = past("gpu_utilization_ratio", (0.1, 0.2, 0.9), (None, None, None), (0.3, 0.3, 0.3))
    graph = past_graph("use", [Line(wide, Role.UTILIZATION)], start_s=T, end_s=T + 120, is_live=False)
    assert graph.bands[0].points == [(T, 0.1, 0.9), (T + 60, None, None), (T + 120, 0.3, 0.3)]
    assert lines_of(graph)[0] == "use  last 30 %  min 10 %  mean 25 %  max 90 %"


def test_two_metrics_are_told_apart_without_colour() -> None:
    steady = past("pcie_rx_bytes_per_s", (1e6, 1e6, 1e6), (1e6, 1e6, 1e6))
    wide = past("pcie_tx_bytes_per_s", (0.0, 2e6, 4e6), (0.0, 2e6, 4e6))
    lines = [Line(steady, Role.UTILIZATION, "rx"), Line(wide, Role.MEMORY, "tx")]
    graph = past_graph("PCIe", lines, start_s=T, end_s=T + 120, is_live=True)
    assert [curve.dashed for curve in graph.curves] == [False, True]
    assert lines_of(graph)[0] == "PCIe  ━ rx  ╍ tx  now 1 MB/s  min 1 MB/s  mean 1 MB/s  max 1 MB/s"


@pytest.mark.parametrize(
    ("metric", "title"), [("energy_j", "x, J"), ("power_w", "x"), ("ecc_uncorrected", "x, errors")]
)
def test_units_without_a_sign_stand_in_the_title(metric: str, title: str) -> None:
    graph = past_graph("x", [Line(past(metric), Role.UTILIZATION)], start_s=T, end_s=T + 1, is_live=True)
    assert graph.title == title


def test_every_metric_has_a_unit() -> None:
    words = {metric.unit for metric in METRICS.values()}
    assert {word for word in words if unit_of(word) is Unit.COUNT} == {"J", "errors", "1/s"}


def test_events_are_marks() -> None:
    def event(severity: Severity) -> Event:
        return Event(T, next(iter(Trouble)), severity, "a1", None, "it fell", None, "k")

    roles = [mark.role for mark in event_marks([event(severity) for severity in Severity])]
    assert roles[:2] == [Role.DIM, Role.WARN]
    assert set(roles[2:]) == {Role.BAD}


def foresight(values: list[float], *bands: tuple[float, float, float], names: tuple[str, ...] = ("a",)) -> Foresight:
    grid = Grid(names, T, 300.0, len(values) // len(names), array("d", values))
    told = array("d", [edge for band in bands for edge in band])
    horizons = tuple(2 * (at + 1) for at in range(len(bands) // len(names)))
    forecasts = Forecasts(horizons, told, (("m",) * len(horizons),) * len(names))
    return Foresight(Subject("demand", By.POOL), "GPUs", grid, forecasts, 0.0, "auto 1")


def test_what_is_expected_begins_at_the_latest_value_and_ends_at_the_last_horizon() -> None:
    seen = foresight([1.0, math.nan, 4.0], (3.0, 5.0, 7.0), (2.0, 6.0, 10.0))
    (found,) = foreseen_graphs(seen, {})
    graph = found.graph
    was, expected = graph.curves
    assert was.points == [(T, 1.0), (T + 300, None), (T + 600, 4.0)]
    assert (graph.title, graph.now_s, graph.start_s, graph.end_s) == ("a, GPUs", T + 600, T, T + 1800)
    assert expected.points[0] == (T + 600, 4.0)
    assert expected.points[-1] == (T + 1800, pytest.approx(6.0))
    assert graph.bands[-1].points[-1] == (T + 1800, pytest.approx(2.0), pytest.approx(10.0))
    widths = [high - low for _, low, high in graph.bands[-1].points if low is not None and high is not None]
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(widths))
    assert expected.dashed
    assert found.errors == ()
    assert lines_of(graph)[0] == "a, GPUs  ━ was  ╍ expected, 90 % shaded  now 4  min 1  mean 2.5  max 4"


def test_where_nothing_is_told_there_is_the_past_alone() -> None:
    (found,) = foreseen_graphs(foresight([1.0, 2.0], (math.nan,) * 3), {})
    assert (len(found.graph.curves), found.graph.end_s) == (1, T + 300)
    assert [band.points for band in found.graph.bands] == [[(T, 1.0, 1.0), (T + 300, 2.0, 2.0)]]
    assert foreseen_graphs(foresight([], names=("a",)), {}) == ()


def test_of_a_fine_past_the_mean_is_drawn_in_a_band_and_the_latest_value_told() -> None:
    values = [float(at % 10) for at in range(399)]
    (found,) = foreseen_graphs(foresight([*values, 3.0], (math.nan,) * 3), {}, columns=3)
    was, band = found.graph.curves[0], found.graph.bands[0]
    start_s = T + 300 * 376
    assert (found.graph.start_s, len(was.points), len(band.points)) == (start_s, 7, 6)
    assert was.points[-1] == (T + 300 * 399, 3.0)
    assert band.points[0] == (start_s, 6.0, 9.0)
    assert was.points[0] == (start_s, pytest.approx(7.5))
    assert lines_of(found.graph)[0].startswith("a, GPUs  now 3  min 0  mean ")


def score(horizon_s: int, model: str, ratio: float | None) -> Score:
    return Score(Subject("demand", By.POOL), horizon_s, model, 12, 1, 2.25, 3.0, ratio, 0.7, 0.875)


def test_past_errors_are_told_by_horizon_of_all_models_together() -> None:
    scores = {"a": [score(600, CHOSEN, 0.75), score(600, "m", 9.0), score(3600, "m", None)]}
    (found,) = foreseen_graphs(foresight([1.0], (3.0, 5.0, 7.0)), scores)
    assert found.errors == (
        "past error 10m ahead: off by 2.25 (0.75 of what the last value is off), pinball 0.7, 88 % inside the band of "
        "90 %, 12 forecasts",
        "past error 1h ahead: off by 2.25, pinball 0.7, 88 % inside the band of 90 %, 12 forecasts",
    )
    assert error_words([], Unit.COUNT) == ()
