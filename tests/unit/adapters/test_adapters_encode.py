from __future__ import annotations

import pytest
from msgspec import structs

from gpualloc.adapters.encode import encode_call
from gpualloc.errors import StepError
from gpualloc.model.allocation import Allocation, Gang, Grant, Member, Share
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.node import check
from gpualloc.ports import StepCall

GRANT = {
    "device": "GPU-1",
    "mig_instance": None,
    "place": None,
    "share": "time-slice",
    "fraction": 0.5,
    "memory_mib": 1000,
}
LIMITS = {"cpus": 2.0, "cpuset": "0-1", "memory_mib": 4096, "pids": 10, "cpu_weight": None, "io_weight": None}


def call_of(kind: StepKind) -> StepCall:
    allocation = Allocation(
        "w0123abcd", "n1", (Grant("GPU-1", Share.TIME_SLICE, None, 0.5, 1000),), 2.0, "0-1", 4096, 10
    )
    needs = kind in (StepKind.CLAIM, StepKind.LIMIT, StepKind.START)
    step = Step(
        3,
        kind,
        "n1",
        "w0123abcd",
        "0 H100",
        StepReason.WAITING,
        "",
        allocation if needs else None,
        attempt=2,
        revision=1,
    )
    request = Request(("python", "a b"), cwd="/w", env=(("TOKEN", "secret"),), at_most_s=60.0)
    workload = Workload("w0123abcd", "näme; rm", "ada", request, WorkloadState.PENDING, 0.0)
    return StepCall("run1", 3, 17, "c1", step, workload)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (StepKind.CLAIM, {"grants": [GRANT]}),
        (StepKind.LIMIT, {"grants": [GRANT], **LIMITS}),
        (
            StepKind.START,
            {
                "grants": [GRANT],
                **LIMITS,
                "command": ["python", "a b"],
                "env": {"TOKEN": "secret"},
                "cwd": "/w",
                "user": "ada",
                "at_most_s": 60.0,
                "name": "näme; rm",
                "checkpoint": {"signal": None, "command": [], "grace_s": 60.0},
            },
        ),
        (StepKind.STOP, {"grace_s": 7.0, "checkpoint": False}),
        (StepKind.UNLIMIT, {}),
        (StepKind.UNCLAIM, {}),
    ],
)
def test_each_kind_carries_what_the_wire_says(kind, more):
    assert encode_call(call_of(kind), grace_s=7.0) == {
        "run": "run1",
        "seq": 3,
        "fence": 17,
        "controller": "c1",
        "step": {"kind": kind.value, "workload": "w0123abcd", "attempt": 2, "device": None, **more},
    }


def test_a_start_of_a_workload_that_the_state_lost_is_refused():
    call = structs.replace(call_of(StepKind.START), workload=None)
    with pytest.raises(StepError, match="no longer knows"):
        encode_call(call, grace_s=7.0)


def test_a_claim_without_an_allocation_is_refused():
    call = call_of(StepKind.CLAIM)
    call = structs.replace(call, step=structs.replace(call.step, allocation=None))
    with pytest.raises(StepError, match="no allocation"):
        encode_call(call, grace_s=7.0)


def test_limits_that_must_be_hard_are_said_to_be():
    call = call_of(StepKind.LIMIT)
    assert call.workload is not None
    hard = structs.replace(call.workload, request=structs.replace(call.workload.request, require="hard"))
    assert encode_call(structs.replace(call, workload=hard), 10.0)["step"]["require"] == "hard"
    assert "require" not in encode_call(call, 10.0)["step"]


def env_of(gang: Gang, *pairs: tuple[str, str]) -> dict[str, str]:
    """The environment of the member that is a part of this gang, with these of the request."""
    call = call_of(StepKind.START)
    assert call.step.allocation is not None
    assert call.workload is not None
    step = structs.replace(call.step, allocation=structs.replace(call.step.allocation, gang=gang))
    workload = structs.replace(call.workload, request=structs.replace(call.workload.request, env=pairs))
    env = encode_call(structs.replace(call, step=step, workload=workload), 10.0)["step"]["env"]
    assert isinstance(env, dict)
    return env


def test_a_member_of_a_gang_is_told_who_it_is_and_where_the_others_are() -> None:
    grants = (Grant("GPU-1", Share.EXCLUSIVE), Grant("GPU-2", Share.EXCLUSIVE))
    member = Member(1, "n1", grants, interface="ib0")
    assert env_of(Gang(3, 5, (member,), "10.0.0.1", 29007)) == {
        "RANK": "1",
        "WORLD_SIZE": "3",
        "NODE_RANK": "1",
        "NNODES": "3",
        "NPROC_PER_NODE": "2",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "29007",
        "PET_NODE_RANK": "1",
        "PET_NNODES": "3",
        "PET_NPROC_PER_NODE": "2",
        "PET_MASTER_ADDR": "10.0.0.1",
        "PET_MASTER_PORT": "29007",
        "GPUALLOC_GANG_RANK": "1",
        "GPUALLOC_GANG_SIZE": "3",
        "GPUALLOC_GANG_GPUS": "5",
        "NCCL_SOCKET_IFNAME": "=ib0",
        "GLOO_SOCKET_IFNAME": "ib0",
    }


def test_what_the_request_says_goes_before_what_a_gang_is_told_and_no_interface_is_guessed() -> None:
    env = env_of(Gang(1, 0, (Member(0, "n1", ()),), "127.0.0.1", 29000), ("MASTER_PORT", "1234"), ("A", "b"))
    assert (env["MASTER_PORT"], env["PET_MASTER_PORT"], env["A"]) == ("1234", "29000", "b")
    assert not [name for name in env if name.endswith("IFNAME")]


def test_a_resize_carries_what_its_command_needs_and_passes_the_node_s_checks() -> None:
    call = call_of(StepKind.CLAIM)
    assert call.workload is not None
    to = Allocation("w0123abcd", "n1", (Grant("GPU-1", Share.EXCLUSIVE), Grant("GPU-2", Share.EXCLUSIVE)))
    step = structs.replace(call.step, kind=StepKind.RESIZE, allocation=to, devices_before=("GPU-1",))
    request = structs.replace(call.workload.request, gpus_max=4, resize_command=("tell", "it"), checkpoint_grace_s=9.0)
    workload = structs.replace(call.workload, request=request)
    encoded = encode_call(structs.replace(call, step=step, workload=workload, controller="c" * 32), grace_s=7.0)
    told = {name: encoded["step"][name] for name in ("devices_before", "command", "env", "cwd", "user", "grace_s")}
    assert told == {
        "devices_before": ["GPU-1"],
        "command": ["tell", "it"],
        "env": {"TOKEN": "secret"},
        "cwd": "/w",
        "user": "ada",
        "grace_s": 9.0,
    }
    checked = check.call(encoded)["step"]
    assert [grant["device"] for grant in checked["grants"]] == ["GPU-1", "GPU-2"]
    assert {name: checked[name] for name in told} == told
    with pytest.raises(StepError, match="no longer knows"):
        encode_call(structs.replace(call, step=step, workload=None), grace_s=7.0)
