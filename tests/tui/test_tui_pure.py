"""The parts of the dashboard that only compute."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from fakes import sample_world
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from rich.cells import cell_len
from tui.fleet_fixture import NOW_S, TICKS_S, fleet

from gpualloc.model.allocation import HeldBy, Hold
from gpualloc.model.inventory import DeviceState, Node, NodeState
from gpualloc.model.progress import Progress
from gpualloc.model.workload import WorkloadState
from gpualloc.tui.cells import Role, bar, cell, fitted, gib, memory_pair, percent, watts, width_of
from gpualloc.tui.columns import GAP, MARGIN, Column, fit
from gpualloc.tui.facts.work import held_text, workload_sections
from gpualloc.tui.listing import Listing, Sort
from gpualloc.tui.listings.fleet import DEVICES, FLEET
from gpualloc.tui.listings.nodes import NODES
from gpualloc.tui.listings.processes import ON_DEVICE, ON_NODE, PROCESSES
from gpualloc.tui.listings.users import USERS
from gpualloc.tui.listings.workloads import WORKLOADS, WorkRow, weakest_first, work_rows
from gpualloc.tui.order import arranged
from gpualloc.tui.query import parse
from gpualloc.tui.rows import FleetRow, FleetRows, Moment, Standing, state_words
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.tui.shell import ListMemory
from gpualloc.tui.text import age_text, clip, clip_middle, plain
from gpualloc.tui.totals import totals
from gpualloc.tui.widgets.list_table import ListTable

MOMENT = Moment(TICKS_S, NOW_S, 2.0)
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=60)


def _seen() -> Seen:
    world = fleet()
    nodes = tuple(SeenNode(node.spec).after(node, TICKS_S, 0.0) for node in world.nodes)
    return Seen(nodes, world.workloads, looks=1)


def _rows() -> tuple[FleetRow, ...]:
    return FleetRows().of(_seen())


@given(ANY_TEXT, st.integers(1, 80))
def test_plain_text_is_printable_and_bounded_before_escaping(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit * 10


@given(st.text(st.characters(categories=["L", "N", "P", "Mn"]), max_size=40), st.integers(0, 40))
def test_clipped_text_fits(text: str, width: int) -> None:
    assert cell_len(clip(text, width)) <= width
    assert cell_len(clip_middle(text, width)) <= width


def test_names_keep_their_end() -> None:
    assert clip_middle("gpu-node-0001", 9) == "gpu-…0001"
    assert clip_middle("short", 9) == "short"


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=40), st.integers(0, 40), st.booleans())
def test_a_fitted_cell_has_exactly_its_width(text: str, width: int, right: bool) -> None:
    from gpualloc.tui.cells import cell

    assert width_of(fitted(cell(text), width, right)) == width


@given(st.one_of(st.none(), st.floats(-1, 2)), st.integers(0, 30))
def test_a_bar_has_exactly_its_width(ratio: float | None, width: int) -> None:
    assert width_of(bar(ratio, width, Role.MEMORY)) == width


def test_bars_tell_none_from_a_little_and_full_from_almost() -> None:
    def text(ratio: float | None) -> str:
        return "".join(span.text for span in bar(ratio, 4, Role.MEMORY))

    assert [text(ratio) for ratio in (None, 0.004, 0.006, 0.5, 0.999, 1.0)] == [
        "    ",
        "▁▁▁▁",
        "▖▁▁▁",
        "▄▄▁▁",
        "▄▄▄▖",
        "▄▄▄▄",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "never"), (-5, "0s"), (0.9, "0s"), (119, "119s"), (120, "2m"), (3599, "59m"), (3600, "1h"), (90_000, "1d")],
)
def test_ages(seconds: float | None, text: str) -> None:
    assert age_text(seconds) == text


def test_unknown_numbers_are_never_zero() -> None:
    assert percent(None)[0].text == " n/a"
    assert memory_pair(None, None) is None
    assert memory_pair(None, 81920) == "n/a/80.0"


def test_sizes_and_power_keep_to_their_columns() -> None:
    assert [gib(mib) for mib in (0, 512, 81_920, 102_399, 143_771, 10_485_760)] == [
        "0.0",
        "0.5",
        "80.0",
        "100",
        "140",
        "10,240",
    ]
    assert [watts(power) for power in (0.4, 699.6, 9999.4, 12_345)] == ["0W", "700W", "9999W", "12kW"]


def _columns(listing: Listing[Any]) -> tuple[Column, ...]:
    return tuple(ListTable(listing, ListMemory()).columns(0))


LISTS = [FLEET, DEVICES, NODES, PROCESSES, ON_NODE, ON_DEVICE, USERS, WORKLOADS]
COLUMN_SETS = [
    *(_columns(listing) for listing in LISTS),
    *(
        tuple(ListTable(listing, ListMemory(tuple(field.name for field in listing.fields))).columns(0))
        for listing in LISTS
    ),
]
"""Of every list the usual columns, and all there are."""


@given(st.sampled_from(COLUMN_SETS), st.integers(1, 400))
def test_columns_fit_their_width_without_overlap(columns: tuple[Column, ...], width: int) -> None:
    placed = fit(columns, width)
    at = MARGIN
    for one in placed:
        assert one.x == at
        assert one.column.least <= one.width <= one.column.most
        at += one.width + GAP
    assert at - GAP <= width or not placed


@given(st.sampled_from(COLUMN_SETS), st.integers(1, 399))
def test_more_width_never_takes_a_column_away(columns: tuple[Column, ...], width: int) -> None:
    narrow = {one.column.key for one in fit(columns, width)}
    assert narrow <= {one.column.key for one in fit(columns, width + 1)}


def test_eighty_columns_hold_what_matters() -> None:
    assert [one.column.key for one in fit(_columns(FLEET), 79)] == [
        "node",
        "gpu",
        "util",
        "mem",
        "power",
        "temp",
        "state",
        "who",
        "age",
    ]


@pytest.mark.parametrize("name", [field.name for field in FLEET.fields])
@pytest.mark.parametrize("descends", [False, True])
def test_order_depends_on_the_rows_alone(name: str, descends: bool) -> None:
    rows = _rows()
    sorts = (Sort(name, descends), Sort("node"), Sort("gpu"))
    shuffled = list(rows)
    random.Random(1).shuffle(shuffled)
    once = arranged(FLEET, rows, None, sorts, MOMENT)
    if name != "node":
        assert once == arranged(FLEET, shuffled, None, sorts, MOMENT)
    assert {row.node.name for row in once} == {row.node.name for row in rows}
    assert sum(row.device is not None for row in once) == 18


def test_by_badness_the_worst_come_first() -> None:
    standings = [row.standing for row in arranged(FLEET, _rows(), None, (Sort("bad", descends=True),), MOMENT)]
    assert standings[:3] == [Standing.FAULTY] * 3
    assert standings[3] is Standing.UNKNOWN
    assert standings[4:14] == [Standing.BUSY] * 10
    assert set(standings[14:]) == {Standing.IDLE}


def test_no_filter_keeps_every_row_and_one_keeps_their_nodes() -> None:
    rows = _rows()
    assert arranged(FLEET, rows, None, FLEET.sorts, MOMENT) == rows
    kept = arranged(FLEET, rows, parse("mallory").over(FLEET.fields), FLEET.sorts, MOMENT)
    assert [(row.node.name, row.device is None or row.device.index) for row in kept] == [
        ("a100-01", True),
        ("a100-01", 3),
    ]


def test_standing_of_every_device_is_counted_once() -> None:
    counted = totals(_seen(), _rows(), MOMENT)
    assert counted.nodes == 6
    assert counted.nodes_ok == 5
    assert counted.standing.total() == counted.devices == 18
    assert (counted.running, counted.pending) == (5, 2)
    assert counted.sums.unknown == 3


def test_silent_devices_are_in_no_sum() -> None:
    late = structs.replace(MOMENT, ticks_s=TICKS_S + 60)
    counted = totals(_seen(), _rows(), late)
    assert counted.sums.memory_used_mib is None
    assert counted.sums.power_w is None
    assert counted.standing == Counter({Standing.FAULTY: 3, Standing.UNKNOWN: 15})


@pytest.mark.parametrize("state", [state for state in NodeState if state is not NodeState.OK])
def test_short_words_of_failing_nodes_fit_their_column(state: NodeState) -> None:
    row = FleetRow(SeenNode(fleet().nodes[0].spec).after(Node(fleet().nodes[0].spec, state, NOW_S), TICKS_S, 0.0), None)
    words = state_words(row, MOMENT)
    assert words.whole == state.value
    assert len(words.short) <= FLEET.field("state").least


def test_an_old_answer_is_as_old_as_its_readings() -> None:
    node = fleet().nodes[0]
    seen = SeenNode(node.spec).after(node, TICKS_S, 30.0)
    assert MOMENT.age_s(seen.heard_s) == 30.0
    assert MOMENT.is_stale(FleetRow(seen, None))


def test_a_node_that_fails_keeps_what_it_last_said() -> None:
    node = fleet().nodes[0]
    well = SeenNode(node.spec).after(node, TICKS_S, 0.0)
    down = well.after(Node(node.spec, NodeState.UNREACHABLE, NOW_S), TICKS_S + 5, 0.0)
    assert down.devices == node.devices
    assert down.heard_s == TICKS_S
    assert down.failing


def test_rows_have_distinct_keys_whatever_their_order() -> None:
    rows = list(_rows())
    keys = [row.key for row in rows]
    assert len(set(keys)) == len(keys)
    random.Random(1).shuffle(rows)
    assert {row.key for row in rows} == set(keys)


def test_holds_in_words() -> None:
    held = HeldBy(gpu=Hold.SOFT, cpu=Hold.HARD, memory=Hold.HARD)
    assert held_text(held) == "gpu soft, cpu+mem hard"
    assert weakest_first(held) == "soft, hard"
    assert held_text(HeldBy()) == weakest_first(HeldBy()) == ""


def test_a_cordon_is_a_word_on_the_row_it_is_about() -> None:
    node = next(node for node in fleet().nodes if node.state is NodeState.OK and node.devices)
    cordoned = structs.replace(
        node, cordon="new disks", devices=(structs.replace(node.devices[0], cordon="fan noise"), *node.devices[1:])
    )
    seen = SeenNode(node.spec).after(cordoned, TICKS_S, 0.0)
    words = [state_words(row, MOMENT) for row in FleetRows().of(Seen((seen,), (), looks=1))]
    assert [word.whole == "cordoned" for word in words[:2]] == [True, cordoned.devices[0].state is DeviceState.OK]
    assert "cordoned" not in [word.whole for word in words[2:]]
    assert len(words[0].short) <= FLEET.field("state").least


def _work_row(**changes: Any) -> WorkRow:
    held = next(one for one in sample_world.WORKLOADS if one.allocation is not None)
    return work_rows((structs.replace(held, **changes),), {}, {}, {})[0]


def _drawn(row: WorkRow, name: str) -> str:
    draw = WORKLOADS.field(name).draw
    assert draw is not None
    return "".join(span.text for span in draw(row, MOMENT, 12))


def test_suspended_work_has_no_gpus() -> None:
    assert _drawn(_work_row(), "gpus") != "none"
    assert _drawn(_work_row(state=WorkloadState.SUSPENDED), "gpus") == "none"


def test_progress_has_a_column_and_a_line_when_work_tells_it() -> None:
    row = _work_row()
    told = Progress(50.0, 100.0, None, "train", 1.0)
    assert _drawn(row, "progress") == ""
    assert _drawn(structs.replace(row, progress=told), "progress") == "50 %"
    entries = workload_sections(row.workload, {}, told)[0].entries
    assert ("progress", cell("step 50 of 100 (50 %), phase train, as it said 1s ago")) in entries
    assert "progress" not in dict(workload_sections(row.workload, {})[0].entries)


def test_the_values_of_an_environment_are_not_told() -> None:
    sections = workload_sections(fleet().workloads[0], {})
    told = [span.text for section in sections for _, value in section.entries for span in value]
    assert "1 set, values hidden" in told
    assert not any("hunter2" in text for text in told)
