"""Limits of running work are told as the kernel has them, and set again after a foreign hand was at them."""

import os
from pathlib import Path

import pytest

LIMITS = {"cpus": None, "cpuset": None, "memory_mib": 512, "pids": 40, "cpu_weight": None, "io_weight": None}


@pytest.fixture
def limited(any_node):
    """A node program, and running work with limits that the kernel holds."""
    program = any_node.program()
    workload, told = any_node.start(program, "sleep", "600", memory_mib=512, pids=40)
    if "hard" not in told["ok"]["held_by"].values():
        pytest.skip("this machine can hold no limit")
    return program, workload, told["ok"]


def bound(program, workload):
    return program.record(workload)["bound"]


def put_out(node, workload, pid):
    """Move the work to the root of every hierarchy, as somebody may who has the right to."""
    for group in node.groups(workload):
        root = Path(group).parent.parent
        (root / "cgroup.procs").write_text(str(pid))


def test_what_the_kernel_has_is_told(limited):
    program, workload, told = limited
    asked = {"memory": ("memory_mib", 512), "pids": ("pids", 40)}
    for part, (name, value) in asked.items():
        assert bound(program, workload)[name] == (value if told["held_by"][part] == "hard" else None)
    program.call("do", "stop", workload, grace_s=5)
    assert bound(program, workload) is None


def test_limits_that_were_changed_are_set_again(limited, any_node):
    program, workload, told = limited
    if told["held_by"]["pids"] != "hard":
        pytest.skip("this machine cannot limit processes")
    (file,) = [Path(group, "pids.max") for group in any_node.groups(workload) if Path(group, "pids.max").exists()]
    file.write_text("9")
    assert bound(program, workload)["pids"] == 9
    again = program.call("do", "limit", workload, grants=[], **LIMITS)
    assert again["ok"]["held_by"]["pids"] == "hard"
    assert bound(program, workload)["pids"] == 40


def test_work_that_was_put_out_of_its_group_has_no_limits_and_is_let_in_again(limited, any_node):
    program, workload, told = limited
    before = bound(program, workload)
    put_out(any_node, workload, told["pid"])
    assert not any(bound(program, workload).values())
    assert "ok" in program.call("do", "limit", workload, grants=[], **LIMITS)
    assert bound(program, workload) == before
    inside = [line for line in Path(f"/proc/{told['pid']}/cgroup").read_text().splitlines() if line.endswith(workload)]
    assert inside
    assert os.path.exists(f"/proc/{told['pid']}")
