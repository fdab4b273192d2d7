"""SIGKILL of a suspension and of a resumption at every gap of every step: saying it again brings it to the same end."""

import pytest
from fakes.cuda_world import HERE, MIB, THERE, CudaWorld
from fakes.killing import POINTS

pytestmark = pytest.mark.root

GAPS = ("after-intent", "mid-effect", "after-effect")
"""Enough for steps that are tried at every gap elsewhere."""


def gaps(kind, other):
    return [*((kind, point) for point in POINTS), *((other, point) for point in GAPS)]


@pytest.fixture
def world(tmp_path):
    made = CudaWorld(tmp_path)
    yield made
    made.wake_everything()
    made.stop_everything()


@pytest.fixture
def kill(server, world):
    """A function that runs a command line which is killed at the point."""

    def kill(point, kind, *args):
        assert server.run(point, kind, list(args), world.env) == -9

    return kill


def assert_settled(world, identity, state, devices):
    row = world.workload(identity)
    assert (row["state"], row["devices"]) == (state, devices)
    assert world.claims() == [f"{device}@{identity}.json" for device in devices]
    assert world.used_mib() == {uuid: MIB if uuid in devices else 0 for uuid in (HERE, THERE)}
    assert world.stands_still(identity) == (state == "suspended")
    assert world.json("status")["open_runs"] == []


@pytest.mark.parametrize(("kind", "point"), gaps("suspend", "unclaim"))
def test_a_killed_suspension_ends_as_an_undisturbed_one(world, kill, point, kind):
    identity, pid = world.begin()
    kill(point, kind, "suspend", identity)
    world.run("suspend", identity)
    assert_settled(world, identity, "suspended", [])
    assert world.cuda.state(pid) == "checkpointed"
    assert [code for _, _, code in world.cuda.calls("checkpoint")] == [0]


@pytest.mark.parametrize(("kind", "point"), gaps("resume", "claim"))
def test_a_killed_resumption_ends_as_an_undisturbed_one(world, kill, point, kind):
    identity, pid = world.begin()
    world.run("suspend", identity)
    kill(point, kind, "resume", identity, "--device", THERE)
    world.run("resume", identity, "--device", THERE)
    assert_settled(world, identity, "running", [THERE])
    assert world.cuda.memory(pid) == {THERE: MIB}
    assert [code for _, _, code in world.cuda.calls("restore", "unlock")] == [0, 0]


@pytest.mark.parametrize("verb", ["release", "rebalance"])
def test_any_write_command_finishes_a_killed_suspension_first(world, kill, verb):
    identity, pid = world.begin()
    kill("after-intent", "suspend", "suspend", identity)
    world.run(*((verb, identity) if verb == "release" else (verb,)))
    if verb == "rebalance":
        assert_settled(world, identity, "suspended", [])
        assert world.cuda.state(pid) == "checkpointed"
    else:
        assert world.workload(identity)["state"] == "released"
        assert world.groups([identity]) == []
