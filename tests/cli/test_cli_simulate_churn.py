"""`simulate churn`, `--from-history` and `--add` as scripts and people call them."""

import json

import pytest

from gpualloc.cli.app import main

NODES = "name,cpus,memory_mib,gpus,gpu_model\nn1,64,262144,4,A100\nn2,16,65536,1,T4\n"
TASKS = """cpus,memory_mib,gpus,fraction,arrives_s,leaves_s
8,1024,4,,0,600
2,1024,1,,10,400
2,1024,1,0.5,20,500
8,1024,4,,30,90
2,1024,1,,40,
1,1024,0,,700,710
"""
FILES = ("--nodes", "nodes.csv", "--tasks", "tasks.csv")


@pytest.fixture
def call(tmp_path, monkeypatch, run):
    """Call `simulate` in a folder with a trace of known times."""
    (tmp_path / "nodes.csv").write_text(NODES)
    (tmp_path / "tasks.csv").write_text(TASKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    return lambda kind, *more: run("simulate", kind, "--policy", "best-fit", *more)


def data_of(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["data"]


def test_churn_answers_what_scripts_rely_on(call):
    data = data_of(call("churn", *FILES, "--json"))
    assert data.keys() == {
        "simulated", "policy", "profile", "seed", "load", "offered_pct", "rounds", "time_factor", "arrivals",
        "without_times", "gpus", "measured", "makespan_s", "allocated_pct", "fragmentation_pct", "waits",
        "waiting_at_end", "never_placed", "migrations", "violations", "violations_told", "refusals_that_fitted",
        "decision_us", "timeline", "added",
    }  # fmt: skip
    assert data["simulated"] is True
    assert (data["arrivals"], data["without_times"], data["gpus"], data["added"]) == (5, 1, 5, None)
    assert (data["load"], data["seed"], data["rounds"], data["time_factor"]) == (None, None, 1, 1.0)
    assert data["measured"] == {"from_s": 0.0, "to_s": 700.0}
    assert data["waits"]["multi"] == {
        "tasks": 2, "at_once": 1, "mean_s": 285.0, "p50_s": 285.0, "p90_s": 513.0, "p99_s": 564.3, "longest_s": 570.0,
    }  # fmt: skip
    assert data["waits"]["fractional"]["longest_s"] == 380.0
    assert (data["violations"], data["refusals_that_fitted"]) == (0, 0)
    assert data["never_placed"] == {"total": 0, "cpu_only": 0, "fractional": 0, "single": 0, "multi": 0}
    assert data["migrations"] == {"moves": 0, "helped": 0, "stranded": 0}
    assert len(data["timeline"]) == 120
    assert data["timeline"][0]["allocated_pct"] == 80.0


def test_a_load_and_a_seed_are_told(call):
    first, again, other = (
        data_of(call("churn", *FILES, "--load", "0.9", "--seed", seed, "--migrations", "5", "--json"))
        for seed in ("1", "1", "2")
    )
    assert (first["load"], first["seed"]) == (0.9, 1)
    assert first["offered_pct"] == pytest.approx(90, rel=0.01)
    assert first["rounds"] > 1
    for one in (first, again, other):
        del one["decision_us"]
    assert first == again
    assert first["timeline"] != other["timeline"]


def test_the_answer_fits_a_usual_terminal(call):
    ran = call("churn", *FILES, "--load", "0.9", "--seed", "1", "--migrations", "5")
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert "simulated" in lines[0]
    assert [line.split("  ")[0] for line in lines[3:7]] == ["CPU only", "part of a GPU", "one GPU", "several GPUs"]
    assert "1 tasks have no times of coming and leaving" in ran.err


def test_added_nodes_show_what_they_change(call):
    data = data_of(call("churn", *FILES, "--add", "4xA100", "--add", "2x1xT4:cpus=4,memory=64GiB", "--json"))
    assert (data["added"]["nodes"], data["added"]["gpus"]) == (3, 6)
    after = data["added"]["after"]
    assert (data["gpus"], after["gpus"]) == (5, 11)
    assert (data["waits"]["multi"]["longest_s"], after["waits"]["multi"]["longest_s"]) == (570.0, 0.0)
    assert (after["arrivals"], after["measured"]) == (data["arrivals"], data["measured"])
    ran = call("churn", *FILES, "--add", "4xA100")
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 24
    assert [line.split()[-2:] for line in lines if line.startswith("longest wait, several")] == [["9m30s", "7m50s"]]


def test_added_nodes_show_what_they_change_in_packing_too(call):
    data = data_of(call("packing", *FILES, "--seed", "1", "--add", "4xA100", "--json"))
    after = data["added"]["after"]
    assert after["failed"]["total"] < data["failed"]["total"]
    assert after["arrivals"] == data["arrivals"]
    assert data_of(call("packing", *FILES, "--seed", "1", "--json"))["added"] is None
    ran = call("packing", *FILES, "--seed", "1", "--add", "4xA100")
    assert ["GPUs", "5", "9"] in [line.split() for line in ran.out.splitlines()]
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "no node had the GPU model A10 before" in call("packing", *FILES, "--seed", "1", "--add", "8xA10").err


@pytest.mark.parametrize("kind", ["churn", "packing"])
def test_history_is_a_trace(kind, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("GPUALLOC_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("GPUALLOC_SIM", "demo")
    more = ["--seed", "1"] if kind == "packing" else []
    assert main(["simulate", kind, "--policy", "best-fit", "--from-history", *more, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["data"]["arrivals"] > 3
    assert document["data"]["violations"] == 0
    assert any("did not start" in message for message in document["messages"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "needs one trace"),
        (("--nodes", "nodes.csv"), "needs one trace"),
        ((*FILES, "--from-history"), "needs one trace"),
        ((*FILES, "--load", "0"), "out of range"),
        ((*FILES, "--load", "much"), "--load"),
        ((*FILES, "--seed", "-1"), "out of range"),
        ((*FILES, "--migrations", "-1"), "out of range"),
        ((*FILES, "--migrations", "few"), "whole number"),
        ((*FILES, "--move-seconds", "soon"), "soon"),
        ((*FILES, "--add", "H100"), "does not name nodes"),
    ],
)
def test_bad_input_is_refused_with_what_was_expected(call, arguments, said):
    ran = call("churn", *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert said in ran.err


def test_tasks_without_times_are_refused(call, tmp_path):
    (tmp_path / "tasks.csv").write_text("cpus,memory_mib,gpus\n1,1,1\n")
    ran = call("churn", *FILES)
    assert ran.code == 2
    assert "arrives_s and leaves_s" in ran.err
