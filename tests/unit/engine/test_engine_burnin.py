"""What a burn-in makes of what a node tells, and in which order it tests; nothing is called healthy that is unknown."""

from contextlib import contextmanager

import pytest
from fakes.memory_context import MemoryFleet, MemoryJournal, memory_context
from msgspec.structs import replace

from gpualloc.engine.burnin import burnin
from gpualloc.engine.burnin_checks import clock, device_checks, kernel_log, memory_checks, node_checks
from gpualloc.errors import InfeasibleError, LockedError, StepError, UnreachableError, UsageError
from gpualloc.model.allocation import Claim, Share
from gpualloc.model.burnin import Burnin, BurninPart, BurninSlice, Check, Outcome
from gpualloc.model.desired import Cordon
from gpualloc.model.health import KernelMessage, Trouble
from gpualloc.model.inventory import Device, DeviceState, HostReading, Node, NodeSpec, NodeState, Process
from gpualloc.model.readings import Ecc, NvLink, Pcie, Throttle
from gpualloc.ports import HookOutcome

T0 = 1_800_000_000.0
WELL = Device(
    "GPU-0",
    0,
    "NVIDIA H100 80GB HBM3",
    81559,
    temperature_c=60,
    throttles=(Throttle.IDLE,),
    ecc=Ecc(volatile_uncorrected=0, remap_pending=False, remap_failed=False),
    pcie=Pcie(generation=1, width=16, generation_max=5, width_max=16),
    nvlinks=(NvLink(0, up=True, errors=3), NvLink(1, up=True, errors=0)),
)
HOST = HostReading(
    memory_total_mib=1000, memory_available_mib=900, disk_total_mib=1000, disk_used_mib=100, gpus_on_bus=2
)
SECOND = replace(WELL, uuid="GPU-1", index=1)
NODE = Node(
    NodeSpec("n1", "train", "ssh", gpus=2),
    NodeState.OK,
    T0,
    boot_id="b",
    driver_version="580.95.05",
    host=HOST,
    devices=(WELL, SECOND),
)
FAST = BurninSlice(T0, 10.0, 3, 4000, 2000, 0, None, 50e9, 48e9)


def by_name(checks):
    return {check.name: check for check in checks}


def outcomes(checks):
    return {check.name: check.outcome.value for check in checks}


def test_a_node_that_is_well_passes_and_what_it_does_not_tell_is_skipped():
    assert set(outcomes(node_checks(NODE)).values()) == {"pass"}
    assert set(outcomes(device_checks(WELL, WELL)).values()) == {"pass"}
    bare = Node(NodeSpec("n1", "train", "ssh"), NodeState.OK, T0, driver_version="580", devices=(WELL,))
    assert outcomes(node_checks(bare)) == {
        "gpus": "skip",
        "driver": "pass",
        "host-memory-free": "skip",
        "disk-free": "skip",
    }
    silent = Device("GPU-0", 0, "x", None, unavailable={"ecc.volatile_uncorrected": "not supported"})
    told = by_name(device_checks(silent, silent))
    assert {check.outcome for name, check in told.items() if name != "state"} == {Outcome.SKIP}
    assert told["ecc"].what == "not told: not supported"


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"devices": (WELL,)}, "gpus", "1 seen, 2 configured"),
        ({"spec": NodeSpec("n1", "p", "ssh"), "devices": (WELL,)}, "gpus", "1 seen, 2 on its PCI bus"),
        ({"nvml_reason": "library and kernel driver differ"}, "driver", "library and kernel driver differ"),
        ({"host": replace(HOST, memory_available_mib=99)}, "host-memory-free", "99 of 1000 MiB"),
        ({"host": replace(HOST, disk_used_mib=951)}, "disk-free", "49 of 1000 MiB"),
    ],
)
def test_what_is_wrong_with_a_node_fails(changes, name, said):
    check = by_name(node_checks(replace(NODE, **changes)))[name]
    assert check.outcome is Outcome.FAIL
    assert said in check.what


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"state": DeviceState.LOST, "reason": "since 12:00"}, "state", "GPU lost: since 12:00"),
        ({"pcie": replace(WELL.pcie, width=8)}, "pcie", "8 of 16 lanes"),
        ({"ecc": replace(WELL.ecc, volatile_uncorrected=2)}, "ecc", "2 uncorrected"),
        ({"ecc": replace(WELL.ecc, remap_pending=True)}, "row-remap", "waits for a reset"),
        ({"ecc": replace(WELL.ecc, remap_failed=True)}, "row-remap", "could not be replaced"),
        ({"nvlinks": (NvLink(0, up=True), NvLink(1, up=False))}, "nvlink", "down: 1"),
        ({"nvlinks": (NvLink(0, up=True, errors=4), NvLink(1, up=True, errors=0))}, "nvlink", "errors came up"),
        ({"throttles": (Throttle.HW_THERMAL, Throttle.IDLE)}, "clocks", "hardware thermal slowdown"),
    ],
)
def test_what_is_wrong_with_a_device_fails(changes, name, said):
    check = by_name(device_checks(WELL, replace(WELL, **changes)))[name]
    assert check.outcome is Outcome.FAIL
    assert said in check.what


