"""What is written into the files of a version 2 hierarchy, and what is found by probing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.node import cgroup
from gpualloc.node.cgroup1 import Cgroup1
from gpualloc.node.cgroup2 import Cgroup2
from gpualloc.node.wire import Refused

WORKLOAD = "w12345678"


def step(**limits):
    return {
        "workload": WORKLOAD,
        "cpus": None,
        "cpuset": None,
        "memory_mib": None,
        "pids": None,
        "require_hard": False,
    } | limits


@pytest.fixture
def tree(tmp_path):
    """A folder that looks like a hierarchy, with the workload's group made."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids hugetlb")
    (tmp_path / "cgroup.subtree_control").write_text("")
    group = tmp_path / "gpualloc" / WORKLOAD
    group.mkdir(parents=True)
    for name in ("cpu.max", "memory.max", "memory.swap.max", "pids.max"):
        (group / name).write_text("")
    return tmp_path


def test_each_limit_is_written_and_read_back(tree):
    groups = Cgroup2(str(tree))
    held_by = cgroup.ensure(groups, step(cpus=0.5, memory_mib=64, pids=9))
    assert held_by == {"cpu": "hard", "memory": "hard", "pids": "hard"}
    group = tree / "gpualloc" / WORKLOAD
    assert (group / "cpu.max").read_text() == "50000 100000"
    assert (group / "memory.max").read_text() == "67108864"
    assert (group / "memory.swap.max").read_text() == "0"
    assert (group / "pids.max").read_text() == "9"
    assert "+" in (tree / "cgroup.subtree_control").read_text()


def test_a_missing_controller_is_booked_or_refused(tree):
    groups = Cgroup2(str(tree))
    assert groups.controllers() == ["cpu", "memory", "pids"]
    assert cgroup.ensure(groups, step(cpuset="0"))["cpu"] == "booked"
    (tree / "gpualloc" / WORKLOAD / "pids.max").unlink()
    with pytest.raises(Refused, match=r"pids\.max") as refused:
        cgroup.ensure(groups, step(pids=3, require_hard=True))
    assert refused.value.reason == "no-cgroup"


def test_a_host_without_control_groups_books_everything():
    groups = cgroup.probe("proc /proc proc rw 0 0\n")
    assert (groups.mode, groups.controllers(), groups.writable()) == ("none", [], False)
    assert cgroup.ensure(groups, step(cpus=1.0, memory_mib=5)) == {"cpu": "booked", "memory": "booked", "pids": None}
    groups.remove(WORKLOAD)


def test_probing_prefers_version_1_where_it_has_the_controllers():
    mounts = "cgroup /g/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup2 /g/unified cgroup2 rw 0 0\n"
    groups = cgroup.probe(mounts)
    assert isinstance(groups, Cgroup1)
    assert groups.controllers() == ["cpu"]
    only = cgroup.probe("cgroup2 /g cgroup2 rw 0 0\ncgroup /g/s cgroup rw,name=systemd 0 0\n")
    assert isinstance(only, Cgroup2)


@given(st.floats(0.001, 65536))
def test_any_quota_is_one_the_kernel_takes(cpus):
    quota, period = cgroup.quota(cpus)
    assert quota >= 1000
    assert 1000 <= period <= 1_000_000
    assert abs(quota / period - cpus) <= max(1e-5, cpus * 1e-3)


@pytest.mark.parametrize(("text", "numbers"), [("0-2,5", {0, 1, 2, 5}), ("3", {3}), ("", set()), ("1,1-2\n", {1, 2})])
def test_cpu_lists(text, numbers):
    assert cgroup.cpu_numbers(text) == numbers
