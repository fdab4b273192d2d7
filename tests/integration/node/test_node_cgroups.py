"""Limits that bind, in the control groups of this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpualloc.node import cgroup
from gpualloc.node.cgroup2 import Cgroup2

pytestmark = pytest.mark.root

MOUNTS = Path("/proc/self/mounts").read_text()
UNIFIED = next((line.split()[1] for line in MOUNTS.splitlines() if line.split()[2] == "cgroup2"), None)


def limit(node, program, workload, **limits):
    fields = {"cpus": None, "cpuset": None, "memory_mib": None, "pids": None, "grants": [], **limits}
    return program.call("do", "limit", workload, **fields)["ok"]


def test_memory_beyond_the_limit_is_killed_and_told(node):
    program = node.program()
    script = "b = bytearray(32 << 20); print('fits', flush=True); c = bytearray(b'x') * (256 << 20)"
    workload, told = node.start(program, sys.executable, "-c", script, memory_mib=64)
    assert told["ok"]["held_by"]["memory"] == "hard"
    end = program.end(workload)
    assert (end["exit_code"], end["signal"], end["oom"]) == (137, 9, True)
    assert program.output(workload) == "fits\n"


def test_half_a_cpu_is_half_a_cpu(node):
    program = node.program()
    script = (
        "import os, time\n"
        "begun_s, before = time.monotonic(), os.times()\n"
        "child = os.fork() and os.fork()\n"
        "while time.monotonic() < begun_s + 2: pass\n"
        "while True:\n"
        "    try: os.wait()\n"
        "    except ChildProcessError: break\n"
        "if child: print(sum(os.times()[:4]) - sum(before[:4]), time.monotonic() - begun_s, flush=True)\n"
        "if child: time.sleep(600)"
    )
    workload = node.workload()
    assert limit(node, program, workload, cpus=0.5)["held_by"] == {"cpu": "hard", "memory": None, "pids": None}
    folder = next(Path(path) for path in node.groups(workload) if Path(path, "cpu.shares").exists())
    for group in (folder, folder.parent):
        # Without this a busy machine gives a single group less than its quota, and nothing is throttled.
        (group / "cpu.shares").write_text("262144")
    node.start(program, sys.executable, "-c", script, workload=workload, cpus=0.5)
    node.until(lambda: program.output(workload).endswith("\n"))
    used_s, wall_s = map(float, program.output(workload).split())
    assert used_s / wall_s <= 0.55
    counts = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
    assert int(counts["nr_throttled"]) > 0


def test_a_cpuset_is_the_affinity(node):
    program = node.program()
    cpu = max(os.sched_getaffinity(0))
    script = "import os; print(sorted(os.sched_getaffinity(0)))"
    workload, told = node.start(program, sys.executable, "-c", script, cpuset=str(cpu))
    assert told["ok"]["held_by"]["cpu"] == "hard"
    program.end(workload)
    assert program.output(workload) == f"[{cpu}]\n"


def test_forks_beyond_the_limit_fail(node):
    program = node.program()
    script = (
        "import os, time\n"
        "try:\n"
        "    for _ in range(9):\n"
        "        if os.fork() == 0: time.sleep(600)\n"
        "except BlockingIOError: print('EAGAIN', flush=True)\n"
        "time.sleep(600)"
    )
    workload, told = node.start(program, sys.executable, "-c", script, pids=5)
    assert told["ok"]["held_by"]["pids"] == "hard"
    node.until(lambda: program.output(workload))
    assert program.output(workload) == "EAGAIN\n"
    end = program.call("do", "stop", workload, grace_s=5)["ok"]["end"]
    assert end["reason"] == "released"
    assert node.groups(workload) == []


def test_limits_are_verified_and_taken_back(node):
    program, workload = node.program(), node.workload()
    asked = {"cpus": 1.5, "cpuset": None, "memory_mib": 100, "pids": 7, "grants": []}
    for _ in range(2):
        assert limit(node, program, workload, **asked)["group"] == f"gpualloc/{workload}"
    assert program.call("verify", "limit", workload, **asked)["ok"]["holds"] is True
    assert program.call("verify", "limit", workload, **dict(asked, pids=8))["ok"]["holds"] is False
    assert program.call("verify", "unlimit", workload)["ok"]["holds"] is False
    assert limit(node, program, workload, **dict(asked, memory_mib=50, cpus=0.001))["held_by"]["memory"] == "hard"
    assert limit(node, program, workload, **dict(asked, memory_mib=200))["held_by"]["memory"] == "hard"
    assert program.call("undo", "limit", workload, **asked)["ok"] == {}
    assert program.call("verify", "unlimit", workload)["ok"]["holds"] is True
    assert node.groups(workload) == []


def test_a_limit_that_cannot_be_set_is_booked_unless_hard_is_required(node):
    program, workload = node.program(), node.workload()
    asked = {"cpus": None, "cpuset": "4000", "memory_mib": None, "pids": None, "grants": []}
    assert limit(node, program, workload, **asked)["held_by"]["cpu"] == "booked"
    program.call("do", "unlimit", workload)
    told = program.call("do", "limit", workload, require="hard", **asked)
    assert told["error"]["reason"] == "no-cgroup"
    assert node.groups(workload) == []


def test_a_limit_asked_for_again_after_the_end_makes_no_group(node):
    program = node.program()
    workload, _ = node.start(program, "true", pids=9)
    program.end(workload)
    assert limit(node, program, workload, pids=9) == {
        "grants": [],
        "held_by": {"cpu": None, "memory": None, "pids": "hard", "io": None},
        "group": None,
    }
    assert node.groups(workload) == []


def test_groups_made_and_removed_at_once_do_not_disturb_each_other(node):
    """The parent goes with the last group, while other programs make theirs."""
    script = (
        "import sys; from gpualloc.node import cgroup\n"
        "groups = cgroup.probe()\n"
        "for _ in range(60):\n"
        "    groups.make(sys.argv[1]); groups.set(sys.argv[1], {'pids': 5}); groups.remove(sys.argv[1])\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, node.workload()]) for _ in range(3)]
    assert [one.wait(60) for one in running] == [0, 0, 0]


@pytest.mark.skipif(UNIFIED is None, reason="no cgroup2 mount on this machine")
def test_version_2_knows_and_keeps_its_members(node):
    groups, workload = Cgroup2(UNIFIED), node.workload()
    groups.make(workload)
    process = subprocess.Popen(["sleep", "600"])
    try:
        assert not groups.holds(workload, process.pid)
        groups.join(workload, process.pid)
        assert groups.holds(workload, process.pid)
        assert groups.members(workload) == [process.pid]
        assert groups.oom_kills(workload) == 0
        Path(UNIFIED, "gpualloc", workload, "cgroup.kill").write_text("1")
        assert process.wait(60) == -9
    finally:
        process.kill()
        process.wait()
        groups.remove(workload)
    assert not groups.exists(workload)


@pytest.mark.skipif(UNIFIED is None, reason="no cgroup2 mount on this machine")
def test_version_2_books_what_its_root_does_not_offer(node):
    groups, workload = Cgroup2(UNIFIED), node.workload()
    step = {"workload": workload, "cpus": None, "cpuset": None, "memory_mib": 64, "pids": None, "require_hard": False}
    expected = "hard" if "memory" in groups.controllers() else "booked"
    assert cgroup.ensure(groups, step)["memory"] == expected
    groups.remove(workload)


def test_a_dying_member_delays_the_removal_only(node):
    groups, workload = cgroup.probe(), node.workload()
    groups.make(workload)
    process = subprocess.Popen(["sleep", "600"])
    groups.join(workload, process.pid)
    with pytest.raises(OSError, match="busy"):
        groups.remove(workload)
    process.kill()
    groups.remove(workload)
    process.wait()
    assert not groups.exists(workload)
