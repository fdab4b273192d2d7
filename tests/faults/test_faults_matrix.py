"""SIGKILL at every gap of every kind of step on simulated nodes; then resume, rollback or abandon.

Every kind is killed at every point and resumed. What else may follow is tried at a share of the points, and at all of
them with KILL_MATRIX=full in the environment.
"""

import os

import pytest
from fakes.kill_matrix import ROWS, STRANGER_PID, make_world, picture
from fakes.killing import POINTS

from gpualloc.engine.doubt import doubtful_nodes
from gpualloc.engine.open_runs import look_again
from gpualloc.engine.submit import submit
from gpualloc.model.plan import StepKind
from gpualloc.model.workload import Request

NOWHERE = ("after-done", "no such kind")
GONE_ON = {"resume": ["apply", "--resume", "latest"], "rebalance": ["rebalance"]}
SOME = POINTS if os.environ.get("KILL_MATRIX") == "full" else ("after-intent", "mid-effect", "before-done")
KINDS = sorted((kind for kind in ROWS if ROWS[kind].goes_on), key=lambda kind: kind.value)


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory):
    """Gives each row's world before its run, after one that nobody disturbed, and that without counts."""
    known = {}

    def ask(kind):
        if ROWS[kind] not in known:
            world = make_world(tmp_path_factory.mktemp("undisturbed") / "world")
            with world.open() as ctx:
                args = ROWS[kind].begin(ctx, world.root)
            before = picture(world, counts=False)
            assert server.run(*NOWHERE, args, world.env) == 0
            known[ROWS[kind]] = (before, picture(world), picture(world, counts=False))
        return known[ROWS[kind]]

    return ask


@pytest.fixture
def killed(server, tmp_path):
    """A function that gives a world in which the row's run was killed at the point."""

    def kill(kind, point):
        world = make_world(tmp_path / "world")
        with world.open() as ctx:
            args = ROWS[kind].begin(ctx, world.root)
        assert server.run(point, kind.value, args, world.env) == -9
        return world, args

    return kill


def test_every_kind_of_step_has_a_row():
    assert set(ROWS) == set(StepKind)


@pytest.mark.parametrize(
    ("how", "point"),
    [(how, point) for how in GONE_ON for point in (POINTS if how == "resume" else SOME)],
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.value)
def test_gone_on_with_it_ends_as_if_nothing_had_happened(server, undisturbed, killed, kind, point, how):
    world, _ = killed(kind, point)
    assert server.run(*NOWHERE, GONE_ON[how], world.env) == 0
    assert picture(world) == undisturbed(kind)[1]
    assert server.run(*NOWHERE, ["rebalance"], world.env) == 0
    assert picture(world) == undisturbed(kind)[1]


@pytest.mark.parametrize("point", SOME)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if ROWS[kind].invertible], ids=lambda kind: kind.value)
def test_rolled_back_it_ends_as_it_began(server, undisturbed, killed, kind, point):
    world, args = killed(kind, point)
    assert server.run(*NOWHERE, ["apply", "--rollback", "latest"], world.env) == 0
    assert picture(world, counts=False) == undisturbed(kind)[0]
    assert server.run(*NOWHERE, ROWS[kind].again(world, args), world.env) == 0
    assert picture(world, counts=False) == undisturbed(kind)[2]


@pytest.mark.parametrize("point", SOME)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not ROWS[kind].invertible], ids=lambda kind: kind.value)
def test_what_cannot_be_rolled_back_is_told_and_done_later(server, undisturbed, killed, kind, point):
    world, args = killed(kind, point)
    assert server.run(*NOWHERE, ["apply", "--rollback", "latest"], world.env) == 0
    with world.open() as ctx:
        assert ctx.journal.open_runs() == ()
    for again in (["rebalance"], ROWS[kind].again(world, args), ["rebalance"]):
        assert server.run(*NOWHERE, again, world.env) == 0
    assert picture(world, counts=False) == undisturbed(kind)[2]


