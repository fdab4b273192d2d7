"""Verbs that look: what they print, and that stdout carries nothing else."""

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from fakes import sample_world
from fakes.memory_context import MemoryFleet, MemoryJournal, memory_context
from msgspec.structs import replace

from gpualloc.cli.app import main
from gpualloc.cli.plan_file import write_plan
from gpualloc.errors import UnreachableError
from gpualloc.model.inventory import NodeState
from gpualloc.planning.base import base_digest


def answered(ran, verb, code=0):
    assert ran.code == code, ran.err
    document = json.loads(ran.out)
    assert set(document) == {"schema", "data", "messages", "errors"}
    assert document["schema"] == f"gpualloc.{verb}/1"
    return document


@pytest.mark.parametrize(
    ("verb", "arguments", "keys"),
    [
        ("nodes", [], {"nodes"}),
        ("ps", [], {"workloads", "simulated"}),
        ("free", [], {"gpus", "simulated"}),
        ("status", [], {"workloads", "policy", "last_rebalance", "lock_held_by", "simulated"}),
        ("history", [], {"series", "metric", "unit", "simulated"}),
        ("audit", [], {"entries", "simulated"}),
        ("show", ["w00000001"], {"id", "state", "request", "allocation", "simulated"}),
        ("logs", ["w00000001"], {"id", "text", "simulated"}),
        ("sample", [], {"rows", "simulated"}),
        ("policies", [], {"policies", "profiles"}),
        ("completion", ["bash"], {"shell", "script"}),
    ],
)
def test_json_is_an_envelope(run, verb, arguments, keys):
    assert keys <= set(answered(run(verb, *arguments, "--json"), verb)["data"])


def test_unreached_nodes_are_errors_and_exit_code_0(run):
    document = answered(run("nodes", "--json"), "nodes")
    assert [(error["code"], error["node"]) for error in document["errors"]] == [("unreachable", "gpu02")]
    ran = run("nodes")
    assert ran.code == 0
    assert "error: gpu02: unreachable (connection refused)" in ran.err


def test_no_node_reached_is_exit_code_3(run, world):
    world.context = memory_context(fleet=MemoryFleet((sample_world.GPU02,)))
    ran = run("nodes", "--json")
    assert (ran.code, json.loads(ran.out)["errors"][0]["code"]) == (3, "unreachable")
    assert sample_world.GPU02.state is NodeState.UNREACHABLE


def test_nodes_can_be_chosen_by_set_and_pool(run):
    named = [node["name"] for node in answered(run("nodes", "gpu0[1-2]", "--json"), "nodes")["data"]["nodes"]]
    assert named == ["gpu01", "gpu02"]
    named = [node["name"] for node in answered(run("nodes", "@sim", "--json"), "nodes")["data"]["nodes"]]
    assert named == ["sim01"]


def test_an_unknown_node_is_exit_code_2_with_the_nearest(run):
    ran = run("nodes", "gpu03")
    assert (ran.code, ran.out) == (2, "")
    assert "gpu0" in ran.err


def test_logs_are_bytes_as_they_are(world, monkeypatch, capfdbinary):
    monkeypatch.setitem(sys.modules, "gpualloc.wiring", world)
    assert main(["logs", "w00000001"]) == 0
    assert capfdbinary.readouterr().out == b"line 1\nline \xff2\n"


def test_followed_logs_are_json_lines(run):
    ran = run("logs", "-f", "w00000001", "--json")
    (record,) = [json.loads(line) for line in ran.out.splitlines()]
    assert record == {
        "schema": "gpualloc.logs/1",
        "id": "w00000001",
        "simulated": False,
        "text": "line 1\nline \ufffd2\n",
    }


def test_a_broken_audit_trail_is_exit_code_1(run, world):
    assert answered(run("audit", "--verify", "--json"), "audit")["data"]["verified"] is True
    world.context = memory_context(journal=MemoryJournal(broken_at=2))
    document = answered(run("audit", "--verify", "--json"), "audit", code=1)
    assert (document["data"]["broken_at"], document["errors"][0]["code"]) == (2, "state")


def test_audit_takes_a_limit(run):
    assert len(answered(run("audit", "--limit", "1", "--json"), "audit")["data"]["entries"]) == 1
    assert run("audit", "--limit", "0").code == 2


def test_history_as_csv(run):
    assert run("history", "--csv").out.splitlines()[0] == "at_s,node,kind,key,gpu_utilization_ratio,simulated"


def test_an_unknown_metric_gets_the_nearest(run):
    ran = run("history", "--metric", "gpu_utilisation_ratio")
    assert (ran.code, "gpu_utilization_ratio" in ran.err) == (2, True)


def test_simulated_is_said_everywhere(run, world):
    world.context = memory_context(simulated=True)
    for verb, arguments in {
        "ps": [],
        "status": [],
        "history": [],
        "free": [],
        "show": ["w00000001"],
        "sample": [],
    }.items():
        assert "simulated" in run(verb, *arguments).out, verb
        assert answered(run(verb, *arguments, "--json"), verb)["data"]["simulated"] is True


def test_secrets_are_never_shown(run):
    for arguments in (["show", "w00000001"], ["show", "w00000001", "--json"], ["ps", "--json"], ["audit", "--json"]):
        ran = run(*arguments)
        assert sample_world.SECRET not in ran.out + ran.err


def test_a_held_lock_is_exit_code_7(run):
    for arguments in (["rebalance"], ["release", "w00000001"]):
        assert run(*arguments).code == 7


def test_apply_without_a_terminal_wants_yes(run, tmp_path):
    write_plan(replace(sample_world.PLAN, base_digest=base_digest(sample_world.PLAN.base)), tmp_path / "plan")
    ran = run("apply", str(tmp_path / "plan"))
    assert ran.code == 2
    assert "hint: add --yes" in ran.err


def test_a_node_is_installed_and_taken_away(run, monkeypatch, tmp_path):
    monkeypatch.setattr("gpualloc.cli.node.ROOT", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "ann")
    written = answered(run("node", "install", "--run-as", "bob", "--json"), "node")["data"]["written"]
    assert all(Path(path).is_relative_to(tmp_path) and Path(path).exists() for path in written)
    removed = answered(run("node", "uninstall", "--json"), "node")["data"]["removed"]
    assert sorted(removed) == sorted(written)
    assert not any(Path(path).exists() for path in written)


def test_a_node_is_installed_by_root_only(run, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert run("node", "install").code == 2


def test_dry_run_and_watch_exclude_each_other(run):
    assert run("rebalance", "--dry-run", "--watch").code == 2


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("nodes", ["gpu01", "gpu02", "sim01"]),
        ("policies", sorted(point.name for point in entry_points(group="gpualloc.policies"))),
        ("profiles", []),
        ("nothing", []),
    ],
)
def test_values_for_completion(run, kind, values):
    ran = run("__complete", kind)
    assert (ran.code, ran.out.split(), ran.err) == (0, values, "")


def test_names_that_a_shell_cannot_hold_are_not_offered(run):
    assert run("__complete", "workloads").out.splitlines() == [
        "w00000001",
        "w00000002",
        "mig job",
        "w00000003",
        sample_world.LONG,
        "w00000004",
        "日本語の名前",
    ]


def test_completion_is_silent_in_trouble(run, world):
    world.context = UnreachableError("no node")
    ran = run("__complete", "nodes")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
