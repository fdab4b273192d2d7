"""Steps of MIG and of settings of real node programs, in processes of their own, over a real library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.nvml_stub import environment, instances, reboot, without_plans

from gpualloc.sim.catalog import find, mig_table

TRACES = json.loads((Path(__file__).parents[2] / "unit" / "sim" / "golden_traces.json").read_text())
READER = Path(__file__).parent / "nvml_reader.py"
PLACE = {"place": "2g.10gb@2", "mig_instance": None}
_2G = 14


def test_an_instance_is_made_told_and_removed(host: Any) -> None:
    [uuid] = host.write("A100-40GB")
    program = host.program()
    assert program.call("preflight", "mig-create", uuid, **PLACE) == {"id": 1, "ok": {}}
    facts = program.call("do", "mig-create", uuid, **PLACE)["ok"]
    assert instances(host.state) == [(_2G, 2, True)]
    [told] = program.device()["mig_instances"]
    assert (told["uuid"], told["profile"], told["start"], told["size"]) == (facts["mig_instance"], "2g.10gb", 2, 2)
    assert program.call("verify", "mig-create", uuid, **PLACE)["ok"] == {"holds": True, **facts}
    assert program.call("undo", "mig-create", uuid, **PLACE) == {"id": 1, "ok": {}}
    assert instances(host.state) == []


@pytest.mark.parametrize("then", ["do", "undo"])
def test_a_kill_between_gpu_instance_and_compute_instance_is_made_good(host: Any, then: str) -> None:
    [uuid] = host.write("A100-40GB", plans=[("nvmlGpuInstanceCreateComputeInstance", 1, "kill")])
    assert host.program().call("do", "mig-create", uuid, **PLACE) is None
    assert instances(host.state) == [(_2G, 2, False)]
    without_plans(host.state)
    program = host.program()
    assert program.device()["mig_instances"] == []
    assert program.call("verify", "mig-create", uuid, **PLACE)["ok"]["holds"] is False
    assert "ok" in program.call(then, "mig-create", uuid, **PLACE)
    assert instances(host.state) == ([(_2G, 2, True)] if then == "do" else [])


@pytest.mark.parametrize("then", ["do", "undo"])
@pytest.mark.parametrize("function", ["nvmlComputeInstanceDestroy", "nvmlGpuInstanceDestroy"])
def test_a_kill_while_an_instance_is_removed_is_made_good(host: Any, function: str, then: str) -> None:
    [uuid] = host.write("A100-40GB", plans=[(function, 1, "kill")])
    program = host.program()
    assert "ok" in program.call("do", "mig-create", uuid, **PLACE)
    assert program.call("do", "mig-destroy", uuid, **PLACE) is None
    assert instances(host.state) == [(_2G, 2, function == "nvmlComputeInstanceDestroy")]
    without_plans(host.state)
    assert "ok" in host.program().call(then, "mig-destroy", uuid, **PLACE)
    assert instances(host.state) == ([] if then == "do" else [(_2G, 2, True)])


def test_a_kill_at_the_switch_of_the_mode_is_made_good(host: Any) -> None:
    [uuid] = host.write("A100-40GB", mig=False, plans=[("nvmlDeviceSetMigMode", 1, "kill")])
    assert host.program().call("do", "mig-mode", uuid, mig_enabled=True) is None
    without_plans(host.state)
    answer = host.program().call("do", "mig-mode", uuid, mig_enabled=True)
    assert answer["ok"] == {"mig_enabled": True, "mig_pending": True}


def test_the_other_node_programs_let_go_for_a_change_of_mode_on_ampere(host: Any) -> None:
    first, second = host.write("A100-40GB", "A30-24GB", mig=False)
    watching, changing = host.program(), host.program()
    assert watching.device()["mig_enabled"] is False
    answer = changing.call("do", "mig-mode", first, mig_enabled=True)
    assert answer["ok"] == {"mig_enabled": True, "mig_pending": True}
    assert [watching.device(index)["mig_enabled"] for index in range(2)] == [True, False]
    assert [row["state"] for row in watching.ask("sample")["ok"]["devices"]] == ["ok", "ok"]
    assert "ok" in watching.call("do", "mig-mode", second, mig_enabled=True)
    assert changing.device(1)["mig_enabled"] is True
    assert os.listdir(host.folder / "quiesce") == []


@pytest.mark.parametrize(("model", "switched"), [("A100-40GB", False), ("H100-80GB", True)])
def test_a_program_that_is_not_ours_blocks_the_change_on_ampere_only(host: Any, model: str, switched: bool) -> None:
    [uuid] = host.write(model, mig=False)
    with subprocess.Popen(
        [sys.executable, str(READER)],
        env={**os.environ, **environment(host.state)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as monitor:
        assert monitor.stdin is not None
        assert monitor.stdout is not None
        monitor.stdin.write("nvmlDeviceGetCount()\n")
        monitor.stdin.flush()
        assert monitor.stdout.readline() == "1\n"
        program = host.program()
        answer = program.call("do", "mig-mode", uuid, mig_enabled=True)
        assert ("ok" in answer) is switched
        monitor.kill()
    if not switched:
        assert answer["error"]["reason"] == "in-use"
        row = program.device()
        assert (row["mig_enabled"], row["mig_pending"]) == (False, False)
        assert program.call("do", "mig-mode", uuid, mig_enabled=True)["ok"]["mig_enabled"] is True


def test_settings_are_set_told_and_given_back(host: Any) -> None:
    [uuid] = host.write("H100-80GB", mig=False)
    program = host.program()
    row = program.device()
    assert (row["power_limit_default_w"], row["power_limit_min_w"], row["power_limit_max_w"]) == (700, 175, 700)
    assert row["settings"] == {
        "power_limit_w": 700,
        "sm_clock_min_mhz": None,
        "sm_clock_max_mhz": None,
        "compute_mode": "default",
        "persistence": False,
    }
    wanted = {"power_limit_w": 400.0, "sm_clock_min_mhz": 300, "sm_clock_max_mhz": 900, "persistence": True}
    assert program.call("do", "set", uuid, wanted=wanted)["ok"]["settings"] == {**wanted, "compute_mode": "default"}
    assert program.call("verify", "set", uuid, wanted=wanted)["ok"]["holds"] is True
    assert host.program().device()["settings"] == {**wanted, "compute_mode": "default"}
    told = program.call("undo", "set", uuid, wanted=wanted, before={"persistence": False})["ok"]["settings"]
    assert told == {**row["settings"], "sm_clock_min_mhz": 0, "sm_clock_max_mhz": 0}
    answer = program.call("do", "set", uuid, wanted={"power_limit_w": 800.0})
    assert (answer["error"]["reason"], "175..700 W" in answer["error"]["message"]) == ("bad-request", True)


def test_without_the_right_nothing_changes_and_it_is_named(host: Any) -> None:
    [uuid] = host.write("H100-80GB", privileged=False)
    before = host.state.read_text()
    program = host.program()
    for kind, fields in (
        ("mig-create", {"place": "1g.10gb@0", "mig_instance": None}),
        ("mig-mode", {"mig_enabled": False}),
        ("set", {"wanted": {"persistence": True}}),
    ):
        answer = program.call("do", kind, uuid, **fields)
        assert (answer["error"]["reason"], "needs" in answer["error"]["message"]) == ("not-permitted", True)
    assert host.state.read_text() == before


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: f"{trace['source']}-{trace['create_without_placement']}")
def test_what_real_drivers_did_is_done_with_explicit_places(host: Any, trace: dict[str, Any]) -> None:
    table = mig_table(find(trace["model"]))
    [uuid] = host.write(trace["model"])
    program = host.program()
    made = []
    for number, start in zip(trace["create_without_placement"], trace["starts"], strict=True):
        profile = table.profile_by_id(number)
        for tried in profile.starts if start is None else (start,):
            place = f"{profile.name}@{tried}"
            answer = program.call("do", "mig-create", uuid, place=place, mig_instance=None)
            assert ("ok" in answer) is (start is not None), answer
            made += [(number, tried, True)] if start is not None else []
    assert instances(host.state) == sorted(made, key=lambda each: each[1])
    told = {(row["profile"], row["start"], row["size"]) for row in program.device()["mig_instances"]}
    assert told == {
        (table.profile_by_id(number).name, start, table.profile_by_id(number).size) for number, start, _ in made
    }


@pytest.mark.parametrize(
    ("model", "place", "kept"), [("A100-40GB", "1g.5gb@3", True), ("H100-80GB", "1g.10gb@3", False)]
)
def test_a_layout_and_settings_are_made_again_after_a_reboot(host: Any, model: str, place: str, kept: bool) -> None:
    [uuid] = host.write(model)
    create = {"place": place, "mig_instance": None}
    settings = {"wanted": {"power_limit_w": 300.0, "persistence": True}}
    program = host.program()
    before = program.call("do", "mig-create", uuid, **create)["ok"]
    program.call("do", "set", uuid, **settings)
    reboot(host.state)
    program = host.program()
    row = program.device()
    assert (row["mig_enabled"], row["mig_instances"], row["settings"]["persistence"]) == (kept, [], False)
    for kind, fields in (("mig-mode", {"mig_enabled": True}), ("mig-create", create), ("set", settings)):
        assert "ok" in program.call("do", kind, uuid, **fields)
        assert program.call("verify", kind, uuid, **fields)["ok"]["holds"] is True
    assert program.device()["mig_instances"][0]["uuid"] == before["mig_instance"]
