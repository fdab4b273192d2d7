"""The size of real pools: measured, decided, drained, ordered from programs, and remembered in the audit trail."""

import sys

import pytest
from msgspec.structs import replace

from gpualloc.adapters.scale_hook import ProgramScaleHook
from gpualloc.engine.cordon import cordon, uncordon
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.sample import sample
from gpualloc.engine.scale import interrupted, propose, scale, scaled_pools, too_slow
from gpualloc.engine.scale_measure import LEAVING
from gpualloc.engine.submit import submit
from gpualloc.errors import HookError, LockedError, NotFoundError, UnreachableError, UsageError
from gpualloc.model.scaling import ScalingName, ScalingSettings, SpotRules
from gpualloc.model.spot import Price, PriceHistory
from gpualloc.model.workload import Preemption, Request, WorkloadState
from gpualloc.sim.cluster import ClusterSpec, Fault, HostSpec, Stranger
from gpualloc.sim.gpu import FaultKind
from gpualloc.sim.use import Pattern

FOREVER = ("python", "train.py")
NO_PRICES = PriceHistory()
ADD = (
    "import json, sys; order = json.load(sys.stdin);"
    "print(json.dumps({'added': [f'new{n}' for n in range(order['count'])]}))"
)
TAKE = "import json, sys; order = json.load(sys.stdin); print(json.dumps({'removed': order['nodes']}))"


def program(script):
    return (sys.executable, "-c", script)


SETTINGS = ScalingSettings(up_hook=program(ADD), down_hook=program(TAKE))


class Later:
    """The clock of a world, some seconds ahead."""

    def __init__(self, clock, ahead_s):
        self._clock = clock
        self._ahead_s = ahead_s

    def now_s(self):
        return self._clock.now_s() + self._ahead_s

    def sleep(self, seconds):
        self._clock.sleep(seconds)


@pytest.fixture
def world(made_context):
    """A function that gives a pool of three nodes with four GPUs each, scaled by the given settings."""

    def make(strangers=(), faults=(), **changes):
        hosts = tuple(
            HostSpec(f"n{n}", ("A100-80GB",) * 4, labels={"zone": f"z{n}"}, strangers=strangers if n == 3 else ())
            for n in (1, 2, 3)
        )
        ctx = made_context(cluster=ClusterSpec("pool", hosts, faults=faults))
        return with_settings(ctx, replace(SETTINGS, **changes))

    return make


def pool_of(ctx):
    return ctx.fleet.specs()[0].pool


def with_settings(ctx, settings):
    """The engine believes that the nodes are real: otherwise no program is run."""
    return replace(
        ctx,
        simulated=False,
        scale_hook=ProgramScaleHook(),
        settings=replace(ctx.settings, scaling={pool_of(ctx): settings}),
    )


def run(ctx, gpus, count=1, preempt=Preemption.STOP, **request):
    ids = [submit(ctx, "x", Request(FOREVER, gpus=gpus, preempt=preempt, **request)).workload.id for _ in range(count)]
    rebalance(replace(ctx, simulated=True))
    return ids


def later(ctx, seconds):
    return replace(ctx, clock=Later(ctx.clock, seconds))


def entries(ctx):
    return [
        (entry.detail.get("direction"), entry.detail["state"]) for entry in ctx.journal.audit() if entry.kind == "scale"
    ]


def proposed(ctx):
    return propose(ctx, pool_of(ctx), NO_PRICES)


def scaled(ctx, prices=NO_PRICES):
    return scale(ctx, pool_of(ctx), prices)


def leaving(ctx):
    return sorted(each.node for each in ctx.journal.cordons() if each.reason.startswith(LEAVING))


def test_work_that_runs_and_waits_and_strangers_are_the_demand(world):
    ctx = world(strangers=(Stranger("bob", "python serve.py", (0, 1), 2048, Pattern.STEADY),))
    run(ctx, 4, 3)
    view = proposed(ctx).view
    assert (view.standing.demand_gpus, view.standing.nodes, view.standing.gpus_per_node) == (14.0, 3, 4.0)
    assert (view.standing.complete, view.unknown, view.ordered, view.leaving) == (True, (), 0, ())
    assert len(ctx.journal.workloads((WorkloadState.PENDING,))) == 1


