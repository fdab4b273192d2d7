"""Signals to an apply at work, and ten applies at once, on simulated nodes."""

import json
import signal

import pytest
from fakes.command import wait_until


def submit(sim, count=1):
    for number in range(count):
        command = ("--name", f"work{number}", "--gpus", "1", "--nodes", "fir01", "--", "sleep", "9000")
        sim.run("submit", *command)


def slow_hook(sim):
    """Let each step wait until the file `go` is there; says `asked` when the first one waits."""
    script = sim.root / "hook"
    script.write_text(
        f"#!/bin/sh\ntouch {sim.root}/asked\nuntil [ -e {sim.root}/go ]; do sleep 0.05; done\n", encoding="ascii"
    )
    script.chmod(0o700)
    sim.configure(f'[hooks]\npre_step = ["{script}"]\ntimeout = "1h"\n')


def interrupted(sim, number, *, then=()):
    """`apply` that got signals while its first step was held up; its exit code and what it said."""
    slow_hook(sim)
    apply = sim.start("apply", "--yes")
    wait_until((sim.root / "asked").exists, "the first step is under way")
    for sent in (number, *then):
        apply.send_signal(sent)
    (sim.root / "go").touch()
    _, said = apply.communicate(timeout=60)
    return apply.returncode, said


def states(sim):
    return sorted(row["state"] for row in sim.json("ps")["workloads"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_step_under_way_end_and_the_next_command_says_what_it_takes_up(sim, number):
    submit(sim, 2)
    code, said = interrupted(sim, number)
    assert code == 130, said
    assert "stopping after the steps under way" in said
    assert "stays open" in said
    (run,) = sim.json("recover")["runs"]
    assert (run["state"], run["in_doubt"]) == ("open", [])
    assert f"run {run['run']}, begun" in sim.run("rebalance").stderr
    assert sim.json("recover")["runs"] == []
    assert states(sim) == ["running"] * 2
    assert [entry["kind"] for entry in sim.json("audit")["entries"]].count("interrupt") == 1


def test_a_second_signal_ends_it_at_once_and_nothing_is_lost(sim):
    submit(sim)
    code, said = interrupted(sim, signal.SIGTERM, then=(signal.SIGTERM,))
    assert code in (-signal.SIGTERM, 130), said
    sim.run("apply", "--resume", "latest")
    assert states(sim) == ["running"]


def test_of_ten_applies_at_once_one_works_and_nine_are_told(sim):
    submit(sim)
    plan = sim.root / "plan"
    sim.run("plan", "-o", str(plan))
    slow_hook(sim)
    first = sim.start("apply", "--yes", str(plan))
    wait_until((sim.root / "asked").exists, "the first one is at work")
    others = [sim.start("apply", "--yes", str(plan), "--json") for _ in range(9)]
    codes = []
    for other in others:
        out, _ = other.communicate(timeout=90)
        codes.append((other.returncode, json.loads(out)["errors"][0]["code"]))
    (sim.root / "go").touch()
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert codes == [(7, "locked")] * 9
    assert states(sim) == ["running"]


def test_a_killed_holder_blocks_nobody(sim):
    submit(sim)
    slow_hook(sim)
    first = sim.start("apply", "--yes")
    wait_until((sim.root / "asked").exists, "the first one is at work")
    first.kill()
    first.communicate(timeout=60)
    (sim.root / "go").touch()
    sim.run("apply", "--resume", "latest")
    assert states(sim) == ["running"]
