"""Steps of MIG and of settings on a simulated node. State in, state out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gpualloc.node.wire import Refused
from gpualloc.sim.cluster import ClusterSpec, HostSpec, Stranger
from gpualloc.sim.gpu import FaultKind, GpuModel, GpuSettings
from gpualloc.sim.host import SimulatedHost
from gpualloc.sim.reboot import reboot
from gpualloc.sim.rows import inventory_row, sample_row
from gpualloc.sim.state import SimulatedCluster
from gpualloc.sim.use import Pattern

SPEC = HostSpec("n1", ("A100-40GB", "H100-80GB"), cpus=8, memory_gib=64, mig=(0,))


def new_host(spec: HostSpec = SPEC) -> SimulatedHost:
    return SimulatedCluster.start(ClusterSpec("test", (spec,)), 1000.0).host(spec.name, 1000.0)


def step(host: SimulatedHost, kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    own = {"kind": kind, "device": host.gpus[index].uuid, "workload": None, "attempt": 0, "mig_instance": None}
    return {**own, **fields}


def refusal(act: Any, *arguments: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        act(*arguments)
    return refused.value.reason, refused.value.message


def places(gpu: GpuModel) -> list[str]:
    return [f"{each.profile.name}@{each.start}" for each in gpu.instances]


def test_instances_are_made_found_and_removed_at_their_place() -> None:
    host = new_host()
    create = step(host, "mig-create", place="2g.10gb@2")
    host.preflight(create)
    assert places(host.gpus[0]) == []
    assert host.verify(create) == {"holds": False, "mig_instance": None, "place": "2g.10gb@2"}
    facts = host.do(create)
    assert host.do(create) == facts
    assert host.verify(create) == {"holds": True, **facts}
    destroy = step(host, "mig-destroy", place="2g.10gb@2", mig_instance=facts["mig_instance"])
    assert host.verify(destroy) == {"holds": False}
    assert (host.do(destroy), host.do(destroy)) == ({}, {})
    assert host.verify(destroy) == {"holds": True}
    host.undo(destroy)
    assert places(host.gpus[0]) == ["2g.10gb@2"]
    host.undo(create)
    assert places(host.gpus[0]) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [("2g.10gb@1", "bad-request"), ("9g.99gb@0", "bad-request"), ("4g.20gb@0", "failed")],
)
def test_a_place_that_cannot_be_taken_is_refused(place: str, reason: str) -> None:
    host = new_host()
    host.do(step(host, "mig-create", place="1g.5gb@3"))
    for act in (host.preflight, host.do):
        assert refusal(act, step(host, "mig-create", place=place))[0] == reason


def test_a_half_made_instance_is_finished() -> None:
    host = new_host()
    host.gpus[0].create_instance("3g.20gb", 4, complete=False)
    assert inventory_row(host.gpus[0], None)["mig_instances"] == []
    create = step(host, "mig-create", place="3g.20gb@4")
    assert host.verify(create)["holds"] is False
    host.do(create)
    assert [row["profile"] for row in inventory_row(host.gpus[0], None)["mig_instances"]] == ["3g.20gb"]


def test_what_a_stranger_uses_or_a_workload_was_given_stays() -> None:
    stranger = Stranger("bob", "python x.py", (0,), 500, Pattern.STEADY, profile="1g.5gb")
    host = new_host(HostSpec("n1", SPEC.gpus, 8, 64, mig=(0,), instances=((0, "1g.5gb"),), strangers=(stranger,)))
    used = host.gpus[0].instances[0]
    destroy = step(host, "mig-destroy", place=f"1g.5gb@{used.start}")
    reason, message = refusal(host.preflight, destroy)
    assert (reason, "of bob (python x.py)" in message) == ("in-use", True)
    host.gpus[0].processes.clear()
    claim = {"workload": "w1", "attempt": 1, "device": host.gpus[0].uuid, "mig_instance": used.uuid}
    host.ledger.add_claims([claim])
    assert refusal(host.do, destroy)[0] == "claimed"
    assert refusal(host.do, step(host, "mig-mode", mig_enabled=False))[0] == "claimed"
    host.ledger.remove_claims("w1")
    assert refusal(host.do, step(host, "mig-mode", mig_enabled=False))[0] == "in-use"
    host.do(destroy)
    assert host.do(step(host, "mig-mode", mig_enabled=False)) == {"mig_enabled": False, "mig_pending": False}


def test_an_instance_named_with_another_place_is_not_removed() -> None:
    host = new_host()
    made = host.do(step(host, "mig-create", place="1g.5gb@0"))["mig_instance"]
    assert refusal(host.do, step(host, "mig-destroy", place="1g.5gb@1", mig_instance=made))[0] == "gone"
    assert refusal(host.do, step(host, "mig-destroy", place="1g.5gb@0", mig_instance="MIG-x"))[0] == "gone"
    assert host.do(step(host, "mig-destroy", place="1g.5gb@1", mig_instance="MIG-x")) == {}


def test_the_mode_changes_and_resets_settings_where_that_takes_a_reset() -> None:
    host = new_host()
    for index, after in ((0, GpuSettings()), (1, GpuSettings(power_limit_w=300.0))):
        host.do(step(host, "set", index, wanted={"power_limit_w": 300.0}, before={}))
        switch = step(host, "mig-mode", index, mig_enabled=not host.gpus[index].mig_enabled)
        host.do(switch)
        assert host.verify(switch)["holds"] is True
        assert host.gpus[index].settings == after
        host.undo(switch)
        assert host.verify(switch)["holds"] is False


def test_settings_are_set_told_and_put_back() -> None:
    host = new_host()
    clocks = {"sm_clock_min_mhz": 300, "sm_clock_max_mhz": 600}
    wanted = {"power_limit_w": 200.0, **clocks, "compute_mode": "prohibited", "persistence": True}
    set_step = step(host, "set", 1, wanted=wanted, before={"power_limit_w": 500.0})
    host.preflight(set_step)
    assert host.gpus[1].settings == GpuSettings()
    assert host.do(set_step) == {"settings": wanted}
    assert host.verify(set_step) == {"holds": True, "settings": wanted}
    assert inventory_row(host.gpus[1], None)["settings"] == wanted
    assert sample_row(host.gpus[1], None, 0.0)["power_limit_w"] == 200
    assert host.undo(set_step)["settings"]["power_limit_w"] == 500
    assert host.gpus[1].settings == GpuSettings(500.0, persistence=True)


@pytest.mark.parametrize(
    ("index", "wanted", "reason"),
    [
        (1, {"power_limit_w": 100.0}, "bad-request"),
        (1, {"power_limit_w": 701.0}, "bad-request"),
        (1, {"sm_clock_min_mhz": 9, "sm_clock_max_mhz": 3}, "bad-request"),
        (0, {"compute_mode": "prohibited"}, "not-supported"),
    ],
)
def test_settings_that_cannot_be_are_refused(index: int, wanted: dict[str, Any], reason: str) -> None:
    host = new_host()
    for act in (host.preflight, host.do):
        assert refusal(act, step(host, "set", index, wanted=wanted, before={}))[0] == reason
    assert host.gpus[index].settings == GpuSettings()


def test_a_power_limit_caps_the_power_and_locked_clocks_the_clock() -> None:
    host = new_host(HostSpec("n1", ("A100-40GB",), 8, 64, strangers=(Stranger("bob", "x", (0,), 500, Pattern.STEADY),)))
    gpu = host.gpus[0]
    assert (gpu.readings(2000.0).power_w or 0) > 250
    gpu.change_settings(power_limit_w=200.0, sm_clock_min_mhz=300, sm_clock_max_mhz=600)
    assert (gpu.readings(2000.0).power_w, gpu.readings(2000.0).sm_clock_mhz) == (200.0, 600)
    gpu.processes.clear()
    assert gpu.readings(2000.0).sm_clock_mhz == 300


@pytest.mark.parametrize("kind", ["mig-mode", "mig-create", "mig-destroy", "set"])
def test_a_sick_gpu_is_left_alone(kind: str) -> None:
    host = new_host()
    host.faults = {0: (FaultKind.HUNG, 1000.0)}
    asked = step(host, kind, place="1g.5gb@0", mig_enabled=False, wanted={}, before={})
    for act in (host.preflight, host.do, host.verify):
        assert refusal(act, asked)[0] == "unhealthy"


def test_state_survives_as_plain_json_also_that_of_an_older_version() -> None:
    host = new_host()
    gpu = host.gpus[0]
    gpu.create_instance("3g.20gb", 0, complete=False)
    gpu.change_settings(power_limit_w=200.0)
    plain = json.loads(json.dumps(gpu.to_plain()))
    assert GpuModel.from_plain(plain) == gpu
    del plain["settings"]
    plain["instances"] = [each[:5] for each in plain["instances"]]
    older = GpuModel.from_plain(plain)
    assert (older.settings, [each.complete for each in older.instances]) == (GpuSettings(), [True])


def test_a_reload_of_the_driver_loses_settings() -> None:
    gpu = new_host().gpus[0]
    gpu.change_settings(power_limit_w=200.0, persistence=True)
    gpu.reload_driver()
    assert gpu.settings == GpuSettings()


def test_a_reboot_ends_work_and_loses_instances_settings_claims_and_the_mode_where_it_is_not_kept() -> None:
    host = new_host(HostSpec("n1", SPEC.gpus, 8, 64, mig=(0, 1)))
    uuid = host.do(step(host, "mig-create", place="1g.5gb@0"))["mig_instance"]
    host.do(step(host, "mig-create", 1, place="1g.10gb@0"))
    host.do(step(host, "set", 1, wanted={"power_limit_w": 300.0}, before={}))
    grant = {"device": host.gpus[0].uuid, "mig_instance": uuid, "fraction": 1.0, "memory_mib": 100}
    start = {"kind": "start", "workload": "w1", "attempt": 1, "controller": "c" * 32, "grants": [grant], "env": {}}
    limits = dict.fromkeys(
        ("cpus", "cpuset", "memory_mib", "pids", "cpu_weight", "io_weight", "cwd", "user", "at_most_s")
    )
    host.do({**start, **limits, "command": ["train"]})
    host.ledger.add_claims([{"workload": "w1", "attempt": 1, **grant}])
    before = host.boot_id
    reboot(host)
    [record] = host.records()
    assert (record["end"]["reason"], record["end"]["exit_code"]) == ("rebooted", 125)
    assert host.boot_id != before
    assert (host.ledger.claims(), host.processes()) == ([], {"processes": []})
    assert [(gpu.mig_enabled, gpu.instances, gpu.settings) for gpu in host.gpus] == [
        (True, [], GpuSettings()),
        (False, [], GpuSettings()),
    ]
    assert host.do(step(host, "mig-create", place="1g.5gb@0"))["mig_instance"] == uuid
