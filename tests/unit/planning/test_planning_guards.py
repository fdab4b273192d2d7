"""What the guards let through never breaks a rule, whatever is proposed."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.rebalancing import DISRUPTIVE, FreezeWindow, Move, MoveKind, RebalanceRules
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.planning import guards
from gpualloc.planning.guards import Guards, Past, frozen

NOW = 1_000_000.0
RULES = RebalanceRules()
FRIDAY = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)

moves = st.builds(
    Move,
    kind=st.sampled_from(MoveKind),
    node=st.just("n1"),
    why=st.just("w"),
    rests_on=st.lists(st.sampled_from(["use", "demand", "old", "unknown"]), max_size=2).map(tuple),
    gain_gpu_s=st.floats(-10, 10_000),
    cost_gpu_s=st.floats(0, 5_000),
    bundle=st.integers(0, 6),
    workload=st.sampled_from(["w1", "w2", "w3", "w4", "w5", "w6"]),
    owner=st.sampled_from(["ann", "bob"]),
    since_s=st.none() | st.floats(NOW - 10_000, NOW),
)
pasts = st.builds(
    Past,
    now_s=st.just(NOW),
    local=st.datetimes(timezones=st.just(UTC)),
    ages=st.just({"use": 5.0, "demand": 60.0, "old": 5_000.0}),
    last_moved=st.dictionaries(st.sampled_from(["w1", "w2", "w3"]), st.floats(NOW - 20_000, NOW)),
    moved=st.dictionaries(st.sampled_from(["ann", "bob"]), st.frozensets(st.sampled_from(["w1", "w9"]), max_size=2)),
)
rules = st.builds(
    RebalanceRules,
    moves=st.integers(0, 5),
    tenant_moves=st.integers(0, 3),
    freeze=st.just(()) | st.just((FreezeWindow(frozenset({4}), 0, 0),)),
)


def bundles_of(proposed):
    return [[move for move in proposed if move.bundle == bundle] for bundle in sorted({m.bundle for m in proposed})]


def guarded(proposed, rules, past):
    """What is let through, and what is held back."""
    guards, passed, held = Guards(rules, past), [], []
    for bundle in bundles_of(proposed):
        refused = guards.held_back(bundle)
        held += refused
        passed += [] if refused else bundle
    return passed, held


@given(proposed=st.lists(moves, max_size=12), rules=rules, past=pasts)
def test_what_passes_breaks_no_rule_and_bundles_stay_whole(proposed, rules, past):
    passed, held = guarded(proposed, rules, past)
    assert Counter(passed) + Counter(each.move for each in held) == Counter(proposed)
    for whole in bundles_of(proposed):
        if whole[0].bundle not in {move.bundle for move in passed}:
            continue
        assert Counter(whole) == Counter(move for move in passed if move.bundle == whole[0].bundle)
        assert max(m.gain_gpu_s for m in whole) >= rules.gain_ratio * sum(m.cost_gpu_s for m in whole)
        assert all(past.ages.get(name, 1e9) <= rules.max_age_s for move in whole for name in move.rests_on)
    loud = [move for move in passed if move.kind in DISRUPTIVE]
    assert len({move.workload for move in loud}) <= rules.moves
    for owner in ("ann", "bob"):
        mine = {move.workload for move in loud if move.owner == owner}
        if mine:
            assert len(mine | past.moved.get(owner, frozenset())) <= rules.tenant_moves
    for move in loud:
        assert NOW - move.since_s >= rules.min_run_s
        assert NOW - past.last_moved.get(move.workload, 0) >= rules.cool_down_s
        assert frozen(rules.freeze, past.local) is None


@given(proposed=st.lists(moves, min_size=1, max_size=1), rules=rules, past=pasts)
def test_work_that_may_not_be_moved_is_never_moved(proposed, rules, past):
    (move,) = proposed
    work = Workload(
        move.workload, "w", move.owner, Request(("x",)), WorkloadState.RUNNING, 0.0, started_at_s=move.since_s
    )
    if move.kind in DISRUPTIVE and guarded(proposed, rules, past)[0]:
        assert Guards(rules, past).may_move(work)


GOOD = Move(MoveKind.RELOCATE, "n1", "why", ("use",), 1000.0, 10.0, 1, "w1", "ann", NOW - 9_000)
QUIET = Past(NOW, FRIDAY, {"use": 1.0})


@pytest.mark.parametrize(
    ("move", "rules", "past", "guard"),
    [
        (GOOD, RULES, replace(QUIET, ages={}), guards.STALE),
        (GOOD, RULES, replace(QUIET, ages={"use": 601.0}), guards.STALE),
        (replace(GOOD, cost_gpu_s=900.0), RULES, QUIET, guards.GAIN),
        (replace(GOOD, gain_gpu_s=0.0, cost_gpu_s=0.0), RULES, QUIET, guards.GAIN),
        (GOOD, replace(RULES, freeze=(FreezeWindow(frozenset({4}), 22 * 3600, 6 * 3600),)), QUIET, guards.FREEZE),
        (replace(GOOD, since_s=NOW - 1_799), RULES, QUIET, guards.MIN_RUN),
        (replace(GOOD, since_s=None), RULES, QUIET, guards.MIN_RUN),
        (GOOD, RULES, replace(QUIET, last_moved={"w1": NOW - 7_199}), guards.COOL_DOWN),
        (GOOD, RULES, replace(QUIET, moved={"ann": frozenset({"w7", "w8"})}), guards.TENANT),
        (GOOD, replace(RULES, moves=0), QUIET, guards.BUDGET),
    ],
)
def test_each_guard_holds_back_and_says_why(move, rules, past, guard):
    assert guarded([GOOD], RULES, QUIET) == ([GOOD], [])
    (held,) = guarded([move], rules, past)[1]
    assert (held.guard, held.move) == (guard, move)
    assert held.why


def test_work_is_moved_once_in_a_run():
    passed, held = guarded([GOOD, replace(GOOD, bundle=2)], RULES, QUIET)
    assert (passed, [each.guard for each in held]) == ([GOOD], [guards.COOL_DOWN])


def test_a_quiet_move_is_made_in_a_freeze_window_too():
    cap = replace(GOOD, kind=MoveKind.CAP, workload=None, owner=None, since_s=None, device="GPU-1")
    always = replace(RULES, moves=0, freeze=(FreezeWindow(frozenset(range(7)), 0, 0),))
    assert guarded([cap], always, QUIET) == ([cap], [])


@pytest.mark.parametrize(
    ("hour", "day", "inside"), [(23, 20, True), (5, 21, True), (6, 21, False), (21, 20, False), (23, 21, False)]
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(hour, day, inside):
    window = FreezeWindow(frozenset({4}), 22 * 3600, 6 * 3600)
    assert (frozen((window,), datetime(2026, 11, day, hour, tzinfo=UTC)) is not None) is inside
