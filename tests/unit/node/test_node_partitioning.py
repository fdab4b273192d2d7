"""MIG steps through the real binding over the simulated GPU."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from contextlib import ExitStack

import pynvml
import pytest
from fakes.nvml_library import NvmlLibrary, installed

from gpualloc.model.mig import MigProfile, layout_text, room_of
from gpualloc.node import cgroup, holders, processes
from gpualloc.node.ledger import FileLedger
from gpualloc.node.nvml import Nvml
from gpualloc.node.partitioning import Handler
from gpualloc.node.parts import Parts
from gpualloc.node.quiesce import Quiesce
from gpualloc.node.wire import Refused
from gpualloc.node.workloads import Workloads
from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import FaultKind, GpuModel, GpuProcess
from gpualloc.sim.use import Pattern

UUID = "GPU-11111111-0000-0000-0000-000000000000"


def gpu(model="A100-40GB", *, mig=True, index=0, uuid=UUID):
    return GpuModel(find(model), uuid, index, seed=3, mig_enabled=mig, mig_pending=mig)


def step(kind, **fields):
    return {"kind": kind, "device": UUID, "workload": None, "attempt": 1, "mig_instance": None, **fields}


def create(place):
    return step("mig-create", place=place)


def destroy(place, instance=None):
    return step("mig-destroy", place=place, mig_instance=instance)


def mode(on):
    return step("mig-mode", mig_enabled=on)


def process(instance=None, pid=None):
    return GpuProcess(pid or os.getpid(), "ann", "python", 0.0, 100, Pattern.STEADY, instance)


def places(model):
    return sorted(f"{each.profile.name}@{each.start}" for each in model.instances if each.complete)


class World:
    """A library, the parts of a node over it and the handler."""

    def __init__(self, state_dir, library):
        self.library = library
        self.state_dir = str(state_dir)
        self.quiesce = Quiesce(self.state_dir, shared=False)
        groups = cgroup.probe()
        self.parts = Parts(
            self.state_dir,
            "boot",
            nvml=Nvml(60.0, self.quiesce.asked),
            cgroups=groups,
            workloads=Workloads(self.state_dir, groups, "boot"),
            claim_folders=None,
        )
        self.handler = Handler(self.parts)

    @property
    def gpu(self):
        return self.library.gpus[0]

    def refusal(self, act):
        with pytest.raises(Refused) as refused:
            act()
        return refused.value.reason, refused.value.message


@pytest.fixture
def world_of(tmp_path):
    """Makes a world of given GPUs; the library goes at the end."""
    with ExitStack() as stack:

        def made(*gpus, **options):
            library = stack.enter_context(installed(NvmlLibrary(gpus, **options)))
            return World(tmp_path / "state", library)

        yield made


@pytest.fixture
def world(world_of):
    return world_of(gpu(), gpu(index=1, uuid="GPU-other"))


def test_an_instance_is_made_found_again_and_removed(world):
    facts = world.handler.do(create("2g.10gb@2"))
    assert facts["place"] == "2g.10gb@2"
    assert facts["mig_instance"] == world.gpu.mig_devices[0].uuid
    assert places(world.gpu) == ["2g.10gb@2"]
    changed = list(world.library.changed)
    assert world.handler.do(create("2g.10gb@2")) == facts
    assert world.handler.verify(create("2g.10gb@2")) == {"holds": True, **facts}
    assert world.library.changed == changed
    assert world.handler.verify(destroy("2g.10gb@2"))["holds"] is False
    assert world.handler.do(destroy("2g.10gb@2", facts["mig_instance"])) == {}
    assert world.handler.do(destroy("2g.10gb@2", facts["mig_instance"])) == {}
    assert world.handler.verify(destroy("2g.10gb@2"))["holds"] is True
    assert world.handler.verify(create("2g.10gb@2"))["holds"] is False
    assert world.library.changed == [
        "nvmlDeviceCreateGpuInstanceWithPlacement",
        "nvmlGpuInstanceCreateComputeInstance",
        "nvmlComputeInstanceDestroy",
        "nvmlGpuInstanceDestroy",
    ]


def test_each_step_undoes_the_other(world):
    world.handler.do(create("3g.20gb@4"))
    world.handler.undo(create("3g.20gb@4"))
    world.handler.undo(create("3g.20gb@4"))
    assert world.gpu.instances == []
    world.handler.undo(destroy("3g.20gb@4", "MIG-gone"))
    assert places(world.gpu) == ["3g.20gb@4"]


@pytest.mark.parametrize("model", ["A100-40GB", "A30-24GB", "H100-80GB", "RTX-PRO-6000-96GB", "B200-180GB"])
def test_every_profile_gets_one_compute_instance_that_takes_all_of_it(world_of, model):
    world = world_of(gpu(model))
    for profile in world.parts.nvml.change(UUID, lambda each: each.profiles(), 5):
        place = f"{profile['name']}@{profile['starts'][-1]}"
        world.handler.do(create(place))
        assert places(world.gpu) == [place]
        world.handler.do(destroy(place))
        assert world.gpu.instances == []


def test_a_gpu_that_took_the_place_of_an_unplugged_one_is_not_changed(world):
    world.handler.do(create("1g.5gb@0"))
    world.library.faults[0] = FaultKind.LOST
    world.parts.nvml.ask(lambda each: each.inventory(), lambda each: each.blank_inventory())
    world.library.faults.clear()
    world.library.gpus[0] = gpu(uuid="GPU-stranger")
    assert world.refusal(lambda: world.handler.do(create("1g.5gb@1")))[0] == "gone"
    assert world.library.gpus[0].instances == []


def test_a_lost_gpu_is_told_so(world):
    world.handler.do(create("1g.5gb@0"))
    world.library.faults[0] = FaultKind.LOST
    assert world.refusal(lambda: world.handler.do(create("1g.5gb@1")))[0] == "unhealthy"


@pytest.mark.parametrize("left", ["nothing made", "made without compute instance"])
def test_a_half_made_instance_is_finished_or_removed(world, left):
    if left == "made without compute instance":
        world.gpu.create_instance("3g.20gb", 0, complete=False)
    assert world.handler.verify(create("3g.20gb@0"))["holds"] is False
    world.handler.preflight(create("3g.20gb@0"))
    world.handler.do(create("3g.20gb@0"))
    assert places(world.gpu) == ["3g.20gb@0"]
    world.gpu.complete_instance(world.gpu.instances[0].gi, complete=False)
    world.handler.undo(create("3g.20gb@0"))
    assert world.gpu.instances == []


def test_what_fails_between_the_two_halves_leaves_nothing(world):
    world.library.fail("nvmlGpuInstanceCreateComputeInstance", pynvml.NVML_ERROR_UNKNOWN, times=1)
    reason, message = world.refusal(lambda: world.handler.do(create("1g.5gb@3")))
    assert (reason, world.gpu.instances) == ("failed", [])
    assert "make 1g.5gb@3" in message
    world.handler.do(create("1g.5gb@3"))
    assert places(world.gpu) == ["1g.5gb@3"]


@pytest.mark.parametrize(
    ("place", "reason", "told"),
    [
        ("9g.99gb@0", "bad-request", "it has 1g.5gb, 1g.5gb+me, 1g.10gb, 2g.10gb"),
        ("2g.10gb@1", "bad-request", "it can at 0, 2, 4"),
        ("4g.20gb@0", "failed", "3g.20gb@0 lies there"),
        ("1g.5gb@3", "failed", "3g.20gb@0 lies there"),
    ],
)
def test_a_place_that_cannot_be_taken_is_refused_before_anything_changes(world, place, reason, told):
    world.handler.do(create("3g.20gb@0"))
    changed = list(world.library.changed)
    for act in (world.handler.preflight, world.handler.do):
        got, message = world.refusal(lambda act=act: act(create(place)))
        assert got == reason
        assert told in message
    assert world.library.changed == changed


def test_a_second_media_extension_is_refused_before_the_driver_does(world):
    world.handler.do(create("1g.5gb+me@0"))
    for act in (world.handler.preflight, world.handler.do):
        reason, message = world.refusal(lambda act=act: act(create("1g.5gb+me@1")))
        assert reason == "failed"
        assert "no more instances of 1g.5gb+me" in message


def test_a_refusal_of_the_driver_leaves_nothing_and_is_told(world):
    world.library.fail("nvmlDeviceCreateGpuInstanceWithPlacement", pynvml.NVML_ERROR_INSUFFICIENT_RESOURCES)
    reason, message = world.refusal(lambda: world.handler.do(create("1g.5gb@1")))
    assert (reason, "cannot make 1g.5gb@1: Insufficient Resources" in message) == ("failed", True)


def test_the_users_of_a_gpu_are_named_when_the_driver_says_that_it_is_in_use(world, monkeypatch):
    monkeypatch.setattr(holders, "having_open", lambda minor: [os.getppid()] if minor == 0 else [])
    world.library.fail("nvmlDeviceCreateGpuInstanceWithPlacement", pynvml.NVML_ERROR_IN_USE)
    reason, message = world.refusal(lambda: world.handler.do(create("1g.5gb@1")))
    assert (reason, f"used by process {os.getppid()} of" in message) == ("in-use", True)


def test_a_used_instance_is_not_removed_and_its_user_is_named(world):
    instance = world.handler.do(create("2g.10gb@0"))["mig_instance"]
    world.gpu.processes.append(process(instance))
    for act in (world.handler.preflight, world.handler.do):
        reason, message = world.refusal(lambda act=act: act(destroy("2g.10gb@0", instance)))
        assert reason == "in-use"
        assert f"process {os.getpid()} of {processes.user(os.getpid())} (" in message
    world.handler.do(create("2g.10gb@2"))
    world.handler.do(destroy("2g.10gb@2"))
    assert places(world.gpu) == ["2g.10gb@0"]


def test_an_instance_or_device_that_is_given_away_stays(world):
    instance = world.handler.do(create("2g.10gb@0"))["mig_instance"]
    claim = {
        "device": UUID,
        "mig_instance": instance,
        "place": None,
        "share": "mig",
        "fraction": 1.0,
        "memory_mib": None,
        "workload": "w00000001",
        "controller": "c" * 32,
        "attempt": 1,
        "at_s": time.time(),
    }
    ledger = FileLedger(world.state_dir, "boot")
    with ledger.locked(5):
        ledger.add_claims([claim])
    assert world.refusal(lambda: world.handler.do(destroy("2g.10gb@0")))[0] == "claimed"
    assert world.refusal(lambda: world.handler.preflight(mode(False)))[0] == "claimed"
    with ledger.locked(5):
        ledger.remove_claims("w00000001")
    world.handler.do(destroy("2g.10gb@0"))
    assert world.gpu.instances == []


def test_an_instance_is_removed_only_from_the_place_it_was_named_with(world):
    first = world.handler.do(create("1g.5gb@0"))["mig_instance"]
    second = world.handler.do(create("1g.5gb@1"))["mig_instance"]
    for wrong in (destroy("1g.5gb@0", second), destroy("1g.5gb@5", first)):
        assert world.refusal(lambda wrong=wrong: world.handler.do(wrong))[0] == "gone"
    assert world.handler.do(destroy("1g.5gb@5", "MIG-nowhere")) == {}
    assert places(world.gpu) == ["1g.5gb@0", "1g.5gb@1"]


def test_rights_are_named_when_they_are_missing(world):
    world.library.privileged = False
    for act in (create("1g.5gb@0"), destroy("1g.5gb@0")):
        reason, message = world.refusal(lambda act=act: world.handler.do(act))
        assert reason == "not-permitted"
        assert "/proc/driver/nvidia/capabilities/mig/config" in message
    reason, message = world.refusal(lambda: world.handler.do(mode(False)))
    assert (reason, "CAP_SYS_ADMIN" in message) == ("not-permitted", True)


def test_a_gpu_without_mig_or_out_of_mig_mode_refuses(world_of):
    world = world_of(gpu("A30-24GB", mig=False), gpu("T4", mig=False, index=1, uuid="GPU-t4"))
    assert world.refusal(lambda: world.handler.do(create("1g.6gb@0")))[0] == "not-supported"
    assert world.handler.do(destroy("1g.6gb@0")) == {}
    on_t4 = dict(mode(True), device="GPU-t4")
    assert world.refusal(lambda: world.handler.preflight(on_t4))[0] == "not-supported"
    assert world.refusal(lambda: world.handler.do(dict(mode(True), device="GPU-no")))[0] == "gone"


@pytest.mark.parametrize("model", ["A100-40GB", "H100-80GB"])
def test_the_mode_goes_on_and_off(world_of, model):
    world = world_of(gpu(model, mig=False))
    assert world.handler.verify(mode(True)) == {"holds": False, "mig_enabled": False, "mig_pending": False}
    assert world.handler.do(mode(True)) == {"mig_enabled": True, "mig_pending": True}
    assert world.handler.do(mode(True)) == {"mig_enabled": True, "mig_pending": True}
    assert world.library.changed == ["nvmlDeviceSetMigMode"]
    assert world.handler.verify(mode(True))["holds"] is True
    assert world.handler.undo(mode(True)) == {"mig_enabled": False, "mig_pending": False}


def test_the_mode_stays_while_there_are_instances_or_processes(world):
    world.handler.do(create("7g.40gb@0"))
    for act in (world.handler.preflight, world.handler.do):
        reason, message = world.refusal(lambda act=act: act(mode(False)))
        assert (reason, "still has 7g.40gb@0" in message) == ("in-use", True)
    world.handler.do(destroy("7g.40gb@0"))
    world.handler.do(mode(False))
    world.gpu.processes.append(process())
    reason, message = world.refusal(lambda: world.handler.preflight(mode(True)))
    assert (reason, f"process {os.getpid()} of" in message) == ("in-use", True)
    assert (world.gpu.mig_enabled, world.gpu.mig_pending) == (False, False)


def test_an_activation_in_use_is_taken_back_and_told(world_of, monkeypatch):
    monkeypatch.setattr("gpualloc.node.mode._LET_GO_S", 0.2)
    world = world_of(gpu(mig=False))
    world.library.opened_by_others.add(0)
    monkeypatch.setattr(holders, "having_open", lambda minor: [os.getppid()])
    reason, message = world.refusal(lambda: world.handler.do(mode(True)))
    assert reason == "in-use"
    assert f"process {os.getppid()} of" in message
    assert (world.gpu.mig_enabled, world.gpu.mig_pending) == (False, False)
    world.library.opened_by_others.clear()
    assert world.handler.do(mode(True))["mig_enabled"] is True


def test_a_gpu_that_cannot_be_reset_from_inside_says_so_and_nothing_stays_pending(world_of):
    world = world_of(gpu(mig=False))
    world.library.passed_through.add(0)
    reason, message = world.refusal(lambda: world.handler.do(mode(True)))
    assert (reason, "needs reset" in message) == ("unhealthy", True)
    assert (world.gpu.mig_enabled, world.gpu.mig_pending) == (False, False)


def test_a_mode_left_pending_is_put_right(world_of):
    world = world_of(gpu(mig=False))
    world.gpu.mig_pending = True
    assert world.handler.verify(mode(False))["holds"] is False
    assert world.handler.do(mode(False)) == {"mig_enabled": False, "mig_pending": False}


@pytest.mark.parametrize(("model", "asked"), [("A100-40GB", [f"{UUID}.json"]), ("H100-80GB", [])])
def test_programs_that_read_gpus_are_asked_to_let_go_on_ampere_only(world_of, monkeypatch, model, asked):
    world = world_of(gpu(model, mig=False))
    folder = os.path.join(world.state_dir, "quiesce")
    seen = []

    def switch(*arguments):
        seen.append(os.listdir(folder) if os.path.isdir(folder) else [])
        NvmlLibrary._nvmlDeviceSetMigMode(world.library, *arguments)

    monkeypatch.setattr(world.library, "_nvmlDeviceSetMigMode", switch, raising=False)
    world.handler.do(mode(True))
    assert seen == [asked]
    assert not asked or os.listdir(folder) == []


@pytest.fixture
def request_of_parent(tmp_path):
    """Writes a request of this process's parent to let go; it is gone at the end."""
    path = tmp_path / "state" / "quiesce" / f"{UUID}.json"
    path.parent.mkdir(parents=True)
    parent = processes.stat(os.getppid())
    content = {"format": 1, "pid": parent.pid, "start_ticks": parent.start_ticks, "at_s": time.time()}

    def write(**changes):
        path.write_text(json.dumps({**content, **changes}))
        return path

    yield write
    path.unlink(missing_ok=True)