def message(code, seq=1, trouble=Trouble.XID):
    return KernelMessage(seq, T0, trouble, code, None, f"NVRM: Xid {code}")


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ((), (), "pass"),
        ((message(79),), (message(79),), "fail"),
        ((message(31),), (message(31),), "pass"),
        ((message(31),), (message(31), message(31, 2)), "fail"),
        ((message(1, trouble=Trouble.SXID),), (message(1, trouble=Trouble.SXID),), "fail"),
        ((), (message(None, trouble=Trouble.DRIVER_MESSAGE),), "pass"),
    ],
)
def test_the_kernel_log_is_read_for_faults_of_gpus(before, after, outcome):
    nodes = [replace(NODE, kernel_messages=messages) for messages in (before, after)]
    assert kernel_log(*nodes).outcome.value == outcome


def test_faults_of_another_device_do_not_count_against_the_one_that_is_tested():
    told = replace(message(79), pci_bus_id="0000:3b:00.0")
    nodes = [replace(NODE, kernel_messages=(told,))] * 2
    assert kernel_log(*nodes, "0000:af:00.0").outcome is Outcome.PASS
    assert kernel_log(*nodes, "0000:3b:00.0").outcome is Outcome.FAIL


def test_a_kernel_log_that_cannot_be_read_says_nothing():
    assert kernel_log(NODE, replace(NODE, kernel_log_reason="no permission")).outcome is Outcome.SKIP


def test_after_a_reboot_in_the_middle_every_message_is_new():
    before = replace(NODE, kernel_messages=(message(31),))
    assert kernel_log(before, replace(before, boot_id="c")).outcome is Outcome.FAIL


def test_memory_and_bus_are_judged_by_all_slices():
    memory, bus = memory_checks(BurninPart.GPU, [FAST, replace(FAST, to_gpu_bytes_per_s=30e9)], WELL)
    assert (memory.name, memory.outcome, memory.numbers["compared_mib"]) == ("gpu-memory", Outcome.PASS, 8000)
    assert (bus.outcome, bus.numbers["to_gpu_bytes_per_s"]) == (Outcome.PASS, 50e9)
    broken = replace(FAST, errors=1, first_error="0x1 read")
    assert [check.outcome for check in memory_checks(BurninPart.GPU, [FAST, broken], WELL)] == [
        Outcome.FAIL,
        Outcome.PASS,
    ]
    slow = replace(FAST, from_gpu_bytes_per_s=12e9)
    assert by_name(memory_checks(BurninPart.GPU, [slow], WELL))["bus"].outcome is Outcome.FAIL
    untold = replace(WELL, pcie=Pcie())
    assert by_name(memory_checks(BurninPart.GPU, [slow], untold))["bus"].outcome is Outcome.SKIP
    assert outcomes(memory_checks(BurninPart.HOST_MEMORY, [FAST], None)) == {"host-memory": "pass"}


