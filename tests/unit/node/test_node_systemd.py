"""What is asked of systemd, against a manager that keeps its slices in a folder; tests/vm has the real one."""

import errno
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.node import busctl, cgroup, systemd

WORKLOAD = "w0123abcd"
UNIT = f"gpualloc-{WORKLOAD}.slice"
FILES = {
    "CPUWeight": "cpu.weight",
    "MemoryMax": "memory.max",
    "MemorySwapMax": "memory.swap.max",
    "TasksMax": "pids.max",
}
NUMBERS = {"AllowedCPUs": "cpuset.cpus", "AllowedMemoryNodes": "cpuset.mems"}


class Manager:
    """Takes calls as busctl is given them, and does what they say in a folder."""

    def __init__(self, root):
        self.root = root
        self.slices = {}
        self.scopes = {}
        self.refuse = None
        self.deaf = False
        (root / "cgroup.controllers").write_text("cpuset cpu io memory pids")
        (root / "cpuset.cpus.effective").write_text("0-3")

    def call(self, own, method, signature, *words):
        if self.refuse:
            raise OSError(errno.EREMOTEIO, self.refuse)
        taken = Words(words)
        arguments = [taken.take(kind) for kind in split(signature)]
        assert taken.rest() == []
        getattr(self, method)(*arguments)

    def StartTransientUnit(self, unit, mode, properties, others):
        for name, more in [*others, (unit, properties)]:
            if name in self.slices or name in self.scopes:
                raise OSError(errno.EREMOTEIO, f"Unit {name} was already loaded or has a fragment file.")
            if name.endswith(".scope"):
                self.scopes[name] = more
            else:
                self.slices[name] = dict(more)
                self.folder(name).mkdir(parents=True, exist_ok=True)

    def SetUnitProperties(self, unit, runtime, properties):
        assert runtime == "true"
        if self.deaf:
            return
        for name, value in properties:
            if name == "CPUQuotaPerSecUSec":
                (self.folder(unit) / "cpu.max").write_text(f"{int(value) // 10} 100000")
            elif name in NUMBERS:
                text = ",".join(str(number) for number in sorted(bits(value)))
                (self.folder(unit) / NUMBERS[name]).write_text(text)
            else:
                (self.folder(unit) / FILES[name]).write_text(value)

    def StopUnit(self, unit, mode):
        if unit not in self.slices:
            raise OSError(errno.EREMOTEIO, f"Unit {unit} not loaded.")
        del self.slices[unit]
        shutil.rmtree(self.folder(unit), ignore_errors=True)

    def folder(self, unit):
        return self.root / "gpualloc.slice" if unit == "gpualloc.slice" else self.root / "gpualloc.slice" / unit


class Words:
    """Arguments as busctl writes them: an array's length comes before it, a variant's type too."""

    def __init__(self, words):
        self.words = list(words)

    def rest(self):
        return self.words

    def take(self, kind):
        if kind.startswith("a"):
            return [self.take(kind[1:]) for _ in range(int(self.words.pop(0)))]
        if kind.startswith("("):
            return tuple(self.take(part) for part in split(kind[1:-1]))
        if kind == "v":
            return self.take(self.words.pop(0))
        return self.words.pop(0)


def split(signature):
    """The complete types of a D-Bus signature."""
    if not signature:
        return []
    end = 0
    while signature[end] == "a":
        end += 1
    depth = 0
    while True:
        depth += {"(": 1, ")": -1}.get(signature[end], 0)
        end += 1
        if depth == 0:
            return [signature[:end], *split(signature[end:])]


def bits(data):
    return {8 * place + bit for place, byte in enumerate(data) for bit in range(8) if int(byte) >> bit & 1}


@pytest.fixture
def manager(tmp_path, monkeypatch):
    manager = Manager(tmp_path)
    monkeypatch.setattr(busctl, "call", manager.call)
    return manager


@pytest.fixture
def groups(manager):
    return systemd.Systemd(str(manager.root))


def test_a_slice_is_made_within_one_that_goes_with_the_last(groups, manager):
    groups.make(WORKLOAD)
    groups.make(WORKLOAD)
    groups.make("w00000000")
    assert manager.slices == {
        "gpualloc.slice": {"StopWhenUnneeded": "true"},
        UNIT: {"Description": f"gpualloc: workload {WORKLOAD}"},
        "gpualloc-w00000000.slice": {"Description": "gpualloc: workload w00000000"},
    }


def test_limits_are_set_in_one_call_and_read_from_the_kernel(groups, manager):
    groups.make(WORKLOAD)
    limits = {"cpus": 2.5, "cpu_weight": 50, "cpuset": "0-1,3", "memory_mib": 64, "pids": 9}
    groups.set(WORKLOAD, limits)
    assert dict(groups.read(WORKLOAD), cpuset="0-1,3") == limits
    assert cgroup.cpu_numbers(groups.read(WORKLOAD)["cpuset"]) == {0, 1, 3}


