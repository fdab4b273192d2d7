"""Who holds MIG instances and drained places, strangers named; and what a step that stands alone is about."""

from fakes import sample_world as world
from msgspec.structs import replace

from gpualloc.model.allocation import Share
from gpualloc.model.inventory import Process
from gpualloc.model.plan import StepKind, StepState
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.views.cordon import strangers_text
from gpualloc.views.look import Look
from gpualloc.views.mig import mig_text
from gpualloc.views.nodes import nodes_text
from gpualloc.views.plan import step_data, step_line
from gpualloc.views.workloads import request_text, workload_text

NODE = next(node for node in world.SNAPSHOT.nodes if any(device.mig_instances for device in node.devices))
DEVICE = next(device for device in NODE.devices if device.mig_instances)


def process(user: str | None, mig_instance: str | None = None) -> Process:
    return Process(4001, DEVICE.uuid, mig_instance, 100, user, "python", None, None)


def test_an_instance_that_a_stranger_uses_is_not_called_free():
    free = next(each for each in DEVICE.mig_instances if each.uuid not in {c.mig_instance for c in NODE.claims})
    used = replace(NODE, processes=(process("e\x1bve", mig_instance=free.uuid),))
    (shown,) = [
        line
        for line in mig_text(replace(world.SNAPSHOT, nodes=(used,)), Look(120)).splitlines()
        if line.strip().startswith(free.uuid)
    ]
    assert shown.endswith("stranger: e\\x1bve")


def test_devices_without_mig_are_a_line_each():
    off = tuple(replace(device, mig_enabled=False, mig_pending=False, mig_instances=()) for device in NODE.devices)
    lines = mig_text(replace(world.SNAPSHOT, nodes=(replace(NODE, devices=off),)), Look(80)).splitlines()
    assert len(lines) == len(off)


def test_processes_that_stay_are_counted_by_node_and_user():
    found = [("gpu01", process("ann")), ("gpu01", process("ann")), ("gpu02", process(None))]
    assert strangers_text(found) == (
        "still there, and not gpualloc's: 3 processes: 2 of ann on gpu01, 1 of an unknown user on gpu02"
    )


def test_a_step_that_stands_alone_names_its_place_or_whose_work_it_serves():
    step = world.PLAN.steps[0]
    made = replace(step, kind=StepKind.MIG_CREATE, workload=None, target="GPU 3", place="2g.20gb@4")
    assert "mig-create 2g.20gb@4 of GPU 3 on" in step_line(made, StepState.DONE, None, 4)
    assert step_data(made)["place"] == "2g.20gb@4"
    start = replace(step, kind=StepKind.START, workload="w00000001", target="GPU 3")
    assert "start GPU 3 for w00000001 on" in step_line(start, StepState.DONE, None, 4)


def test_a_request_tells_how_devices_are_shared():
    assert request_text(Request(("x",), share_asked=Share.MIG, sm_count=28)) == "1 GPU, MIG, 28 SMs"
    assert request_text(Request(("x",), fraction=0.5)) == "1 GPU, 0.5 of each (time-slice)"
    assert request_text(Request(("x",), fraction=0.5, share_asked=Share.MPS)) == "1 GPU, 0.5 of each (mps)"
    assert request_text(Request(("x",), gpus=0)) == "no GPU"
    constrained = Request(("x",), gpus=2, labels=(("rack", "r1"),), near=("/data/\x1b[31m",), numa=True)
    assert request_text(constrained) == "2 GPUs, near one NUMA node, label rack=r1, near /data/\\x1b[31m"


def test_suspended_work_is_on_no_device():
    held = next(workload for workload in world.WORKLOADS if workload.allocation)
    shown = workload_text(replace(held, state=WorkloadState.SUSPENDED), world.NOW_S, simulated=False)
    assert "resumes on:" in shown
    assert "device:" not in shown


def test_settings_that_are_not_told_are_not_said_of_a_table_that_has_none():
    reasons = {"settings.compute_mode": "mig", "power_w": "mig"}
    quiet = replace(NODE, devices=(replace(DEVICE, power_w=None, unavailable=reasons),))
    shown = nodes_text(replace(world.SNAPSHOT, nodes=(quiet,)), (), Look(120))
    assert "power_w" in shown
    assert "compute_mode" not in shown