def test_looking_changes_nothing(world):
    ctx = world()
    run(ctx, 4, 4)
    before = ctx.journal.audit()
    proposal = proposed(ctx)
    assert (proposal.move.nodes, proposal.changes) == (1, True)
    assert ctx.journal.audit() == before


def test_nodes_are_ordered_once_and_then_waited_for(world):
    ctx = world()
    run(ctx, 4, 4)
    done = scaled(ctx)
    (order, answer), = done.answers  # fmt: skip
    assert (order.up, order.count, answer.nodes, answer.problem, done.error) == (True, 1, ("new0",), None, None)
    assert "load 133%" in order.why
    assert entries(ctx) == [("up", "asked"), ("up", "done")]
    again = scaled(ctx)
    assert (again.proposal.move.nodes, again.proposal.view.ordered, again.answers) == (0, 1, ())
    assert "nodes were added" in again.proposal.move.why
    after = proposed(later(ctx, 290))
    assert (after.view.ordered, after.move.nodes) == (1, 0)
    late = proposed(later(ctx, 301))
    assert (late.view.ordered, late.move.nodes) == (0, 1)


def test_an_order_nobody_knows_the_end_of_counts_until_it_would_serve(world):
    ctx = world()
    run(ctx, 4, 4)

    class Dies:
        def run(self, command, timeout_s, order):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scaled(replace(ctx, scale_hook=Dies()))
    assert entries(ctx) == [("up", "asked")]
    assert (proposed(ctx).view.ordered, scaled(ctx).answers) == (1, ())


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("raise SystemExit(2)", "exit code 2"),
        ('print(\'{"error": "sold out"}\')', "sold out"),
        ("print('ok')", "not JSON"),
        ("import time; time.sleep(600)", "no answer in 1 s"),
    ],
)
def test_a_program_that_fails_is_told_and_not_asked_again_at_once(world, script, problem):
    ctx = world(up_hook=program(script), hook_timeout_s=1.0)
    run(ctx, 4, 4)
    done = scaled(ctx)
    assert isinstance(done.error, HookError)
    assert problem in done.error.message
    assert entries(ctx) == [("up", "asked"), ("up", "failed")]
    assert scaled(ctx).answers == ()
    assert proposed(later(ctx, 301)).move.nodes == 1
    assert ctx.journal.verify_audit() is None


def test_a_node_without_work_goes_at_once(world):
    ctx = world()
    (work,) = run(ctx, 2)
    done = scaled(ctx)
    where = ctx.journal.find(work).allocation.node
    (order, answer), = done.answers  # fmt: skip
    assert (order.up, len(order.nodes), answer.nodes) == (False, 1, order.nodes)
    assert where not in order.nodes
    assert leaving(ctx) == list(order.nodes)
    assert entries(ctx) == [("down", "drained"), ("down", "asked"), ("down", "done")]
    again = proposed(ctx)
    assert (again.view.standing.nodes, again.empty) == (2, ()), "it is not taken away twice"
    assert again.move.nodes == 0


def full(ctx):
    """One piece of work on each node, so that none is empty."""
    ids = []
    for name in ("n1", "n2", "n3"):
        ids += run(ctx, 1, nodes=(name,))
    return ids


def test_no_node_with_work_is_given_back(world):
    ctx = world()
    full(ctx)
    proposal = proposed(ctx)
    assert (proposal.move.nodes, proposal.drained) == (0, ())
    assert "work runs on all others" in proposal.move.why
    assert scaled(ctx).answers == ()
    assert leaving(ctx) == []


def test_work_gives_way_where_that_is_wanted(world):
    ctx = world(evict=True)
    ids = full(ctx)
    done = scaled(ctx)
    (order, answer), = done.answers  # fmt: skip
    assert (order.up, answer.nodes, done.error) == (False, ("n1",), None)
    assert done.drain.rounds
    assert ctx.journal.find(ids[0]).state is WorkloadState.PENDING
    assert ctx.journal.find(ids[1]).state is WorkloadState.RUNNING