def test_a_clock_that_is_off_fails():
    assert clock(T0 + 29, T0).outcome is Outcome.PASS
    assert clock(T0 - 31, T0).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("checks", "passed"), [((), False), (("skip",), False), (("skip", "pass"), True), (("pass", "fail"), False)]
)
def test_a_node_is_accepted_when_something_was_checked_and_nothing_failed(checks, passed):
    assert Burnin("n1", None, tuple(Check("x", Outcome(each), "") for each in checks), T0, T0).passed is passed


class BurninFleet(MemoryFleet):
    """Answers slices as it is told to."""

    def __init__(self, *looks, refuse=None, seconds=None):
        super().__init__(looks[0])
        self.looks = list(looks)
        self.asked = []
        self.refuse = refuse or {}
        self.seconds = seconds

    def observe(self, names=None, near=()):
        self.nodes = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return super().observe(names, near)

    def burnin(self, node, part, device, *, mib, seconds, round_):
        self.asked.append((device, round_, seconds))
        if device in self.refuse:
            raise StepError(f"{device}: no", reason=self.refuse[device])
        return replace(FAST, seconds=seconds if self.seconds is None else self.seconds)


class BurninJournal(MemoryJournal):
    """A journal whose lock is free."""

    def __init__(self, cordons, locked=False):
        super().__init__(cordons=cordons)
        self.entries = []
        self.locked = locked

    @contextmanager
    def write(self, purpose, wait_s=0.0):
        if self.locked:
            raise LockedError("held")
        yield self

    def save(self, workloads, audit):
        self.entries += audit


class Hooks:
    def __init__(self, outcome):
        self.outcome, self.events = outcome, []

    def run(self, name, event):
        self.events.append((name, event))
        return self.outcome


class Clock:
    def now_s(self):
        return T0


def world(*looks, cordoned=(None,), locked=False, hook=None, **fleet):
    cordons = tuple(Cordon("n1", device, "new", "ann", T0) for device in cordoned)
    return replace(
        memory_context(fleet=BurninFleet(*[(look,) for look in looks or (NODE,)], **fleet)),
        journal=BurninJournal(cordons, locked),
        hooks=Hooks(hook),
        clock=Clock(),
    )


def test_each_part_has_its_turn_until_the_time_is_used_up():
    ctx = world()
    told = []
    result = burnin(ctx, "n1", None, 60.0, told.append)
    assert result.passed
    assert [(device, round_) for device, round_, _ in ctx.fleet.asked] == [
        (device, round_) for round_ in range(2) for device in (None, "GPU-0", "GPU-1")
    ]
    assert {seconds for _, _, seconds in ctx.fleet.asked} == {15.0}
    assert [each.what for each in told[:3]] == ["host memory", "GPU 0", "GPU 1"]
    assert told[-1].what == "hook"
    (entry,) = ctx.journal.entries
    assert (entry.kind, entry.node, entry.detail["passed"], entry.detail["failed"]) == ("burnin", "n1", True, [])


def test_each_part_is_tested_once_however_short_the_time_and_slices_that_take_none_end():
    short = world()
    burnin(short, "n1", None, 1.0)
    assert [device for device, _, _ in short.fleet.asked] == [None, "GPU-0", "GPU-1"]
    quick = world(seconds=0.0)
    burnin(quick, "n1", None, 3.0)
    assert len(quick.fleet.asked) < 40


def test_what_cannot_be_tested_is_skipped_and_what_does_not_answer_fails():
    ctx = world(refuse={"GPU-0": "not-supported", "GPU-1": "unhealthy"})
    result = burnin(ctx, "n1", None, 60.0)
    told = {check.device: check for check in result.checks if check.name == "gpu-memory"}
    assert (told["GPU-0"].outcome, told["GPU-1"].outcome) == (Outcome.SKIP, Outcome.FAIL)
    assert told["GPU-1"].what == "GPU-1: no"
    assert not result.passed
    assert [device for device, _, _ in ctx.fleet.asked].count("GPU-1") == 1
    assert ctx.journal.entries[0].detail["failed"] == ["gpu-memory: GPU-1: no"]


