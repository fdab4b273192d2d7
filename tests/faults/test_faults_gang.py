"""SIGKILL at every gap of the steps of a gang on two simulated nodes; then on, or back: all of it, or nothing."""

import pytest
from fakes.kill_matrix import make_world, picture
from fakes.killing import POINTS

from gpualloc.engine.open_runs import look_again
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.submit import submit
from gpualloc.model.gang import members_of
from gpualloc.model.workload import Request, WorkloadState

NOWHERE = ("after-done", "no such kind")
GIVEN = [f"{kind}@{node}" for kind in ("claim", "limit", "start") for node in ("n1", "n2")]
TAKEN = [f"{kind}@{node}" for kind in ("stop", "unclaim") for node in ("n1", "n2")]
SOME = ("after-intent", "mid-effect", "after-effect", "before-done")


def begun(folder, *, running=False):
    """A world in which a gang of two waits, or runs."""
    world = make_world(folder)
    with world.open() as ctx:
        submit(ctx, "gang", Request(("sleep", "9000"), gpus=3, memory_mib=1024, gang=True))
        if running:
            rebalance(ctx)
    return world


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory):
    """Pictures of the world in which the gang waits, runs, and was released."""
    world = begun(tmp_path_factory.mktemp("undisturbed") / "world")
    assert server.run(*NOWHERE, ["rebalance"], world.env) == 0
    runs = picture(world)
    assert server.run(*NOWHERE, ["release", "gang"], world.env) == 0
    return runs, picture(world)


def standing(world):
    """The gang's state, its members, and on how many nodes something of it runs or is claimed."""
    with world.open() as ctx:
        (gang,) = ctx.journal.workloads()
        open_runs = ctx.journal.open_runs()
    hosts = world.hosts().values()
    alive = sum(any(work["end"] is None for work in host["work"]) for host in hosts)
    return gang.state, len(members_of(gang)), alive, sum(len(host["claims"]) for host in hosts), len(open_runs)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", GIVEN)
def test_a_start_that_was_killed_goes_on_to_the_whole_gang(server, undisturbed, tmp_path, kind, point):
    world = begun(tmp_path / "world")
    assert server.run(point, kind, ["apply", "--yes"], world.env) == -9
    assert server.run(*NOWHERE, ["rebalance"], world.env) == 0
    assert picture(world) == undisturbed[0]
    assert standing(world) == (WorkloadState.RUNNING, 2, 2, 3, 0)


@pytest.mark.parametrize("point", SOME)
@pytest.mark.parametrize("kind", GIVEN)
def test_a_start_that_was_killed_is_taken_back_whole(server, tmp_path, kind, point):
    world = begun(tmp_path / "world")
    assert server.run(point, kind, ["apply", "--yes"], world.env) == -9
    assert server.run(*NOWHERE, ["apply", "--rollback", "latest"], world.env) == 0
    assert standing(world) == (WorkloadState.PENDING, 0, 0, 0, 0)
    assert server.run(*NOWHERE, ["rebalance"], world.env) == 0
    assert standing(world) == (WorkloadState.RUNNING, 2, 2, 3, 0)


@pytest.mark.parametrize("point", SOME)
@pytest.mark.parametrize("kind", ["start@n1", "start@n2"])
def test_a_start_that_was_killed_and_given_up_leaves_nothing_or_all(server, tmp_path, kind, point):
    world = begun(tmp_path / "world")
    assert server.run(point, kind, ["apply", "--yes"], world.env) == -9
    with world.open() as ctx:
        (run,) = ctx.journal.open_runs()
    assert server.run(*NOWHERE, ["recover", "--abandon", run.id, "--yes"], world.env) == 0
    assert server.run(*NOWHERE, ["rebalance"], world.env) == 0  # plans nothing for what is in doubt
    with world.open() as ctx, ctx.journal.write("test") as writer:
        look_again(ctx, writer)
    whole = kind == "start@n2" and point != "after-intent"
    assert standing(world) == ((WorkloadState.RUNNING, 2, 2, 3, 0) if whole else (WorkloadState.PENDING, 0, 0, 0, 0))


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", TAKEN)
def test_a_release_that_was_killed_ends_all(server, undisturbed, tmp_path, kind, point):
    world = begun(tmp_path / "world", running=True)
    assert server.run(point, kind, ["release", "gang"], world.env) == -9
    assert server.run(*NOWHERE, ["rebalance"], world.env) == 0
    assert picture(world) == undisturbed[1]
    assert standing(world)[:4] == (WorkloadState.RELEASED, 2, 0, 0)


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_node_that_restarts_in_the_middle_of_a_start_takes_the_gang_down(server, tmp_path, node):
    """Rank 0 runs, rank 1 was about to: what a boot took away is never half of a gang."""
    world = begun(tmp_path / "world")
    assert server.run("after-effect", "start@n2", ["apply", "--yes"], world.env) == -9
    world.reboot(node)
    assert server.run(*NOWHERE, ["rebalance"], world.env) == 0
    assert server.run(*NOWHERE, ["rebalance"], world.env) == 0
    assert standing(world) == (WorkloadState.LOST, 2, 0, 0, 0)