def test_a_reader_closes_the_library_while_it_is_asked_to_and_opens_it_again(world, request_of_parent):
    reader = Nvml(60.0, world.quiesce.asked)
    row = reader.ask(lambda each: each.inventory(), lambda each: each.blank_inventory())[0]
    before = world.library.inits
    path = request_of_parent()
    until = time.monotonic() + 60
    while world.library.inits >= before:
        assert time.monotonic() < until
        time.sleep(0.02)
    quiet = reader.ask(lambda each: each.sample(), lambda each: each.blank_sample())[0]
    assert (quiet["uuid"], quiet["state"]) == (UUID, "driver not answering")
    assert quiet["reason"] == f"quiesced: process {os.getppid()} changes the MIG mode of {UUID}"
    path.unlink()
    assert reader.ask(lambda each: each.inventory(), lambda each: each.blank_inventory())[0] == row


def test_a_program_that_starts_while_it_is_asked_to_let_go_waits_with_opening(world, request_of_parent):
    path = request_of_parent()
    before = world.library.inits
    late = Nvml(0.3, world.quiesce.asked)
    assert late.status()["state"] == "hung"
    assert late.status()["reason"].startswith("quiesced: ")
    assert late.ask(lambda each: each.sample(), lambda each: each.blank_sample()) == []
    assert world.library.inits <= before
    path.unlink()
    until = time.monotonic() + 60
    while late.status()["state"] != "ok":
        assert time.monotonic() < until
    assert len(late.ask(lambda each: each.sample(), lambda each: each.blank_sample())) == 2


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"at_s": 0.0}, {"pid": "x"}, {"pid": 1 << 40}])
def test_a_request_whose_owner_is_gone_or_that_is_old_does_not_count(tmp_path, request_of_parent, change):
    quiesce = Quiesce(str(tmp_path / "state"), shared=False)
    request_of_parent()
    assert quiesce.asked() is not None
    request_of_parent(**change)
    assert quiesce.asked() is None


