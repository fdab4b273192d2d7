"""What is written into the files of a version 2 hierarchy, and what is found by probing."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.node import cgroup, group_files, group_life, io_weight
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


def test_weights_are_written_and_read_back(tree):
    groups, group = Cgroup2(str(tree)), tree / "gpualloc" / WORKLOAD
    (group / "cpu.weight").write_text("100")
    (group / "io.weight").write_text("")
    held_by = cgroup.ensure(groups, step(cpu_weight=250, io_weight=9000))
    assert held_by == {"cpu": "hard", "memory": None, "pids": None, "io": "hard"}
    assert (group / "cpu.weight").read_text() == "250"
    assert (group / "io.weight").read_text() == "9000"


def test_a_kernel_without_weights_for_disks_books_them(tree):
    assert cgroup.ensure(Cgroup2(str(tree)), step(io_weight=50))["io"] == "booked"


@settings(deadline=None)
@given(st.integers(1, 10000))
def test_a_weight_of_disks_fits_the_scale_of_any_kernel(tmp_path_factory, weight):
    for name, highest in (("io.weight", 10000), ("io.bfq.weight", 1000), ("blkio.bfq.weight", 1000)):
        folder = tmp_path_factory.mktemp("group")
        (folder / name).write_text("default 100\n8:0 500")
        assert io_weight.weight(str(folder)) == 100
        (folder / name).write_text("")
        io_weight.set_weight(str(folder), weight)
        assert 1 <= int((folder / name).read_text()) <= highest
        found = io_weight.weight(str(folder))
        assert weight - (10 if weight > 100 and highest == 1000 else 0) <= found <= weight


def test_a_kill_for_memory_takes_the_whole_group(tree):
    group = tree / "gpualloc" / WORKLOAD
    (group / "memory.oom.group").write_text("0")
    Cgroup2(str(tree)).set(WORKLOAD, {"memory_mib": 10})
    assert (group / "memory.oom.group").read_text() == "1"


def test_version_2_refuses_a_memory_limit_that_would_kill(tree):
    group = tree / "gpualloc" / WORKLOAD
    (group / "memory.current").write_text(str(50 << 20))
    (group / "memory.stat").write_text(f"anon {30 << 20}\nactive_file {15 << 20}\ninactive_file {5 << 20}\n")
    groups = Cgroup2(str(tree))
    with pytest.raises(OSError, match="30 MiB are in use") as refused:
        groups.set(WORKLOAD, {"memory_mib": 29})
    assert refused.value.errno == errno.EBUSY
    assert (group / "memory.max").read_text() == ""
    groups.set(WORKLOAD, {"memory_mib": 30})
    assert (group / "memory.max").read_text() == str(30 << 20)


def test_the_cpus_in_force_count_and_not_the_cpus_asked_for(tree):
    group = tree / "gpualloc" / WORKLOAD
    (group / "cpuset.cpus").write_text("")
    (group / "cpuset.mems").write_text("")
    (group / "cpuset.cpus.effective").write_text("0-7")
    assert cgroup.ensure(Cgroup2(str(tree)), step(cpuset="9"))["cpu"] == "booked"
    (group / "cpuset.cpus.effective").write_text("9")
    assert cgroup.ensure(Cgroup2(str(tree)), step(cpuset="9"))["cpu"] == "hard"


def test_memory_is_near_the_cpus(tmp_path):
    for node, cpus in enumerate(("0-3", "4-7", "8-9")):
        (tmp_path / f"node{node}").mkdir()
        (tmp_path / f"node{node}" / "cpulist").write_text(cpus + "\n")
    (tmp_path / "has_memory").write_text("0-1\n")
    assert cgroup.memory_nodes("5", str(tmp_path)) == "1"
    assert cgroup.memory_nodes("3-4,8", str(tmp_path)) == "0,1"
    assert cgroup.memory_nodes("8", str(tmp_path)) is None
    assert cgroup.memory_nodes("0", str(tmp_path / "none")) is None


def test_a_limit_of_memory_with_swap_is_set_whole_or_not_at_all(tmp_path, monkeypatch):
    group = tmp_path / "gpualloc" / WORKLOAD
    group.mkdir(parents=True)
    for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        (group / name).write_text(str(64 << 20))
    written = group_files.write_value

    def write(path, value):
        if "memsw" in path:
            raise OSError(errno.EBUSY, "busy", path)
        written(path, value)

    monkeypatch.setattr(group_files, "write_value", write)
    groups = Cgroup1({"memory": str(tmp_path)})
    with pytest.raises(OSError, match="busy"):
        groups.set(WORKLOAD, {"memory_mib": 32})
    assert groups.read(WORKLOAD) == {"memory_mib": 64}


def test_what_cannot_be_frozen_is_not_said_to_be(tmp_path):
    assert group_life.is_frozen(str(tmp_path)) is None
    (tmp_path / "cgroup.events").write_text("populated 1\n")
    assert group_life.is_frozen(str(tmp_path)) is None
    with pytest.raises(OSError, match="cannot be frozen"):
        group_life.freeze(str(tmp_path), True)


def test_what_does_not_stop_is_let_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(group_life, "_WAIT_S", 0.01)
    (tmp_path / "cgroup.freeze").write_text("0")
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(TimeoutError, match="does not stop"):
        group_life.freeze(str(tmp_path), True)
    assert (tmp_path / "cgroup.freeze").read_text() == "0"


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


def test_a_gpu_of_its_own_needs_a_rule_where_hard_is_required():
    groups = cgroup.probe("proc /proc proc rw 0 0\n")
    own, slice_of = {"share": "exclusive"}, {"share": "time-slice"}
    assert groups.isolation() is None
    for rule in (None, {"195": [0]}):
        with pytest.raises(Refused, match="no control groups"):
            cgroup.ensure(groups, step(require_hard=True, grants=[own, slice_of], rule=rule))
        assert cgroup.ensure(groups, step(grants=[own], rule=rule))["cpu"] is None
        assert cgroup.ensure(groups, step(require_hard=True, grants=[slice_of], rule=rule))["cpu"] is None
        assert not cgroup.keeps_to(groups, WORKLOAD, rule)


def test_probing_prefers_version_1_where_it_has_the_controllers():
    mounts = "cgroup /g/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup2 /g/unified cgroup2 rw 0 0\n"
    groups = cgroup.probe(mounts)
    assert isinstance(groups, Cgroup1)
    assert groups.controllers() == ["cpu"]
    more = cgroup.probe(mounts + "cgroup /g/blkio cgroup rw,blkio 0 0\ncgroup /g/devices cgroup rw,devices 0 0\n")
    assert more.controllers() == ["cpu", "io"]
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