def test_a_limit_that_the_kernel_does_not_show_is_not_set(groups, manager, monkeypatch):
    groups.make(WORKLOAD)
    monkeypatch.setattr(systemd, "_WAIT_S", 0.0)
    manager.deaf = True
    with pytest.raises(OSError, match=f"systemd did not put pids of {UNIT} in force"):
        groups.set(WORKLOAD, {"pids": 9})


def test_nothing_is_asked_for_a_slice_that_is_not_there(groups, manager):
    manager.refuse = "it was asked"
    for act in (lambda: groups.set(WORKLOAD, {"pids": 9}), lambda: groups.join(WORKLOAD, 1)):
        with pytest.raises(FileNotFoundError, match=f"there is no {UNIT}"):
            act()
    groups.remove(WORKLOAD)


def test_what_the_manager_cannot_give_is_refused(groups, manager):
    groups.make(WORKLOAD)
    with pytest.raises(OSError, match="CPUs out of range: 9 of 0-3") as refused:
        groups.set(WORKLOAD, {"cpuset": "9"})
    assert refused.value.errno == errno.ERANGE
    (manager.root / "cgroup.controllers").write_text("cpu")
    with pytest.raises(OSError, match="no such controller for this account: memory, pids"):
        groups.set(WORKLOAD, {"memory_mib": 64, "pids": 9, "cpus": 1})
    assert groups.read(WORKLOAD) == {}


def test_a_slice_whose_group_was_taken_away_is_made_again(groups, manager):
    groups.make(WORKLOAD)
    shutil.rmtree(manager.folder("gpualloc.slice"))
    assert not groups.exists(WORKLOAD)
    groups.make(WORKLOAD)
    assert groups.exists(WORKLOAD)


def test_a_manager_that_refuses_is_told_after_some_tries(groups, manager, monkeypatch):
    monkeypatch.setattr(systemd, "_POLL_S", 0.0)
    manager.refuse = "Access denied"
    with pytest.raises(OSError, match="Access denied"):
        groups.make(WORKLOAD)


def test_a_process_comes_in_as_a_scope_named_after_it(groups, manager, monkeypatch):
    groups.make(WORKLOAD)
    monkeypatch.setattr(systemd, "_WAIT_S", 0.0)
    with pytest.raises(OSError, match="systemd did not move process 1 into"):
        groups.join(WORKLOAD, 1)
    (properties,) = manager.scopes.values()
    assert list(manager.scopes) == [f"gpualloc-{WORKLOAD}-1.scope"]
    assert dict(properties) | {"PIDs": None} == {
        "PIDs": None,
        "Slice": UNIT,
        "CollectMode": "inactive-or-failed",
        "TasksMax": str(2**64 - 1),
    }
    assert dict(properties)["PIDs"] == ["1"]


def test_only_the_groups_of_this_manager_hold_a_process(groups, monkeypatch):
    line = "0::/"
    monkeypatch.setattr(systemd.group_files, "read_value", lambda _path: line)
    own = "user.slice/user-1000.slice/user@1000.service/"
    told = {}
    for line in (f"0::/{place}gpualloc.slice/{UNIT}{below}" for place in ("", own) for below in ("", "/a.scope")):
        told[line] = groups.holds(WORKLOAD, 1)
    assert list(told.values()) == [True, True, False, False]


def test_a_busy_slice_is_not_stopped(groups, manager):
    groups.make(WORKLOAD)
    members = manager.folder(UNIT) / "cgroup.procs"
    members.write_text("1\n")
    with pytest.raises(OSError, match="it is busy") as refused:
        groups.remove(WORKLOAD)
    assert refused.value.errno == errno.EBUSY
    assert UNIT in manager.slices
    members.write_text("")
    groups.remove(WORKLOAD)
    assert UNIT not in manager.slices
    groups.remove(WORKLOAD)


def test_an_own_manager_has_no_device_rules(manager, tmp_path):
    own = systemd.Systemd(str(tmp_path), own=True)
    assert own.mode == "systemd-user"
    assert (own.isolation(), own.restricted(WORKLOAD)) == (None, None)
    own.unrestrict(WORKLOAD)


@given(st.sets(st.integers(0, 8191), max_size=20))
def test_a_mask_has_the_bit_of_each_number(numbers):
    length, *data = systemd._mask(numbers)
    assert len(data) == int(length)
    assert bits(data) == numbers


def test_this_machine_has_no_systemd_to_ask(tmp_path, monkeypatch):
    monkeypatch.setattr(systemd, "_RUNNING", str(tmp_path / "no"))
    assert systemd.running("/sys/fs/cgroup") is None