@pytest.mark.parametrize("point", SOME)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.value)
def test_given_up_it_is_doubtful_until_somebody_looked(server, undisturbed, killed, kind, point):
    world, args = killed(kind, point)
    with world.open() as ctx:
        (run,) = ctx.journal.open_runs()
    assert server.run(*NOWHERE, ["recover", "--abandon", run.id, "--yes"], world.env) == 0
    with world.open() as ctx:
        assert ctx.journal.open_runs() == ()
        abandoned = len(ctx.journal.abandoned_runs()) == 1
        assert abandoned or point in ("before-intent", "after-done")
        assert list(doubtful_nodes(ctx)) == (["n1"] if abandoned else [])
        with ctx.journal.write("test") as writer:
            look_again(ctx, writer)
        assert doubtful_nodes(ctx) == {}
    for again in (["rebalance"], ROWS[kind].again(world, args), ["rebalance"]):
        assert server.run(*NOWHERE, again, world.env) == 0
    assert picture(world, counts=False) == undisturbed(kind)[2]


@pytest.mark.parametrize("how", [*GONE_ON, "rollback", "abandon"])
@pytest.mark.parametrize("point", POINTS)
def test_a_signal_is_not_sent_late_and_told_when_it_was_sent(server, killed, point, how):
    def alive():
        return STRANGER_PID in [one["pid"] for gpu in world.hosts()["n1"]["gpus"] for one in gpu["processes"]]

    world, _ = killed(StepKind.SIGNAL, point)
    lived = alive()
    assert lived is (point in ("before-intent", "after-intent")) or point == "mid-effect"
    with world.open() as ctx:
        (run,) = ctx.journal.open_runs()
    given_up = {"rollback": ["apply", "--rollback", run.id], "abandon": ["recover", "--abandon", run.id, "--yes"]}
    assert server.run(*NOWHERE, {**GONE_ON, **given_up}[how], world.env) == 0
    assert server.run(*NOWHERE, ["reconcile", "--yes"], world.env) == 0
    assert alive() is lived
    with world.open() as ctx:
        assert (ctx.journal.open_runs(), ctx.journal.abandoned_runs(), doubtful_nodes(ctx)) == ((), (), {})
        told = [entry.kind for entry in ctx.journal.audit()].count("signal")
    # Of a rollback, what has no inverse is left as it is, without asking.
    assert told == (0 if lived else 1) or (how == "rollback" and point != "after-done")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", [StepKind.CLAIM, StepKind.LIMIT, StepKind.START], ids=lambda kind: kind.value)
def test_a_reboot_in_the_middle_is_seen_and_nothing_is_left_of_before(server, killed, kind, point):
    world, _ = killed(kind, point)
    world.reboot("n1")
    for _ in range(2):
        assert server.run(*NOWHERE, ["rebalance"], world.env) == 0
    with world.open() as ctx:
        (work,) = ctx.journal.workloads()
        assert (ctx.journal.open_runs(), doubtful_nodes(ctx)) == ((), {})
    host = world.hosts()["n1"]
    alive = [one["workload"] for one in host["work"] if one["end"] is None]
    held = [work.id] if work.state.value == "running" else []
    assert work.state.value in ("running", "lost")
    assert (alive, [claim["workload"] for claim in host["claims"]], list(host["groups"])) == (held, held, held)


@pytest.mark.parametrize("point", ["mid-effect", "after-effect", "after-read-back", "before-done", "after-done"])
def test_work_that_ended_before_anybody_looked_is_not_started_again(server, tmp_path, point):
    world = make_world(tmp_path / "world")
    with world.open() as ctx:
        submit(ctx, "work", Request(("true",), gpus=1, memory_mib=1024, nodes=("n1",)))
    assert server.run(point, "start", ["rebalance"], world.env) == -9
    for _ in range(2):
        assert server.run(*NOWHERE, ["rebalance"], world.env) == 0
    with world.open() as ctx:
        (work,) = ctx.journal.workloads()
        starts = [entry.kind for entry in ctx.journal.audit()].count("start")
    assert (work.state.value, work.attempt, starts) == ("finished", 1, 1)
    assert world.hosts()["n1"]["claims"] == []
