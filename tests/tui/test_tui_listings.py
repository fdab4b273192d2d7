"""What lists tell: groups of processes, users, nodes, starts, and order of words; over rows as they are seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tui.fleet_fixture import A100, EVERY_S, NOW_S, TICKS_S, device, fleet, node, process, workload

from gpualloc.model.audit import AuditEntry
from gpualloc.model.inventory import Node, NodeState, Process
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.tui.fields import Field
from gpualloc.tui.listing import Listing
from gpualloc.tui.listings.audit import AUDIT, detail_text
from gpualloc.tui.listings.nodes import NODES, node_rows
from gpualloc.tui.listings.processes import PROCESSES, Gathering, GroupRow, ProcessRow, Row, gathered, process_rows
from gpualloc.tui.listings.troubles import ALERTS, CONDITIONS, EVENTS
from gpualloc.tui.listings.users import USERS, UserRow, user_rows
from gpualloc.tui.listings.workloads import WORKLOADS, start_text, work_rows
from gpualloc.tui.order import arranged
from gpualloc.tui.query import parse
from gpualloc.tui.query_help import exactly
from gpualloc.tui.rows import Moment
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.tui.state import State
from gpualloc.tui.values import value_cell

AT = Moment(TICKS_S, NOW_S, EVERY_S)
ALL: tuple[Listing, ...] = (NODES, PROCESSES, WORKLOADS, USERS, CONDITIONS, EVENTS, ALERTS, AUDIT)  # type: ignore[type-arg]


def state_of(nodes: tuple[Node, ...], workloads: tuple[Workload, ...] = ()) -> State:
    seen = tuple(SeenNode(one.spec).after(one, TICKS_S, 0.0) for one in sorted(nodes, key=lambda one: one.name))
    return State.of(Seen(seen, workloads, 1), AT)


def users_of(state: State) -> dict[str, UserRow]:
    return {row.user: row for row in user_rows(state)}


def told(listing: Listing, name: str, row: object) -> object:  # type: ignore[type-arg]
    field: Field[object] = listing.field(name)
    return field.value(row, AT)


def shown(listing: Listing, name: str, row: object) -> str:  # type: ignore[type-arg]
    """What the list draws."""
    draw = listing.field(name).draw
    assert draw is not None
    return "".join(span.text for span in draw(row, AT, 40))


@pytest.mark.parametrize("listing", ALL, ids=lambda one: one.name)
def test_a_list_is_sound(listing: Listing) -> None:  # type: ignore[type-arg]
    names = [field.name for field in listing.fields]
    assert len(set(names)) == len(names)
    assert len({field.title for field in listing.fields}) == len(names)
    assert all(field.least <= field.most for field in listing.fields)
    assert all(field.what for field in listing.fields)
    assert {sort.field for sort in listing.sorts} <= set(names)
    # In the narrowest terminal that is supported something is left of it.
    assert sum(field.least + 1 for field in sorted(listing.chosen(None), key=lambda one: one.priority)[:3]) < 60


# Processes.

pids = st.integers(1, 12)


@st.composite
def processes(draw: st.DrawFn) -> tuple[ProcessRow, ...]:
    numbers = draw(st.lists(pids, unique=True, max_size=12))
    told = tuple(
        replace(
            process("n1", draw(st.integers(0, 1)), pid, draw(st.sampled_from([None, "ann", "bob"])), 10, None, "x"),
            parent=draw(st.none() | pids),
        )
        for pid in numbers
    )
    return process_rows((SeenNode(node("n1", ()).spec, processes=told),), {}, {})


@given(processes(), st.sampled_from(list(Gathering)))
def test_every_process_is_gathered_once(rows: tuple[ProcessRow, ...], by: Gathering) -> None:
    found = arranged(PROCESSES, gathered(rows, by), None, PROCESSES.sorts, AT)
    alone = [row for row in found if isinstance(row, ProcessRow)]
    assert sorted(row.key for row in alone) == sorted(row.key for row in rows)
    groups = [row for row in found if isinstance(row, GroupRow)]
    assert bool(groups) == (bool(rows) and by not in (Gathering.NOTHING, Gathering.PARENT))
    if groups:
        assert sorted(member.key for group in groups for member in group.members) == sorted(row.key for row in rows)
    below: GroupRow | None = None
    for row in found if groups else ():
        if isinstance(row, GroupRow):
            below = row
        else:
            assert below is not None
            assert row.above == below.key


def test_the_memory_of_a_group_is_unknown_when_that_of_one_is() -> None:
    told_of = (process("n1", 0, 1, "ann", 10, None, "x"), process("n1", 1, 2, "ann", 20, None, "x"))
    rows = process_rows((SeenNode(node("n1", ()).spec, processes=told_of),), {}, {})
    group: Row = gathered(rows, Gathering.USER)[0]
    assert told(PROCESSES, "mem", group) == 30
    hidden = (*told_of, replace(told_of[0], pid=3, gpu_memory_used_mib=None))
    rows = process_rows((SeenNode(node("n1", ()).spec, processes=hidden),), {}, {})
    assert told(PROCESSES, "mem", gathered(rows, Gathering.USER)[0]) is None


def test_the_host_memory_of_a_process_on_two_devices_counts_once() -> None:
    one = replace(process("n1", 0, 7, "ann", 10, None, "x"), host_memory_mib=100)
    both = (one, replace(one, device="GPU-n1-1"))
    rows = process_rows((SeenNode(node("n1", ()).spec, processes=both),), {}, {})
    group = gathered(rows, Gathering.NODE)[0]
    assert told(PROCESSES, "ram", group) == 100
    assert told(PROCESSES, "mem", group) == 20


def test_processes_in_a_circle_are_all_there() -> None:
    circle = tuple(
        replace(process("n1", 0, pid, "ann", 10, None, "x"), parent=above) for pid, above in ((1, 2), (2, 1), (3, 1))
    )
    rows = process_rows((SeenNode(node("n1", ()).spec, processes=circle),), {}, {})
    found = arranged(PROCESSES, gathered(rows, Gathering.PARENT), None, (), AT)
    assert [row.process.pid for row in found if isinstance(row, ProcessRow)] == [1, 2, 3]


# Users.


def test_a_user_has_the_processes_of_their_work_whatever_account_it_runs_as() -> None:
    devices = (device("n1", 0, A100, ratio=0.0), device("n1", 1, A100, ratio=0.9), device("n1", 2, A100))
    told_of = (
        process("n1", 0, 10, "gpualloc", 100, "w1", "x"),
        process("n1", 1, 10, "gpualloc", 200, "w1", "x"),
        process("n1", 2, 11, "eve", 300, None, "y"),
    )
    state = state_of(
        (node("n1", devices, processes=told_of),),
        (workload("w1", "train", "ann", WorkloadState.RUNNING, ("n1", (0, 1))),),
    )
    users = users_of(state)
    assert set(users) == {"ann", "eve"}
    ann, eve = users["ann"], users["eve"]
    assert (len(ann.gpus), ann.idle, ann.memory_mib, len(ann.processes), len(ann.strangers)) == (2, 1, 300, 1, 0)
    assert (len(eve.gpus), len(eve.strangers), eve.running) == (1, 1, 0)
    assert ann.nodes == ("n1",)


def test_what_a_user_holds_where_nobody_answers_is_told_as_seen_last() -> None:
    told_of = {name: (process(name, 0, 1, "ann", 100, None, "x"),) for name in ("n1", "n2")}
    nodes = tuple(node(name, (device(name, 0, A100),), processes=told_of[name]) for name in told_of)
    gone = replace(nodes[1], state=NodeState.UNREACHABLE, devices=(), processes=())
    before = tuple(SeenNode(one.spec).after(one, TICKS_S - 40, 0.0) for one in nodes)

    def row_of(*seen: SeenNode) -> UserRow:
        return users_of(State.of(Seen(seen, (), 1), AT))["ann"]

    heard = before[0].after(nodes[0], TICKS_S, 0.0)
    fresh = row_of(heard, before[1].after(nodes[1], TICKS_S, 0.0))
    assert not USERS.stale(fresh, AT)
    assert shown(USERS, "node", fresh) == "n1, n2"
    assert shown(USERS, "age", fresh) == "<3s"
    partly = row_of(heard, before[1].after(gone, TICKS_S, 0.0))
    assert not USERS.stale(partly, AT)
    assert shown(USERS, "node", partly) == "last seen: n2; n1"
    assert shown(USERS, "age", partly) == "40s"
    wholly = row_of(before[0], before[1].after(gone, TICKS_S, 0.0))
    assert USERS.stale(wholly, AT)
    assert shown(USERS, "node", wholly) == "last seen: n1, n2"
    assert (len(wholly.gpus), wholly.memory_mib) == (2, 200)
    nobody = users_of(state_of((), (workload("w1", "train", "ann", WorkloadState.PENDING),)))["ann"]
    assert not USERS.stale(nobody, AT)
    assert shown(USERS, "age", nobody) == ""


def test_processes_where_nobody_answers_are_told_as_seen_last() -> None:
    one = node("n1", (), processes=(process("n1", 0, 1, "ann", 100, None, "x"),))
    seen = SeenNode(one.spec).after(one, TICKS_S - 1, 0.0)
    gone = seen.after(replace(one, state=NodeState.UNREACHABLE, processes=()), TICKS_S, 0.0)
    for there, stale, text in ((seen, False, "n1"), (gone, True, "n1 silent 1s")):
        rows = process_rows((there,), {}, {})
        group = gathered(rows, Gathering.USER)[0]
        assert [PROCESSES.stale(row, AT) for row in (*rows, group)] == [stale, stale]
        assert shown(PROCESSES, "node", rows[0]) == text
        assert PROCESSES.field("node").draw(rows[0], AT, 8)[-1].text == (" !" if stale else "n1")


def test_a_user_who_only_waits_has_nothing() -> None:
    state = state_of((), (workload("w1", "train", "ann", WorkloadState.PENDING),))
    ann = users_of(state)["ann"]
    assert (ann.waiting, len(ann.gpus)) == (1, 0)
    assert told(USERS, "power", ann) == 0
    assert told(USERS, "util", ann) is None


def test_power_and_memory_that_nobody_tells_are_unknown() -> None:
    mute = replace(device("n1", 0, A100), power_w=None)
    told_of = (replace(process("n1", 0, 1, "ann", 1, None, "x"), gpu_memory_used_mib=None),)
    ann = users_of(state_of((node("n1", (mute,), processes=told_of),)))["ann"]
    assert told(USERS, "power", ann) is None
    assert told(USERS, "mem", ann) is None


@given(st.text(min_size=1, max_size=40) | st.just('"' * 500))
def test_a_filter_for_a_user_keeps_that_user_alone(name: str) -> None:
    told_of = (
        process("n1", 0, 1, name, 1, None, "x"),
        process("n1", 0, 2, name + "x", 1, None, "x"),
        process("n1", 0, 3, None, 1, None, "x"),
    )
    rows = process_rows((SeenNode(node("n1", ()).spec, processes=told_of),), {}, {})
    kept = parse(exactly("owner", name)).over(PROCESSES.fields)
    assert [row.process.pid for row in rows if kept(row, AT)] == [1]


def test_a_filter_for_a_text_without_end_is_one() -> None:
    name = 'a"\u202e' * 5000
    told_of = (process("n1", 0, 1, name, 1, None, "x"), process("n1", 0, 2, "a", 1, None, "x"))
    rows = process_rows((SeenNode(node("n1", ()).spec, processes=told_of),), {}, {})
    kept = parse(exactly("owner", name)).over(PROCESSES.fields)
    assert [row.process.pid for row in rows if kept(row, AT)] == [1]


# Nodes, work, the audit trail.


def test_a_node_that_told_nothing_has_no_numbers() -> None:
    silent = State.of(Seen((SeenNode(node("n1", ()).spec),)), AT)
    [row] = node_rows(silent)
    for name in ("util", "mem", "power", "cpu", "ram", "driver", "clock", "rx", "disk"):
        assert told(NODES, name, row) is None, name
    assert "".join(span.text for span in value_cell(NODES.field("cpu"), None, AT)) == "n/a"
    assert "".join(span.text for span in value_cell(NODES.field("reason"), None, AT)) == ""


def test_nodes_have_their_own_devices() -> None:
    rows = {row.row.node.name: row for row in node_rows(state_of(fleet().nodes))}
    assert {name: len(row.devices) for name, row in rows.items()} == {
        "a100-01": 4,
        "h100-01": 8,
        "h200-01": 2,
        "l40s-01": 4,
        "l40s-02": 0,
        "login": 0,
    }


def test_work_that_wants_attention_comes_first_and_only_waiting_work_starts() -> None:
    world = fleet()
    starts = {one.id: NOW_S + 600 for one in world.workloads}
    rows = work_rows(world.workloads, {}, {}, starts)
    states = [row.workload.state for row in rows]
    assert states[:3] == [WorkloadState.PENDING, WorkloadState.PENDING, WorkloadState.FAILED]
    for row in rows:
        waits = row.workload.state is WorkloadState.PENDING
        assert start_text(row, AT) == ("in 10m" if waits else "")
    [first, *_] = work_rows(world.workloads, {}, {}, {})
    assert start_text(first, AT) == "n/a"
    [first, *_] = work_rows(world.workloads, {}, {}, {one.id: NOW_S for one in world.workloads})
    assert start_text(first, AT) == "now"


def test_nothing_of_an_audit_entry_steers_the_terminal() -> None:
    entry = AuditEntry(NOW_S, "apply", "a\x1b[2J", None, None, detail={"why": "x\x1b]0;y\x07", "n": {"a": [1]}}, seq=3)
    assert detail_text(entry).isprintable()
    assert '{"a": [1]}' in detail_text(entry)
    assert all(
        span.text.isprintable()
        for field in AUDIT.fields
        for span in value_cell(field, field.value(entry, AT), AT)  # type: ignore[arg-type]
    )


def test_a_process_of_any_age_is_drawn() -> None:
    for started_at_s in (0.0, 4e18):
        told_of: Process = replace(process("n1", 0, 1, "ann", 1, None, "x"), started_at_s=started_at_s)
        [row] = process_rows((SeenNode(node("n1", ()).spec, processes=(told_of,)),), {}, {})
        field = PROCESSES.field("since")
        assert value_cell(field, field.value(row, AT), AT)  # type: ignore[arg-type]