def test_two_programs_do_not_change_the_mode_of_a_gpu_at_once(world, request_of_parent):
    request_of_parent()
    assert world.refusal(lambda: world.handler.do(mode(False)))[0] == "busy"


def test_a_driver_that_hangs_in_a_change_holds_nobody_up_for_ever(world, monkeypatch):
    monkeypatch.setattr("gpualloc.node.partitioning._WITHIN_S", 3.0)
    free = world.library.block("nvmlDeviceCreateGpuInstanceWithPlacement")
    reason, message = world.refusal(lambda: world.handler.do(create("1g.5gb@0")))
    assert (reason, "does not answer since" in message) == ("unhealthy", True)
    assert world.refusal(lambda: world.handler.verify(create("1g.5gb@0")))[0] == "unhealthy"
    free.set()
    until = time.monotonic() + 60
    while threading.active_count() and places(world.gpu) != ["1g.5gb@0"]:
        assert time.monotonic() < until
        time.sleep(0.02)
    monkeypatch.undo()
    assert world.handler.do(create("1g.5gb@0"))["place"] == "1g.5gb@0"


def legal_layouts(model):
    """Every layout of a GPU model, as tuples of places."""
    table = find(model).mig
    profiles = tuple(
        MigProfile(p.name, p.id, p.size, p.starts, p.memory_mib, p.sm, p.max_instances, (), p.holds_media_extension)
        for p in table.profiles
    )
    room = room_of(profiles)
    found = []

    def grow(layout, taken, rest):
        found.append(tuple(layout))
        for position, place in enumerate(rest):
            if room.fits(taken, place):
                grow([*layout, place], taken + room.needs[place], rest[position + 1 :])

    grow([], room.empty, list(room.needs))
    return found


@pytest.mark.parametrize(("model", "tried"), [("A30-24GB", 100), ("A100-40GB", 80), ("H100-80GB", 80)])
def test_any_legal_layout_is_made_in_any_order_without_a_refusal(world_of, model, tried):
    chance = random.Random(model)
    layouts = legal_layouts(model)
    world = world_of(gpu(model))
    for layout in chance.sample(layouts, min(tried, len(layouts))):
        order = [str(place) for place in layout]
        chance.shuffle(order)
        for place in order:
            world.handler.do(create(place))
        assert places(world.gpu) == sorted(order), layout_text(layout)
        chance.shuffle(order)
        for place in order:
            world.handler.do(destroy(place))
        assert world.gpu.instances == []