def test_work_that_never_gives_way_keeps_its_node_until_it_ends(world):
    ctx = world(evict=True)
    ids = []
    for name in ("n1", "n2", "n3"):
        ids.append(submit(ctx, "x", Request(FOREVER, preempt=Preemption.NEVER, nodes=(name,))).workload.id)
    rebalance(replace(ctx, simulated=True))
    done = scaled(ctx)
    assert done.answers == ()
    assert "stay" in done.error.message
    assert leaving(ctx) == ["n1"]
    release(replace(ctx, simulated=True), [ids[0]])
    later_on = scaled(ctx)
    assert [order.nodes for order, _ in later_on.answers] == [("n1",)]


def test_strangers_keep_their_node(world):
    ctx = world(strangers=(Stranger("bob", "python serve.py", (0,), 2048, Pattern.STEADY),))
    done = scaled(ctx)
    assert [order.nodes for order, _ in done.answers] == [("n1",)]
    settled = later(ctx, 700)
    assert [order.nodes for order, _ in scaled(settled).answers] == [("n1", "n2")], "n1 was said to go, and answers"
    assert proposed(later(ctx, 1400)).move.nodes == 0


def test_what_cannot_be_read_keeps_every_node(world):
    for fault in (Fault("n2", FaultKind.UNREACHABLE), Fault("n2", FaultKind.HUNG, gpu=1)):
        ctx = world(faults=(fault,))
        proposal = proposed(ctx)
        assert (proposal.move.nodes, proposal.drained) == (0, ())
        assert proposal.view.unknown[0].startswith("n2")
        assert not proposal.view.standing.complete
        assert scaled(ctx).answers == ()


def test_waiting_work_adds_nodes_although_a_node_cannot_be_read(world):
    ctx = world(faults=(Fault("n2", FaultKind.UNREACHABLE),))
    run(ctx, 4, 4)
    assert proposed(ctx).move.nodes == 1


def test_nothing_is_decided_where_no_node_answers(world):
    ctx = world(faults=tuple(Fault(f"n{n}", FaultKind.UNREACHABLE) for n in (1, 2, 3)))
    with pytest.raises(UnreachableError):
        proposed(ctx)


def test_cool_downs_are_kept_from_one_command_to_the_next(world):
    ctx = world()
    scaled(ctx)
    assert leaving(ctx) == ["n1"]
    assert "given back" in proposed(ctx).move.why
    assert proposed(later(ctx, 590)).move.nodes == 0
    assert proposed(later(ctx, 601)).move.nodes == -1


def test_an_operator_who_uncordons_keeps_the_node(world):
    ctx = world(down_hook=program("raise SystemExit(1)"))
    assert scaled(ctx).error is not None
    assert (leaving(ctx), proposed(ctx).empty) == (["n1"], ("n1",))
    uncordon(ctx, ["n1"], None)
    assert (proposed(ctx).empty, proposed(ctx).view.standing.nodes) == ((), 3)


def test_offers_are_ranked_by_price_steadiness_and_zone(world):
    ctx = world(spot=SpotRules(max_interruptions_per_hour=0.2, spread=1), policy=ScalingName.TARGET)
    run(ctx, 4, 6)
    prices = PriceHistory({"z1": (Price(0.0, 1.0, 0.1),), "z4": (Price(0.0, 1.5, 0.1),), "z5": (Price(0.0, 0.1, 0.9),)})
    bought = {lot.offer.zone: lot.nodes for lot in propose(ctx, pool_of(ctx), prices).lots}
    assert bought == {"z1": 3, "z4": 3, None: 0}


