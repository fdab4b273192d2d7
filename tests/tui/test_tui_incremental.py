"""Rows and sums that are kept from look to look are those that would be made anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tui.fleet_fixture import NOW_S, TICKS_S, fleet

from gpualloc.model.inventory import DeviceState, Node, NodeState
from gpualloc.model.workload import Workload
from gpualloc.tui.rows import FleetRow, FleetRows, Moment, Standing
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.tui.state import State
from gpualloc.tui.totals import FleetTotals, sums, totals

PERIOD_S = 2.0
WORLD = fleet()


def _seen(workloads: tuple[Workload, ...] | None = WORLD.workloads) -> Seen:
    nodes = tuple(SeenNode(node.spec).after(node, TICKS_S, 0.0) for node in WORLD.nodes)
    return Seen(nodes, workloads, looks=1)


def _moment(later_s: float = 0.0) -> Moment:
    return Moment(TICKS_S + later_s, NOW_S + later_s, PERIOD_S)


def _with(seen: Seen, at: int, node: Node, later_s: float) -> Seen:
    nodes = list(seen.nodes)
    nodes[at] = nodes[at].after(node, TICKS_S + later_s, 0.0)
    return replace(seen, nodes=tuple(nodes))


def _mine(rows: Sequence[FleetRow], name: str) -> list[FleetRow]:
    return [row for row in rows if row.node.name == name]


def test_a_node_that_told_nothing_new_keeps_its_rows() -> None:
    made = FleetRows()
    seen = _seen()
    before = made.of(seen)
    node = WORLD.nodes[0]
    after = made.of(_with(seen, 0, replace(node, at_s=node.at_s + 2), 2.0))
    for name in (one.name for one in WORLD.nodes):
        same = [new is old for new, old in zip(_mine(after, name), _mine(before, name), strict=True)]
        assert same == [name != node.name] * len(same)


def test_rows_say_whose_work_it_is_when_that_changes_without_a_word_of_the_node() -> None:
    made = FleetRows()
    made.of(_seen(None))
    renamed = tuple(replace(one, name=f"{one.name}-again") for one in WORLD.workloads)
    for workloads in (WORLD.workloads, renamed, ()):
        seen = _seen(workloads)
        assert made.of(seen) == FleetRows().of(seen)


def test_a_node_that_is_gone_has_no_rows() -> None:
    made = FleetRows()
    seen = _seen()
    made.of(seen)
    fewer = replace(seen, nodes=seen.nodes[1:])
    assert made.of(fewer) == FleetRows().of(fewer)


@st.composite
def _looks(draw: st.DrawFn) -> list[tuple[int, Node, float]]:
    """Which node tells what of itself, and when, in seconds."""
    told = []
    at_s = 0.0
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(WORLD.nodes) - 1))
        at_s += draw(st.sampled_from([0.1, 2.0, 7.0]))
        node = WORLD.nodes[at]
        state = draw(st.sampled_from([NodeState.OK, NodeState.OK, NodeState.UNREACHABLE]))
        devices = tuple(
            replace(
                one,
                state=draw(st.sampled_from([DeviceState.OK, DeviceState.HUNG, DeviceState.LOST])),
                memory_used_mib=draw(st.sampled_from([None, 0, 7])),
                power_w=draw(st.sampled_from([None, 1.5])),
            )
            for one in node.devices
        )
        told.append((at, replace(node, state=state, devices=devices, at_s=node.at_s + at_s), at_s))
    return told


@given(_looks(), st.sampled_from([0.0, 5.0, 30.0]), st.sampled_from([1, 2, 3]))
def test_what_is_kept_is_what_would_be_made_anew(
    looks: list[tuple[int, Node, float]], later_s: float, every: int
) -> None:
    made, counted = FleetRows(), FleetTotals()
    seen = _seen()
    for at, node, at_s in looks:
        seen = _with(seen, at, node, at_s)
        rows = made.of(seen)
        assert rows == FleetRows().of(seen)
        for passed_s in (0.0, 0.0, 1.0, later_s, 0.0):
            moment = _moment(at_s + passed_s)
            _check_totals(counted, seen, rows, moment)
        # Any rows may be counted, in any order.
        _check_totals(counted, seen, rows[::every], moment)
        _check_totals(counted, seen, rows[::-1], moment)


def _check_totals(counted: FleetTotals, seen: Seen, rows: Sequence[FleetRow], moment: Moment) -> None:
    """Against the sums as one would write them down."""
    found = counted.of(seen, rows, moment)
    devices = [row for row in rows if row.device is not None]
    fresh = [row.device for row in devices if row.device is not None and not moment.is_stale(row)]
    known = sums(fresh)
    assert found.devices == len(devices)
    assert found.nodes_ok == sum(row.device is None and not moment.is_stale(row) for row in rows)
    assert found.standing == Counter(
        row.standing if row.standing is Standing.FAULTY or not moment.is_stale(row) else Standing.UNKNOWN
        for row in devices
    )
    assert (found.sums.memory_used_mib, found.sums.memory_total_mib) == (known.memory_used_mib, known.memory_total_mib)
    assert found.sums.power_w == pytest.approx(known.power_w)
    assert found.sums.unknown == len(devices) - len(fresh) + known.unknown


def test_a_state_goes_on_from_the_one_before() -> None:
    first = State.of(_seen(), _moment())
    seen = _with(first.seen, 0, WORLD.nodes[0], 2.0)
    second = first.then(seen, _moment(2.0))
    assert second.rows == FleetRows().of(seen)
    assert second.rows[-1] is first.rows[-1]
    assert State.of(seen, _moment(), live=False).then(seen, _moment()).live
    assert second.totals == totals(seen, second.rows, _moment(2.0))
    assert first.totals == totals(first.seen, first.rows, _moment())


def test_a_moment_later_only_what_depends_on_it_is_derived_again() -> None:
    first = State.of(_seen(), _moment())
    derived = (first.names, first.indices, first.nodes, first.progress, first.workloads)
    later = first.at(_moment(60.0))
    again = (later.names, later.indices, later.nodes, later.progress, later.workloads)
    assert all(one is other for one, other in zip(derived, again, strict=True))
    assert later.totals == totals(first.seen, first.rows, _moment(60.0)) != first.totals
    seen = replace(first.seen, nodes=first.seen.nodes[1:])
    assert set(later.then(seen, _moment()).nodes) == {node.name for node in seen.nodes}
