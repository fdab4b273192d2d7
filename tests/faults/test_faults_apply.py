"""SIGKILL of an apply at every gap of every kind of step: the next write command brings it to the same end."""

import pytest
from fakes.command import Command, wait_until
from fakes.killing import POINTS
from fakes.nvml_stub import FakeGpu

pytestmark = pytest.mark.root


@pytest.fixture
def world(tmp_path):
    command = Command(tmp_path)
    # Slow readings keep the node program at work after its controller died.
    command.gpus(FakeGpu(0, call_delay_ms=5.0), FakeGpu(1, call_delay_ms=5.0))
    yield command
    command.stop_everything()


def submit(world):
    """Work that writes a line each time it is started, with every kind of limit."""
    starts = world.root / "starts"
    data = world.json(
        *("submit", "--name", "killed", "--gpus", "1", "--memory", "64MiB", "--cpus", "0.5", "--pids", "20"),
        *("--", "/bin/sh", "-c", f"echo started >> {starts}; exec sleep 300"),
    )
    return data["id"], starts


def final(world, identity, starts):
    """All that may be told apart from outside."""
    row = world.workload(identity)
    return {
        "state": row["state"],
        "devices": row["devices"],
        "held_by": row["held_by"],
        "claims": [claim.replace(identity, "ID") for claim in world.claims()],
        "groups": len(world.groups([identity])),
        "starts": starts.read_text() if starts.exists() else "",
        "open": world.json("status").get("open_runs"),
        "steps_left": world.json("plan")["steps"],
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """How an apply ends that nobody disturbed."""
    world = Command(tmp_path_factory.mktemp("undisturbed"))
    world.gpus(FakeGpu(0), FakeGpu(1))
    try:
        identity, starts = submit(world)
        world.run("rebalance")
        wait_until(starts.exists, "the work started")
        return final(world, identity, starts)
    finally:
        world.stop_everything()


@pytest.mark.parametrize("kind", ["claim", "limit", "start"])
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_apply_ends_as_an_undisturbed_one(server, undisturbed, world, point, kind):
    identity, starts = submit(world)
    assert server.run(point, kind, ["rebalance"], world.env) == -9

    world.run("rebalance")

    wait_until(starts.exists, "the work started")
    assert final(world, identity, starts) == undisturbed
    assert undisturbed["starts"] == "started\n"
    assert undisturbed["state"] == "running"

    world.run("release", identity)
    assert world.workload(identity)["state"] == "released"
    wait_until(lambda: not world.groups([identity]), "its groups are gone")
    assert world.claims() == []
    assert world.run("audit", "--verify").returncode == 0


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_release_ends_released(server, world, point):
    identity, starts = submit(world)
    world.run("rebalance")
    wait_until(starts.exists, "the work started")

    assert server.run(point, "stop", ["release", identity], world.env) == -9
    world.run("rebalance")

    assert world.workload(identity)["state"] == "released"
    assert starts.read_text() == "started\n"
    wait_until(lambda: not world.groups([identity]), "its groups are gone")
    assert world.claims() == []
    assert world.json("plan")["steps"] == []
