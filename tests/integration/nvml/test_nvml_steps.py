"""MIG and tuning steps of real node programs, in processes of their own, over a real library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.nvml_stub import environment, instances, without_plans

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
    assert program.call("do", "tune", uuid, wanted=wanted)["ok"]["settings"] == {**wanted, "compute_mode": "default"}
    assert program.call("verify", "tune", uuid, wanted=wanted)["ok"]["holds"] is True
    assert host.program().device()["settings"] == {**wanted, "compute_mode": "default"}
    told = program.call("undo", "tune", uuid, wanted=wanted, before={"persistence": False})["ok"]["settings"]
    assert told == {**row["settings"], "sm_clock_min_mhz": 0, "sm_clock_max_mhz": 0}
    answer = program.call("do", "tune", uuid, wanted={"power_limit_w": 800.0})
    assert (answer["error"]["reason"], "175..700 W" in answer["error"]["message"]) == ("bad-request", True)


def test_without_the_right_nothing_changes_and_it_is_named(host: Any) -> None:
    [uuid] = host.write("H100-80GB", privileged=False)
    before = host.state.read_text()
    program = host.program()
    for kind, fields in (
        ("mig-create", {"place": "1g.10gb@0", "mig_instance": None}),
        ("mig-mode", {"mig_enabled": False}),
        ("tune", {"wanted": {"persistence": True}}),
    ):
        answer = program.call("do", kind, uuid, **fields)
        assert (answer["error"]["reason"], "needs" in answer["error"]["message"]) == ("not-permitted", True)
    assert host.state.read_text() == before
