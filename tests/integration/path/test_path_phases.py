"""What work says of itself and what is sampled of it, from a real process on this machine to the command line."""

import pytest
from fakes.command import wait_until

pytestmark = pytest.mark.root

TELL = (
    'for step in 1 2 3 4; do echo "{\\"step\\": $step, \\"of\\": 8, \\"phase\\": \\"fit\\", '
    '\\"time_s\\": $(date +%s.%N)}" >> "$GPUALLOC_PROGRESS"; sleep 0.3; done; sleep 600'
)


def started(world, *arguments):
    identity = world.json("submit", "--name", "fit", "--gpus", "1", *arguments, "--", "/bin/sh", "-c", TELL)["id"]
    world.run("apply", "--yes")
    return identity


def test_ps_and_show_tell_how_far_a_real_process_is(world):
    identity = started(world)

    def told():
        progress = world.workload(identity)["progress"]
        return progress is not None and progress["step"] == 4 and progress

    wait_until(told, "it said its fourth step")
    progress = world.workload(identity)["progress"]
    assert (progress["of"], progress["ratio"], progress["phase"], progress["loss"]) == (8, 0.5, "fit", None)
    assert "50 %" in world.run("ps").stdout
    assert "step 4 of 8 (50 %)" in world.run("show", identity).stdout
    assert "phase fit" in world.run("show", identity).stdout


def test_what_was_declared_and_sampled_is_told_by_phases(world):
    file = world.root / "profile.toml"
    file.write_text('[[profile]]\nphase = "fit"\ngpu = 0.5\nmemory = "1GiB"\n')
    identity = started(world, "--profile-file", str(file))
    assert world.json("show", identity)["request"]["declared"] == [
        {"for_s": None, "gpu": 0.5, "memory_mib": 1024, "phase": "fit"}
    ]
    assert "nothing was sampled" in world.run("phases", identity, check=2).stderr
    world.run("sample")
    found = world.json("phases", identity)
    assert len(found["phases"]) == 1
    demand = found["demand"][0]
    assert demand["says"] == "declared"
    assert demand["gpu_utilization_ratio"] == {"low": 0.5, "median": 0.5, "high": 0.5}
    assert "declared" in world.run("phases", identity).stdout
