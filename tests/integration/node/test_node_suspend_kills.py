"""A program killed at any point of a suspension or resumption: doing it again, or undoing it, puts everything right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import suspend_site

HERE, THERE = (f"GPU-00000000-0000-0000-0000-{index:012d}" for index in range(2))
SCRIPT = Path(suspend_site.__file__)

SUSPENDING = 14
"""Points of suspending two processes whose memory limit is raised: two for each change."""
RESUMING = 16
"""Points of resuming them on another device."""
REFUSED = 15
"""Points of that when the second cannot be restored, and the first is put back."""


@pytest.fixture
def ground(tmp_path):
    with suspend_site.prepared(tmp_path, [{HERE: 3000}, {HERE: 3000}], {HERE: 34_000, THERE: 40_000}) as made:
        yield made


def run(ground, what, device, point=0):
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(ground.folder), what, str(point), device],
        env={**os.environ, **ground.cuda.environment(), "PYTHONPATH": f"{SCRIPT.parents[1]}:{SCRIPT.parents[2]}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def act(ground, what, device, point=0):
    """Run the program to its end, or to the point where it is killed; answers the points it passed."""
    done = run(ground, what, device, point)
    assert done.returncode == (-9 if point else 0), done.stderr
    return None if point else int(done.stdout)


def assert_suspended(ground):
    assert ground.states() == ["checkpointed", "checkpointed"]
    assert ground.site.frozen()
    assert [ground.cuda.free_mib(uuid) for uuid in (HERE, THERE)] == [40_000, 40_000]
    # It never stood still with memory on a GPU.
    assert all(set(states.values()) == {"checkpointed"} for states in ground.site.get("frozen_in"))


def assert_running(ground, device):
    assert ground.states() == ["running", "running"]
    assert not ground.site.frozen()
    assert [ground.cuda.memory(pid) for pid in ground.pids] == [{device: 3000}, {device: 3000}]
    assert ground.site.get("limit_mib") == 4000
    assert not ground.record_path.exists()


def test_every_point_is_tried(ground):
    assert act(ground, "suspend", HERE) == SUSPENDING
    assert_suspended(ground)
    assert act(ground, "resume", THERE) == RESUMING
    assert_running(ground, THERE)


@pytest.mark.parametrize("point", range(1, SUSPENDING + 1))
def test_a_killed_suspension_is_done_again(ground, point):
    act(ground, "suspend", HERE, point)
    act(ground, "suspend", HERE)
    assert_suspended(ground)
    act(ground, "resume", HERE)
    assert_running(ground, HERE)


@pytest.mark.parametrize("point", range(1, SUSPENDING + 1))
def test_a_killed_suspension_is_undone(ground, point):
    act(ground, "suspend", HERE, point)
    act(ground, "resume", HERE)
    assert_running(ground, HERE)


@pytest.mark.parametrize("point", range(1, RESUMING + 1))
def test_a_killed_move_is_done_again(ground, point):
    act(ground, "suspend", HERE)
    act(ground, "resume", THERE, point)
    act(ground, "resume", THERE)
    assert_running(ground, THERE)


@pytest.mark.parametrize("point", range(1, RESUMING + 1))
def test_a_killed_move_is_undone_and_resumed_where_it_was(ground, point):
    act(ground, "suspend", HERE)
    act(ground, "resume", THERE, point)
    act(ground, "suspend", THERE)
    assert_suspended(ground)
    act(ground, "resume", HERE)
    assert_running(ground, HERE)


@pytest.mark.parametrize("point", range(1, REFUSED + 1))
def test_a_killed_retreat_from_a_move_that_fails_is_undone_and_resumed_where_it_was(ground, point):
    act(ground, "suspend", HERE)
    ground.cuda.fault("restore", "return", pid=max(ground.pids), code=999)
    act(ground, "resume", THERE, point)
    ground.cuda.forget_faults()
    act(ground, "suspend", THERE)
    assert_suspended(ground)
    act(ground, "resume", HERE)
    assert_running(ground, HERE)


def test_every_point_of_a_retreat_is_tried(ground):
    act(ground, "suspend", HERE)
    ground.cuda.fault("restore", "return", pid=max(ground.pids), code=999)
    told = run(ground, "resume", THERE)
    assert (told.returncode, f"refused after {REFUSED}:" in told.stderr) == (1, True)
    assert_suspended(ground)
