"""`gpualloc undo` over the simulated demo cluster and a real state."""

import json

import pytest

from gpualloc.cli.app import main


@pytest.fixture
def ran(tmp_path, monkeypatch, capsys):
    """Call the command line over one demo world."""
    monkeypatch.setenv("GPUALLOC_SIM", "demo")
    monkeypatch.setenv("GPUALLOC_STATE_DIR", str(tmp_path))

    def call(*arguments):
        code = main([arguments[0], "--json", *arguments[1:]])
        answer = json.loads(capsys.readouterr().out)
        assert answer["schema"] == f"gpualloc.{arguments[0]}/1"
        return code, answer

    return call


def states(ran):
    return [work["state"] for work in ran("ps")[1]["data"]["workloads"]]


def test_the_last_run_is_taken_back(ran):
    ran("submit", "--gpus", "1", "--", "python", "train.py")
    run = ran("apply", "--yes")[1]["data"]["report"]["run"]
    code, shown = ran("undo", "--dry-run")
    assert code == 0
    assert shown["data"]["run"] == run
    assert shown["data"]["report"] is None
    assert states(ran) == ["running"]
    code, done = ran("undo", "--yes")
    assert code == 0
    assert done["data"]["confirmed"]
    assert [step["kind"] for step in done["data"]["plan"]["steps"]] == ["stop", "unclaim"]
    assert states(ran) == ["pending"]
    assert ran("undo", run)[1]["data"]["plan"]["steps"] == []


def test_what_stays_is_told_with_why(ran):
    ran("submit", "--gpus", "1", "--preempt", "never", "--", "python", "train.py")
    ran("apply", "--yes")
    data = ran("undo")[1]["data"]
    assert data["plan"]["steps"] == []
    assert [one["step"]["kind"] for one in data["stays"]] == ["start"]
    assert "asked never to give way" in data["stays"][0]["why"]


def test_nobody_to_ask_needs_yes_and_an_unknown_run_is_told(ran):
    ran("submit", "--gpus", "1", "--", "python", "train.py")
    ran("apply", "--yes")
    code, answer = ran("undo")
    assert code == 2
    assert "--yes" in answer["errors"][0]["hint"]
    assert ran("undo", "r-none")[0] != 0
    assert states(ran) == ["running"]
