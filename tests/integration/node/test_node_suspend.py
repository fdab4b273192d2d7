"""Suspending and resuming real processes through a CUDA driver that is made for it, in a process of its own."""

import fcntl
import itertools
import os

import pytest
from fakes.cuda_stub import STATES
from fakes.suspend_site import grants, prepared
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.node import cuda_process, suspend
from gpualloc.node.cuda_process import CudaProcess
from gpualloc.node.cuda_work import CudaWork, state_of
from gpualloc.node.resume import Resumption, pairs
from gpualloc.node.suspend import Suspension
from gpualloc.node.suspended import Suspended
from gpualloc.node.wire import Refused

GPUS = [f"GPU-00000000-0000-0000-0000-{index:012d}" for index in range(4)]
HERE, THERE = GPUS[:2]
FREE = {HERE: 31_000, THERE: 40_000, GPUS[2]: 9000, GPUS[3]: 40_000}
MEMORY = [{HERE: 3000}, {HERE: 3000}, {HERE: 3000}]


class Bench:
    """Three processes on one GPU, and the operations on them."""

    def __init__(self, ground, driver):
        self.ground = ground
        self.cuda, self.site, self.pids = ground.cuda, ground.site, ground.pids
        self.driver = driver

    def work(self):
        return CudaWork(self.driver, self.site, Suspended(str(self.ground.record_path)))

    def suspension(self, devices=(HERE,)):
        return Suspension(self.work(), grants(list(devices)))

    def suspend(self, devices=(HERE,)):
        return self.suspension(devices).suspend()

    def resume(self, devices=(HERE,)):
        return Resumption(self.work(), list(devices)).resume()

    def state(self):
        return self.suspension().state()

    def refused(self, operation, *args):
        with pytest.raises(Refused) as caught:
            operation(*args)
        return caught.value

    def assert_as_before(self):
        """All runs, nothing is left of the attempt."""
        assert self.ground.states() == ["running"] * 3
        assert not self.site.frozen()
        assert self.site.get("limit_mib") == 4000
        assert not self.ground.record_path.exists()


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes a bench; arguments are those of the driver."""
    made = []

    def build(**driver):
        context = prepared(tmp_path, MEMORY, FREE, **driver)
        ground = context.__enter__()
        for name, value in ground.cuda.environment().items():
            monkeypatch.setenv(name, value)
        lock_fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        made.append((context, lock_fd, CudaProcess(lock_fd)))
        return Bench(ground, made[-1][2])

    yield build
    for context, lock_fd, driver in made:
        driver.close()
        os.close(lock_fd)
        context.__exit__(None, None, None)


@pytest.fixture
def bench(make):
    return make()


def test_the_memory_goes_to_the_host_and_comes_back(bench):
    assert bench.state() == "running"
    facts = bench.suspend()
    assert (facts["gpu_memory_mib"], facts["left_mib"], facts["state"]) == (9000, 0, "suspended")
    assert bench.cuda.free_mib(HERE) == 40_000
    assert [bench.cuda.host_mib(pid) for pid in bench.pids] == [3000] * 3
    assert bench.site.frozen()
    assert bench.state() == "suspended"
    assert bench.resume()["state"] == "running"
    assert bench.cuda.free_mib(HERE) == 31_000
    bench.assert_as_before()


def test_both_can_be_done_twice(bench):
    bench.suspend()
    calls = bench.cuda.calls("lock", "checkpoint")
    assert bench.suspend()["gpu_memory_mib"] == 9000
    assert bench.cuda.calls("lock", "checkpoint") == calls
    bench.resume()
    bench.resume()
    bench.assert_as_before()


def test_all_are_locked_before_one_is_moved_and_frozen_after_all(bench):
    bench.suspend()
    calls = [function for function, _, _ in bench.cuda.calls("lock", "checkpoint", "restore", "unlock")]
    assert calls == ["lock"] * 3 + ["checkpoint"] * 3
    assert bench.site.get("frozen_in") == [{str(pid): "checkpointed" for pid in bench.pids}]
    bench.resume()
    calls = [function for function, _, _ in bench.cuda.calls("restore", "unlock")]
    assert calls == ["restore"] * 3 + ["unlock"] * 3


@pytest.mark.parametrize("states", list(itertools.combinations_with_replacement(STATES[:3], 3)))
@pytest.mark.parametrize("operation", ["suspend", "resume"])
def test_every_mixture_of_states_is_brought_to_the_wanted_one(bench, states, operation):
    for pid, state in zip(bench.pids, states, strict=True):
        if state != "running":
            bench.driver.lock(pid, 1)
        if state == "checkpointed":
            bench.driver.checkpoint(pid, 3000)
    assert bench.state() == state_of(list(states)) == (states[0] if len(set(states)) == 1 else "mixed")
    getattr(bench, operation)()
    if operation == "suspend":
        assert bench.ground.states() == ["checkpointed"] * 3
        assert bench.state() == "suspended"
        bench.resume()
    bench.assert_as_before()


@pytest.mark.parametrize("others", STATES[:3])
@pytest.mark.parametrize("operation", ["suspend", "resume"])
def test_a_failed_process_is_named_and_the_others_are_not_left_down(bench, others, operation):
    for pid in bench.pids[1:]:
        if others != "running":
            bench.driver.lock(pid, 1)
        if others == "checkpointed":
            bench.driver.checkpoint(pid, 3000)
    bench.cuda.add(bench.pids[0], {HERE: 3000}, "failed")
    assert bench.state() == "failed"
    refused = bench.refused(getattr(bench, operation))
    assert (refused.reason, str(bench.pids[0]) in refused.message) == ("failed", True)
    if operation == "suspend":
        assert bench.ground.states() == ["failed", "running", "running"]


def test_a_kernel_that_does_not_end_leaves_everything_running(bench):
    bench.cuda.fault("lock", "return", pid=bench.pids[2], code=600)
    refused = bench.refused(bench.suspend)
    assert (refused.reason, "did not end in time" in refused.message) == ("busy", True)
    assert not bench.cuda.calls("checkpoint")
    bench.assert_as_before()


@pytest.mark.parametrize(
    ("function", "code", "reason"),
    [
        ("lock", 401, "failed"),
        ("checkpoint", 801, "not-supported"),
        ("checkpoint", 2, "memory"),
        ("lock", 800, "not-permitted"),
    ],
)
@pytest.mark.parametrize("victim", range(3))
def test_one_that_cannot_be_suspended_lets_all_run_on(bench, function, code, reason, victim):
    bench.cuda.fault(function, "return", pid=bench.pids[victim], code=code)
    refused = bench.refused(bench.suspend)
    assert (refused.reason, f"({code})" in refused.message) == (reason, True)
    bench.assert_as_before()
    bench.suspend()
    assert bench.state() == "suspended"


def test_one_that_the_driver_gives_up_in_the_middle_is_named(bench):
    bench.cuda.fault("checkpoint", "fail", pid=bench.pids[1], code=999)
    refused = bench.refused(bench.suspend)
    assert refused.reason == "failed"
    assert f"process {bench.pids[1]} is failed, only ending it helps" in refused.message
    assert bench.ground.states() == ["running", "failed", "running"]


@pytest.mark.parametrize("function", ["state", "lock", "checkpoint"])
def test_a_process_that_ends_in_the_middle_counts_no_more(bench, function):
    bench.cuda.fault(function, "end-process", pid=bench.pids[1])
    bench.suspend()
    assert [bench.cuda.state(pid) for pid in (bench.pids[0], bench.pids[2])] == ["checkpointed"] * 2
    assert bench.state() == "suspended"
    bench.resume()
    assert [bench.cuda.state(pid) for pid in (bench.pids[0], bench.pids[2])] == ["running"] * 2


def test_when_all_end_in_the_middle_that_is_told(bench):
    for pid in bench.pids:
        bench.cuda.fault("lock", "end-process", pid=pid)
    assert bench.refused(bench.suspend).reason == "gone"
    assert not bench.site.frozen()


def test_a_process_that_ends_while_it_is_suspended_does_not_hold_the_others(bench):
    bench.suspend()
    bench.site.marker.unlink()
    os.kill(bench.pids[0], 9)
    bench.site.set(pids=bench.pids[1:])
    bench.resume()
    assert [bench.cuda.state(pid) for pid in bench.pids[1:]] == ["running"] * 2


@pytest.mark.parametrize("function", ["state", "lock", "checkpoint"])
def test_a_driver_that_hangs_is_given_up_and_the_others_run_on(bench, monkeypatch, function):
    monkeypatch.setattr(cuda_process, "QUICK_S", 8.0)
    monkeypatch.setattr(cuda_process, "COPY_S", 4.0)
    monkeypatch.setattr("gpualloc.node.cuda_work.LOCK_S", 4.0)
    bench.cuda.fault(function, "hang", pid=bench.pids[1])
    refused = bench.refused(bench.suspend)
    assert (refused.reason, "did not return within" in refused.message) == ("failed", True)
    bench.assert_as_before()


def test_the_driver_process_that_dies_in_the_middle_is_taken_for_no_answer(bench):
    bench.cuda.fault("checkpoint", "die-after", pid=bench.pids[1])
    assert "ended the process that called it" in bench.refused(bench.suspend).message
    bench.assert_as_before()


# ---- room on the host


def test_too_little_memory_on_the_host_is_refused_before_anything_is_touched(bench):
    bench.site.set(host_free_mib=9899)
    for operation in (bench.suspension().preflight, bench.suspend):
        refused = bench.refused(operation)
        assert (refused.reason, "9900 MiB" in refused.message) == ("memory", True)
    assert not bench.cuda.calls("lock")
    bench.assert_as_before()
    bench.site.set(host_free_mib=9900)
    bench.suspend()


def test_the_memory_limit_is_raised_while_the_memory_is_there_and_put_back(bench):
    bench.suspend()
    assert bench.site.get("limit_mib") == 1000 + 9900
    bench.resume()
    assert bench.site.get("limit_mib") == 4000


def test_a_limit_with_room_enough_is_left_alone(bench):
    bench.site.set(limit_mib=10_900)
    bench.suspend()
    bench.resume()
    assert bench.site.get("limit_mib") == 10_900


def test_a_limit_that_cannot_be_raised_is_refused(bench):
    bench.site.set(limit_fixed=True)
    refused = bench.refused(bench.suspend)
    assert (refused.reason, "4000 MiB" in refused.message) == ("memory", True)
    assert not bench.cuda.calls("lock")
    assert bench.ground.states() == ["running"] * 3


def test_a_limit_below_what_is_in_use_by_then_stays_raised_and_is_told(bench, monkeypatch):
    monkeypatch.setattr("gpualloc.node.cuda_work._LIMIT_WAIT_S", 0.1)
    bench.suspend()
    bench.site.set(used_mib=5000)
    assert bench.resume()["memory_limit_mib"] == 10_900
    assert bench.ground.states() == ["running"] * 3


def test_one_that_was_killed_halfway_and_is_refused_then_lets_all_run(bench):
    bench.suspend()
    bench.site.freeze(False)
    bench.driver.restore(bench.pids[0], [], 3000)
    bench.site.set(devices={uuid: {"ok": uuid != HERE} for uuid in FREE})
    assert bench.refused(bench.suspend).reason == "unhealthy"
    bench.assert_as_before()


# ---- what can never be


@pytest.mark.parametrize("share", ["mig", "mps"])
def test_shares_that_the_driver_cannot_suspend_are_refused(bench, share):
    asked = [dict(grants([HERE])[0], share=share)]
    assert bench.refused(Suspension(bench.work(), asked).suspend).reason == "not-supported"
    assert not bench.cuda.calls()


def test_a_gpu_in_mig_mode_an_old_driver_and_work_without_gpu_are_refused(make):
    old = make(version=12_040)
    for operation in (old.suspension().preflight, old.suspend):
        refused = old.refused(operation)
        assert (refused.reason, "driver >= 570 needed" in refused.message) == ("not-supported", True)
    assert old.refused(Suspension(old.work(), []).preflight).reason == "not-supported"
    old.site.set(devices={uuid: {"mig": True} for uuid in FREE})
    assert "MIG" in old.refused(old.suspend).message


def test_other_machines_than_x86_64_are_refused(bench, monkeypatch):
    monkeypatch.setattr(suspend.os, "uname", lambda: os.uname_result(("Linux", "n", "6", "1", "aarch64")))
    assert "aarch64" in bench.refused(bench.suspend).message


def test_a_host_without_the_library_says_which_driver_is_needed(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    refused = bench.refused(bench.suspension().preflight)
    assert (refused.reason, "libcuda.so.1" in refused.message) == ("not-supported", True)


def test_work_that_does_not_use_cuda_yet_is_refused_for_now(bench):
    bench.site.set(pids=[os.getpid()])
    assert bench.refused(bench.suspend).reason == "busy"
    assert not bench.cuda.calls("lock")


def test_processes_of_others_on_the_same_gpu_are_left_alone(bench):
    bench.site.set(pids=bench.pids[:2])
    bench.suspend()
    assert bench.ground.states() == ["checkpointed", "checkpointed", "running"]
    assert {pid for _, pid, _ in bench.cuda.calls()} == set(bench.pids[:2])


# ---- frozen, and not


def test_where_nothing_can_be_frozen_the_driver_alone_tells(bench):
    bench.site.set(can_freeze=False)
    bench.suspend()
    assert bench.site.frozen() is None
    assert bench.state() == "suspended"
    bench.resume()
    assert bench.state() == "running"


def test_work_that_somebody_froze_is_not_asked_and_can_be_suspended(bench):
    bench.site.freeze(True)
    assert bench.state() == "frozen"
    bench.suspend()
    assert bench.state() == "suspended"


def test_a_process_that_begins_to_use_cuda_in_the_middle_is_gone_after(bench):
    late = bench.pids[2]
    (bench.cuda.folder / f"process.{late}").rename(bench.cuda.folder / "later")
    freeze = bench.site.freeze

    def freeze_and_begin(frozen):
        freeze(frozen)
        if (bench.cuda.folder / "later").exists():
            (bench.cuda.folder / "later").rename(bench.cuda.folder / f"process.{late}")

    bench.site.freeze = freeze_and_begin
    assert bench.suspend()["gpu_memory_mib"] == 9000
    assert bench.ground.states() == ["checkpointed"] * 3


# ---- back, and elsewhere


def test_it_is_resumed_on_another_device(bench):
    bench.suspend()
    bench.resume([THERE])
    assert [bench.cuda.memory(pid) for pid in bench.pids] == [{THERE: 3000}] * 3
    bench.assert_as_before()
    bench.suspend([THERE])
    bench.resume([THERE])
    bench.suspend([THERE])
    bench.resume([HERE])
    assert [bench.cuda.memory(pid) for pid in bench.pids] == [{HERE: 3000}] * 3


def test_too_little_memory_on_the_device_is_seen_before_the_driver_is_asked_to(bench):
    bench.suspend()
    bench.cuda.add(os.getpid(), {HERE: 0})
    lines = (bench.cuda.folder / "driver").read_text().replace(f"{HERE} chip 40000", f"{HERE} chip 9063")
    (bench.cuda.folder / "driver").write_text(lines)
    refused = bench.refused(bench.resume)
    assert (refused.reason, "9063 are free" in refused.message) == ("memory", True)
    assert not bench.cuda.calls("restore")
    assert bench.state() == "suspended"
    bench.resume([THERE])
    assert bench.ground.states() == ["running"] * 3


@pytest.mark.parametrize(
    ("devices", "reason"),
    [([GPUS[2]], "memory"), (["GPU-none"], "gone"), ([HERE, THERE], "bad-request")],
)
def test_a_device_that_cannot_take_it_is_refused_and_it_stays_suspended(bench, devices, reason):
    bench.suspend()
    work = bench.work()
    assert bench.refused(Resumption(work, devices).preflight).reason == reason
    assert bench.refused(bench.resume, devices).reason == reason
    assert bench.state() == "suspended"
    assert not bench.cuda.calls("restore")


@pytest.mark.parametrize(
    ("more", "reason"),
    [({"model": "other"}, "not-supported"), ({"ok": False}, "unhealthy"), ({"mig": True}, "not-supported")],
)
def test_a_device_of_another_kind_is_refused(bench, more, reason):
    bench.suspend()
    bench.site.set(devices={uuid: more if uuid == THERE else {} for uuid in FREE})
    assert bench.refused(bench.resume, [THERE]).reason == reason
    assert bench.state() == "suspended"


def test_a_driver_before_580_resumes_where_it_was_only(make):
    bench = make(version=12_080)
    bench.suspend()
    refused = bench.refused(bench.resume, [THERE])
    assert (refused.reason, "580" in refused.message) == ("not-supported", True)
    bench.resume([HERE])
    bench.assert_as_before()


@pytest.mark.parametrize("victim", range(3))
def test_one_that_cannot_be_restored_lets_all_stand_still_as_before(bench, victim):
    bench.suspend()
    bench.cuda.fault("restore", "return", pid=bench.pids[victim], code=2)
    refused = bench.refused(bench.resume, [THERE])
    assert refused.reason == "memory"
    assert bench.ground.states() == ["checkpointed"] * 3
    assert bench.state() == "suspended"
    # Some were on the other device for a moment, and are held there now; they come back all the same.
    bench.resume([HERE])
    assert [bench.cuda.memory(pid) for pid in bench.pids] == [{HERE: 3000}] * 3


def test_one_that_is_not_unlocked_is_named_and_the_next_try_goes_on_there(bench):
    bench.suspend()
    bench.cuda.fault("unlock", "return", pid=bench.pids[1], code=999)
    refused = bench.refused(bench.resume)
    assert (refused.reason, f"process {bench.pids[1]}" in refused.message) == ("failed", True)
    assert bench.ground.states() == ["running", "locked", "running"]
    bench.resume()
    bench.assert_as_before()


def test_the_drivers_that_want_only_the_devices_of_the_process_named_are_met_too(bench):
    bench.suspend()
    bench.cuda.fault("restore", "return", pid=bench.pids[0], code=1)
    # The second form is not what this driver wants, so it is refused: yet it was tried.
    assert bench.refused(bench.resume, [THERE]).reason == "failed"
    assert [code for _, pid, code in bench.cuda.calls("restore") if pid == bench.pids[0]] == [1, 1]
    assert bench.state() == "suspended"


@given(st.data())
def test_pairs_are_a_bijection_over_all_devices_that_moves_what_is_asked(data):
    devices = [f"GPU-{index}" for index in range(data.draw(st.integers(1, 8)))]
    count = data.draw(st.integers(0, len(devices)))
    before = data.draw(st.permutations(devices))[:count]
    after = data.draw(st.permutations(devices))[:count]
    moved = dict(zip(before, after, strict=True))
    made = pairs(devices, moved)
    assert [old for old, _ in made] == devices
    assert sorted(new for _, new in made) == sorted(devices)
    assert all(dict(made)[old] == new for old, new in moved.items())


# ---- the process that holds the driver


def test_the_lock_is_held_for_as_long_as_the_call_lasts(bench, tmp_path, monkeypatch):
    def take():
        fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(fd)

    lock_fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    driver = CudaProcess(lock_fd)
    driver.version()
    os.close(lock_fd)  # as when the program that began it was killed
    with pytest.raises(BlockingIOError):
        take()
    driver.close()
    take()