def test_the_predictive_policy_looks_at_the_past_of_the_pool(world):
    ctx = world(policy=ScalingName.PREDICTIVE)
    run(ctx, 2)
    first = proposed(ctx).view.standing
    assert (first.soon_gpus, first.later_gpus) == (None, None)
    assert "too little is known" in proposed(ctx).move.why
    tomorrow = later(ctx, 86_400)
    unseen = proposed(tomorrow).view.standing
    assert (unseen.soon_gpus, unseen.later_gpus) == (None, None), "nobody looked whether its work still runs"
    sample(tomorrow)
    after = proposed(tomorrow).view.standing
    assert (after.soon_gpus, after.later_gpus) == (2.0, 2.0)


def test_a_node_that_is_taken_away_is_emptied_first(world):
    ctx = world()
    ids = full(ctx)
    done = interrupted(ctx, "n2", 120.0)
    assert done.error is None
    assert ctx.journal.find(ids[1]).state is WorkloadState.PENDING
    (entry,) = [entry for entry in ctx.journal.audit() if entry.kind == "scale"]
    assert (entry.node, entry.detail["state"], entry.detail["in_s"]) == ("n2", "interrupted", 120.0)
    (made,) = ctx.journal.cordons()
    assert (made.node, made.drain, made.reason) == ("n2", True, "taken away in 120s")
    after = proposed(ctx).view
    assert (after.standing.nodes, [node.name for node in after.held], after.leaving) == (2, ["n2"], ())


def test_what_cannot_be_saved_in_time_is_named(world):
    ctx = world()
    saving = {"nodes": ("n1",), "preempt": Preemption.CHECKPOINT, "checkpoint_signal": "USR1"}
    (slow,) = run(ctx, 1, checkpoint_grace_s=300.0, **saving)
    (fast,) = run(ctx, 1, checkpoint_grace_s=60.0, **saving)
    done = interrupted(ctx, "n1", 120.0)
    assert {each.workload.id for each in done.concerned} == {slow, fast}
    assert too_slow(done, 120.0) == (slow,)
    assert too_slow(done, 600.0) == ()


def test_a_node_that_an_operator_keeps_from_work_counts_as_not_there(world):
    ctx = world()
    cordon(ctx, ["n3"], None, "new disks")
    view = proposed(ctx).view
    assert (view.standing.nodes, [node.name for node in view.held]) == (2, ["n3"])
    done = scaled(ctx)
    assert [order.nodes for order, _ in done.answers] == [("n1",)]
    late = later(ctx, 700)
    assert proposed(late).move.nodes == 0, "one is the least"
    assert leaving(ctx) == ["n1"]


def test_simulated_nodes_buy_nothing(world):
    ctx = replace(world(), simulated=True)
    with pytest.raises(UsageError, match="simulated"):
        scaled(ctx)
    assert proposed(ctx).move.nodes == -1


def test_what_is_not_configured_is_told(world):
    ctx = world(up_hook=(), down_hook=())
    with pytest.raises(UsageError, match="no program"):
        scaled(ctx)
    assert leaving(ctx) == []
    with pytest.raises(NotFoundError, match="is not scaled"):
        propose(ctx, "other", NO_PRICES)
    assert scaled_pools(ctx, []) == (pool_of(ctx),)
    with pytest.raises(NotFoundError):
        scaled_pools(ctx, ["other"])
    with pytest.raises(UsageError, match="no pool is scaled"):
        scaled_pools(replace(ctx, settings=replace(ctx.settings, scaling={})), [])


def test_a_program_runs_without_the_lock_and_its_order_is_not_given_twice(world):
    ctx = world()
    run(ctx, 4, 4)
    seen = []

    class Slow:
        def run(self, command, timeout_s, order):
            seen.append((ctx.journal.lock_holder(), scaled(ctx).answers, proposed(ctx).view.ordered))
            return ProgramScaleHook().run(command, timeout_s, order)

    done = scaled(replace(ctx, scale_hook=Slow()))
    assert [len(answer.nodes) for _, answer in done.answers] == [1]
    assert seen == [(None, (), 1)]


def test_one_command_at_a_time(world):
    ctx = world()
    with ctx.journal.write("something else"), pytest.raises(LockedError):
        scaled(ctx)