def test_devices_in_use_divided_or_sick_are_left_alone():
    devices = (
        WELL,
        SECOND,
        replace(WELL, uuid="GPU-2", index=2, mig_enabled=True),
        replace(WELL, uuid="GPU-3", index=3, state=DeviceState.HUNG),
    )
    used = replace(
        NODE,
        devices=devices,
        processes=(Process(7, "GPU-0", None, 1, "ann", "python", T0, None),),
        claims=(Claim("GPU-1", "w00000001", "c" * 32, Share.EXCLUSIVE, None, 1.0, None, T0),),
    )
    ctx = world(used)
    result = burnin(ctx, "n1", None, 60.0)
    assert {device for device, _, _ in ctx.fleet.asked} == {None}
    told = {check.device: (check.outcome.value, check.what) for check in result.checks if check.name == "gpu-memory"}
    assert told == {
        "GPU-0": ("skip", "in use: process 7 of ann"),
        "GPU-1": ("skip", "in use: given to workload w00000001"),
        "GPU-2": ("skip", "it is in MIG mode, and only whole GPUs are tested"),
        "GPU-3": ("fail", "driver not answering"),
    }
    with pytest.raises(InfeasibleError, match="GPU 0 of n1 is in use: process 7"):
        burnin(world(used), "n1", "0", 60.0)


def test_one_device_alone_needs_only_its_own_cordon_and_leaves_the_host():
    ctx = world(cordoned=("GPU-1",))
    result = burnin(ctx, "n1", "1", 60.0)
    assert result.device == "GPU-1"
    assert {device for device, _, _ in ctx.fleet.asked} == {"GPU-1"}
    assert {check.device for check in result.checks} == {None, "GPU-1"}
    with pytest.raises(UsageError) as caught:
        burnin(world(cordoned=("GPU-1",)), "n1", "0", 60.0)
    assert caught.value.hint == "gpualloc cordon n1 --device 0"


def test_a_device_that_goes_in_the_test_fails():
    result = burnin(world(NODE, replace(NODE, devices=(WELL,))), "n1", None, 60.0)
    assert not result.passed
    failed = [check for check in result.checks if check.outcome is Outcome.FAIL]
    assert ("state", "GPU-1") in [(check.name, check.device) for check in failed]


def test_it_is_refused_where_work_may_come_nobody_answers_or_another_rules():
    with pytest.raises(UsageError) as caught:
        burnin(world(cordoned=()), "n1", None, 60.0)
    assert caught.value.hint == "gpualloc cordon n1"
    for seconds in (0.5, 90_000.0):
        with pytest.raises(UsageError, match="--for"):
            burnin(world(), "n1", None, seconds)
    with pytest.raises(UnreachableError):
        burnin(world(replace(NODE, state=NodeState.UNREACHABLE, reason="no route")), "n1", None, 60.0)
    with pytest.raises(InfeasibleError, match="slurmd"):
        burnin(world(replace(NODE, other_controllers=("slurmd",))), "n1", None, 60.0)


@pytest.mark.parametrize(("problem", "outcome"), [(None, Outcome.PASS), ("exit code 3", Outcome.FAIL)])
def test_the_operators_program_has_its_say_and_is_kept(problem, outcome):
    ctx = world(hook=HookOutcome(problem, "level 2\nall passed\n", 7.0))
    result = burnin(ctx, "n1", None, 60.0)
    check = by_name(result.checks)["burnin"]
    assert (check.outcome, check.what) == (outcome, f"{problem or 'exit code 0'}: all passed")
    ((name, event),) = ctx.hooks.events
    assert name == "burnin"
    assert event.document["devices"][1] == {"uuid": "GPU-1", "index": 1, "model": WELL.model}
    assert ctx.journal.entries[0].detail["hook"] == {"problem": problem, "output": "level 2\nall passed\n"}


def test_a_lock_that_is_held_loses_only_the_record():
    result = burnin(world(locked=True), "n1", None, 60.0)
    assert result.passed
    assert not result.recorded
