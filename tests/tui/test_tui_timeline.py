"""Time in the dashboard: moments as people type them, places within what is stored, and looks that do not queue up."""

from __future__ import annotations

import queue
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tui.fleet_fixture import fleet

from gpualloc.engine.past_look import PastLook
from gpualloc.errors import NotFoundError, StateError, UsageError
from gpualloc.model.inventory import NodeState
from gpualloc.tui.messages import Crashed
from gpualloc.tui.past import Past, PastArrived, PastFailed, PastLeft, place_of, today_of
from gpualloc.tui.rows import FleetRows
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.tui.timeline import IN_A_ROW_S, Presses, Stride, Timeline
from gpualloc.tui.totals import totals
from gpualloc.tui.when import parse_when

NOW_S = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC, a Monday
OLDEST_S, NEWEST_S = NOW_S - 90_000, NOW_S - 10
SPAN = (OLDEST_S, NEWEST_S)


def at(text):
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("-2h", NOW_S - 7200),
        ("- 90s", NOW_S - 90),
        ("1h30m ago", NOW_S - 5400),
        ("14:10", at("2026-09-21 14:10:00")),
        ("14:10:05", at("2026-09-21 14:10:05")),
        ("14:30", at("2026-09-20 14:30:00")),
        ("yesterday", at("2026-09-20 00:00:00")),
        ("Yesterday  14:30", at("2026-09-20 14:30:00")),
        ("today 09:00", at("2026-09-21 09:00:00")),
        ("2026-09-20", at("2026-09-20 00:00:00")),
        ("2026-09-20 14:30", at("2026-09-20 14:30:00")),
        ("2026-09-20T14:30:10z", at("2026-09-20 14:30:10")),
        ("2026-09-20T16:30+02:00", at("2026-09-20 14:30:00")),
        ("now", None),
        (" ", None),
    ],
)
def test_moments_as_they_are_typed(typed, moment):
    assert parse_when(typed, NOW_S) == moment


@pytest.mark.parametrize(
    "typed", ["14", "25:00", "2x", "-2x", "tomorrow", "ago", "2026-13-01", "14:30:99", "yesterday noon", "0001-01-01 x"]
)
def test_what_is_no_moment_is_refused(typed):
    with pytest.raises(UsageError, match="is not a"):
        parse_when(typed, NOW_S)


@pytest.mark.parametrize("typed", ["2026-09-21 14:13:21", "today 23:00", "2999-01-01"])
def test_what_is_yet_to_come_is_refused(typed):
    with pytest.raises(UsageError, match="yet to come"):
        parse_when(typed, NOW_S)


@given(st.text(max_size=30))
def test_whatever_is_typed_is_a_moment_or_a_usage_error(typed):
    try:
        moment = parse_when(typed, NOW_S)
    except UsageError:
        return
    assert moment is None or moment <= NOW_S


def test_a_day_of_23_hours(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    now_s = 1_774_771_200.0  # 2026-03-29 10:00 in Berlin, where 02:00 was skipped.
    assert now_s - parse_when("today", now_s) == 9 * 3600
    assert parse_when("yesterday 10:00", now_s) == now_s - 23 * 3600


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("by"), st.floats(-200_000, 200_000)),
        st.tuples(st.just("to"), st.one_of(st.none(), st.floats(OLDEST_S - 1e6, NOW_S + 1e6))),
        st.tuples(st.just("known"), st.floats(0, 50_000)),
    ),
    max_size=30,
)


@given(MOVES)
def test_any_moves_stay_within_what_is_stored(moves):
    line = Timeline(SPAN)
    for verb, value in moves:
        if verb == "by":
            line = line.by(value)
        elif verb == "to":
            line = line.to(value)
        else:
            line = line.known((OLDEST_S + value, NEWEST_S + value))
        assert line.at_s is None or line.span[0] <= line.at_s <= line.span[1]
        assert line.live is (line.at_s is None)


def test_steps_from_live_begin_at_the_newest_moment_and_lead_back_to_live():
    line = Timeline(SPAN).by(-60)
    assert line.at_s == NEWEST_S - 60
    assert line.by(60).edge == "newest"
    assert line.by(61).live
    assert line.by(-1e9).edge == "oldest"


def test_without_anything_stored_there_is_no_past():
    for move in (lambda: Timeline().by(-60), lambda: Timeline().to(NOW_S)):
        with pytest.raises(NotFoundError, match="nothing is stored yet"):
            move()
    assert Timeline().to(None).live


def test_what_the_banner_says():
    assert Timeline(SPAN).words(NOW_S) == ""
    assert Timeline(SPAN, NOW_S - 7200).words(NOW_S) == "PAST 2026-09-21 12:13:20, 2h ago"
    assert Timeline(SPAN, OLDEST_S).words(NOW_S) == "PAST 2026-09-20 13:13:20, 1d ago, oldest stored"
    assert Timeline(SPAN, NEWEST_S - 60).words(NOW_S, recorded=True) == "PAST 2026-09-21 14:12:10, 60s before its end"
    assert Timeline(SPAN, NEWEST_S).words(NOW_S, recorded=True) == "PAST 2026-09-21 14:13:10, its end"


def test_whoever_holds_the_key_goes_faster():
    presses, strides = Presses(), []
    for number in range(45):
        presses = presses.pressed(-1, number * 0.05)
        strides.append(presses.stride)
    assert strides[0] is strides[9] is Stride.MINUTE
    assert (strides[10], strides[20], strides[30], strides[44]) == (
        Stride.TEN_MINUTES,
        Stride.HOUR,
        Stride.DAY,
        Stride.DAY,
    )
    assert presses.pressed(1, presses.last_s).stride is Stride.MINUTE
    assert presses.pressed(-1, presses.last_s + IN_A_ROW_S + 0.1).stride is Stride.MINUTE


class Chronicle:
    """Ticks every ten seconds, and looks that a test lets go on."""

    def __init__(self, span=SPAN):
        self.stored = span
        self.looked: list[float] = []
        self.gate = threading.Event()
        self.gate.set()
        self.looking = threading.Event()
        self.error: Exception | None = None

    def span(self):
        return self.stored

    def neighbours(self, at_s):
        before, after = at_s - 10, at_s + 10
        return before if before >= OLDEST_S else None, after if after <= NEWEST_S else None

    def look(self, at_s, today):
        self.looked.append(at_s)
        self.looking.set()
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return PastLook(at_s, at_s, 10.0, tuple(today), workloads=())


@pytest.fixture
def chronicle():
    return Chronicle()


@pytest.fixture
def heard():
    return queue.Queue()


@pytest.fixture
def past(chronicle, heard):
    past = Past(lambda: chronicle, heard.put)
    yield past
    chronicle.gate.set()
    past.stop()


def place(heard):
    message = heard.get(timeout=30)
    assert isinstance(message, PastArrived), message
    return message.place.look.at_s


def test_steps_go_from_tick_to_tick_and_back_to_live(past, heard):
    past.step(-1)
    assert place(heard) == NEWEST_S
    past.step(-3)
    assert place(heard) == NEWEST_S - 30
    past.step(1)
    assert place(heard) == NEWEST_S - 20
    past.shift(-60)
    assert place(heard) == NEWEST_S - 80
    past.go(OLDEST_S + 5)
    assert place(heard) == OLDEST_S + 5
    past.step(-2)
    assert place(heard) == OLDEST_S + 5
    past.shift(1e9)
    message = heard.get(timeout=30)
    assert isinstance(message, PastLeft)
    assert not message.empty
    past.shift(-60)
    assert place(heard) == NEWEST_S - 60


def test_who_would_go_beyond_an_end_is_told(past, heard):
    def beyond():
        return heard.get(timeout=30).place.beyond

    past.go(OLDEST_S - 1)
    assert beyond() == -1
    past.step(-1)
    assert beyond() == -1
    past.step(1)
    assert beyond() == 0
    past.shift(-60)
    assert beyond() == -1
    past.go(NEWEST_S + 1)
    assert beyond() == 1
    past.go(NEWEST_S)
    assert beyond() == 0


def test_at_the_end_of_a_recording_steps_forth_stay_there(chronicle, heard):
    past = Past(lambda: chronicle, heard.put, ends=True)
    try:
        past.step(-2)
        assert place(heard) == NEWEST_S - 10
        for move in (lambda: past.step(5), lambda: past.shift(60)):
            move()
            message = heard.get(timeout=30)
            assert (message.place.look.at_s, message.place.beyond) == (NEWEST_S, 1)
    finally:
        past.stop()


def test_whoever_holds_the_key_does_not_queue_up_looks(past, heard, chronicle):
    chronicle.gate.clear()
    past.step(-1)
    assert chronicle.looking.wait(30)
    for _ in range(50):
        past.step(-1)
    chronicle.gate.set()
    assert [place(heard), place(heard)] == [NEWEST_S, NEWEST_S - 500]
    assert chronicle.looked == [NEWEST_S, NEWEST_S - 500]


def test_the_newest_wish_wins(past, heard, chronicle):
    chronicle.gate.clear()
    past.go(NOW_S - 1000)
    assert chronicle.looking.wait(30)
    past.step(-5)
    past.go(NOW_S - 3000)
    past.go(NOW_S - 2000)
    past.step(-1)
    chronicle.gate.set()
    assert [place(heard), place(heard)] == [NOW_S - 1000, NOW_S - 2010]


def test_what_is_read_after_it_was_left_is_not_shown(past, heard, chronicle):
    chronicle.gate.clear()
    past.go(NOW_S - 1000)
    assert chronicle.looking.wait(30)
    past.go(NOW_S - 2000)
    past.leave()
    chronicle.gate.set()
    past.step(-1)
    assert place(heard) == NEWEST_S
    assert heard.empty()


def test_nothing_stored_and_what_cannot_be_read(past, heard, chronicle):
    chronicle.stored = None
    past.step(-1)
    assert heard.get(timeout=30).empty
    chronicle.stored, chronicle.error = SPAN, StateError("history.db is damaged")
    past.step(-1)
    failed = heard.get(timeout=30)
    assert isinstance(failed, PastFailed)
    assert failed.error.message == "history.db is damaged"
    chronicle.error = None
    past.go(NOW_S - 1000)
    assert place(heard) == NOW_S - 1000


def test_a_defect_is_handed_over(past, heard, chronicle):
    chronicle.error = RuntimeError("a defect")
    past.step(-1)
    message = heard.get(timeout=30)
    assert isinstance(message, Crashed)
    assert message.error is chronicle.error


def test_views_draw_a_moment_as_if_it_were_now(past, heard):
    nodes = fleet().nodes
    seen = Seen(tuple(SeenNode(node.spec).after(node, 50.0, 0.0) for node in nodes))
    past.enter(seen)
    past.go(NOW_S - 1000)
    there = heard.get(timeout=30).place
    assert there.span == SPAN
    rows = FleetRows().of(there.seen)
    assert (there.moment.now_s, there.moment.period_s) == (NOW_S - 1000, 10.0)
    assert [row.node.name for row in rows if row.device is None] == [node.name for node in nodes]
    assert totals(there.seen, rows, there.moment).running == 0


def test_a_node_that_was_not_sampled_is_never_fresh():
    node = replace(fleet().nodes[0], state=NodeState.STALE, reason="no sample of it is kept of that time")
    there = place_of(PastLook(NOW_S, NOW_S, 10.0, (node,)), SPAN)
    rows = FleetRows().of(there.seen)
    assert all(there.moment.is_stale(row) for row in rows)
    assert totals(there.seen, rows, there.moment).sums.power_w is None


def test_nodes_that_do_not_answer_bring_the_boards_that_they_had():
    node, other, *_ = fleet().nodes
    down = replace(node, state=NodeState.UNREACHABLE, devices=())
    seen = Seen((SeenNode(node.spec).after(node, 1.0, 0.0).after(down, 2.0, 0.0), SeenNode(other.spec)))
    (today,) = today_of(seen)
    assert today.devices == node.devices
