"""`gpualloc tune` from the command line to a profile that plans name, over real state and real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from gpualloc.cli.app import main
from gpualloc.cli.tune_inputs import seeds
from gpualloc.errors import UsageError
from gpualloc.policies.profile import Profile, read_profile, write_profile
from gpualloc.policies.weights import DEFAULT, weights_of
from gpualloc.store.profiles import SavedProfiles

NODES = "name,cpus,memory_mib,gpus,gpu_model\n" + "".join(f"n{number},8,65536,4,A\n" for number in range(3))
TASKS = "cpus,memory_mib,gpus,fraction\n" + "1,1,1,0.5\n" * 8 + "3,1,1,\n" * 3 + "4,1,4,\n5,1,0,\n"
QUICK = ("--budget", "20", "--train-seeds", "0", "--validation-seeds", "7", "--jobs", "1")


@pytest.fixture
def trace(tmp_path):
    (tmp_path / "nodes.csv").write_text(NODES)
    (tmp_path / "tasks.csv").write_text(TASKS)
    return ("--nodes", str(tmp_path / "nodes.csv"), "--tasks", str(tmp_path / "tasks.csv"))


@pytest.fixture
def profiles(tmp_path):
    return SavedProfiles(tmp_path / "state" / "profiles")


@pytest.fixture
def gpualloc(tmp_path, monkeypatch, capsys):
    """Call the command line over real state; returns exit code, the answer's envelope and stderr."""
    monkeypatch.setenv("GPUALLOC_CONFIG", os.devnull)
    for name in ("GPUALLOC_SIM", "GPUALLOC_POLICY", "GPUALLOC_POLICY_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        code = main([arguments[0], "--state-dir", str(tmp_path / "state"), "--json", *arguments[1:]])
        captured = capsys.readouterr()
        return code, json.loads(captured.out), captured.err

    return call


def saved(profiles, name="night", **changes):
    profile = Profile(name, "pack", {**weights_of(DEFAULT), **changes})
    return profile, profiles.save(profile, replace=True)


def test_what_is_no_better_is_not_saved_unless_forced(gpualloc, trace, profiles):
    code, answer, _ = gpualloc("tune", "--name", "night", *trace, *QUICK)
    assert (code, answer["data"]["better"], answer["data"]["saved"], profiles.names()) == (1, False, None, ())
    assert "nothing better than pack" in answer["errors"][0]["message"]
    code, answer, _ = gpualloc("tune", "--name", "night", *trace, *QUICK, "--force")
    assert (code, answer["errors"]) == (0, [])
    profile = profiles.read("night")
    assert answer["data"]["saved"] == str(profiles.path("night"))
    assert answer["data"]["content"] == dict(profile.weights)
    assert profile.made["scores"] == answer["data"]["scores"]
    assert (profile.made["train_seeds"], profile.made["validation_seeds"]) == ([0], [7])
    assert profile.made["traces"] == [{"name": "tasks.csv", "tasks": 13}]


def test_the_command_in_the_profile_finds_it_again(gpualloc, trace, profiles):
    gpualloc("tune", "--name", "odd", "--method", "expressions", *trace, *QUICK, "--force")
    first = profiles.read("odd")
    words = first.made["command"].split()
    assert words[:2] == ["gpualloc", "tune"]
    code, _, _ = gpualloc(*words[1:], "--jobs", "2", "--force")
    assert code == 0
    assert profiles.read("odd").content == first.content


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from-history"], "nothing says what to tune for"),
        (["--method", "luck"], "--method 'luck' is not known"),
        (["--train-seeds", "0-9", "--validation-seeds", "7"], "seed 7 is for training and for validation"),
        (["--train-seeds", "a"], "is no list of seeds"),
        (["--budget", "0"], "--budget 0 is out of range"),
        (["--jobs", "0"], "--jobs 0 is out of range"),
        (["--load", "0.5"], "--load 0.5 ends before 95%"),
        (["--minutes", "0"], "--minutes 0 is out of range"),
        (["--reference", "fgdd"], "there is no policy 'fgdd'"),
        (["--name", "a/b"], "'a/b' is no name of a profile"),
        (["--name", "night"], "there is a profile 'night' already"),
        (["--tasks", "/nowhere.csv"], "/nowhere.csv cannot be read"),
    ],
)
def test_bad_input_is_told_before_anything_is_searched(gpualloc, trace, profiles, arguments, message):
    _, path = saved(profiles)
    before = path.read_bytes()
    code, answer, _ = gpualloc("tune", "--name", "new", *trace, *arguments)
    assert code == 2
    assert message in answer["errors"][0]["message"]
    assert (profiles.names(), path.read_bytes()) == (("night",), before)


def test_a_history_that_is_too_short_is_told(gpualloc):
    code, answer, _ = gpualloc("tune", "--name", "ours", "--from-history", "--sim", "demo")
    assert code == 2
    assert re.search(r"the recorded history has \d+ tasks, and 50 are needed", answer["errors"][0]["message"])


def test_past_work_is_tuned_for_and_the_profile_is_that_of_the_simulation(gpualloc, profiles):
    for number in range(50):
        wish = (["--gpus", "1"], ["--fraction", "0.5", "--cpus", "2"], ["--gpus", "2"])[number % 3]
        assert gpualloc("submit", "--sim", "demo", *wish, "--", "true")[0] == 0
    code, answer, _ = gpualloc("tune", "--name", "ours", "--from-history", "--sim", "demo", *QUICK, "--force")
    assert code == 0, answer
    assert profiles.names() == ()
    code, answer, _ = gpualloc("policies", "--sim", "demo")
    [one] = answer["data"]["profiles"]
    [trace] = one["made"]["traces"]
    assert (one["name"], one["policy"], trace["name"]) == ("ours", "pack", "history")
    assert trace["tasks"] >= 50  # strangers' processes count too


def demo(tmp_path):
    from gpualloc.store.paths import StatePaths

    return SavedProfiles(StatePaths(tmp_path / "state").sim("demo").profiles)


def test_a_plan_says_by_which_profile_it_was_made(gpualloc, tmp_path):
    profile, _ = saved(demo(tmp_path))
    gpualloc("submit", "--sim", "demo", "--", "true")
    _, answer, _ = gpualloc("plan", "--sim", "demo", "--policy", "pack", "--policy-profile", "night")
    assert (answer["data"]["policy"], answer["data"]["policy_version"]) == ("pack", f"1+night.{profile.digest}")
    _, answer, _ = gpualloc("plan", "--sim", "demo", "--policy", "pack")
    assert answer["data"]["policy_version"] == "1"


def test_a_configured_profile_decides_and_is_in_the_audit_trail(gpualloc, tmp_path, monkeypatch):
    profile, _ = saved(demo(tmp_path))
    monkeypatch.setenv("GPUALLOC_POLICY", "pack")
    monkeypatch.setenv("GPUALLOC_POLICY_PROFILE", "night")
    gpualloc("submit", "--sim", "demo", "--", "true")
    assert gpualloc("rebalance", "--sim", "demo")[0] == 0
    _, answer, _ = gpualloc("audit", "--sim", "demo")
    (entry,) = [entry for entry in answer["data"]["entries"] if entry["kind"] == "apply"]
    assert entry["detail"]["policy_version"] == f"1+night.{profile.digest}"
    _, answer, _ = gpualloc("plan", "--sim", "demo", "--policy", "first-fit")
    assert (answer["data"]["policy"], "+" in answer["data"]["policy_version"]) == ("first-fit", False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "there is no policy profile 'night'"),
        (lambda path: path.write_text("{"), "not a profile"),
        (
            lambda path: path.write_text(path.read_text().replace('"gpu.regret"', '"gpu.luck"')),
            "'gpu.luck' is not known",
        ),
        (lambda path: path.write_text(path.read_text().replace('"pack"', '"fgd"')), "a profile of the policy fgd"),
    ],
)
def test_a_missing_or_broken_profile_is_never_passed_over(gpualloc, tmp_path, change, message):
    _, path = saved(demo(tmp_path))
    change(path)
    for verb in (["plan"], ["rebalance"], ["apply", "--yes"]):
        code, answer, _ = gpualloc(*verb, "--sim", "demo", "--policy", "pack", "--policy-profile", "night")
        assert code == 2
        assert message in answer["errors"][0]["message"]


def test_policies_lists_a_broken_profile_as_broken(gpualloc, profiles):
    profile, _ = saved(profiles)
    saved(profiles, name="worn")[1].write_text("{")
    code, answer, _ = gpualloc("policies")
    assert code == 0
    assert [(one["name"], one["digest"]) for one in answer["data"]["profiles"]] == [
        ("night", profile.digest),
        ("worn", None),
    ]
    assert "worn.json: not a profile" in answer["errors"][0]["message"]


def test_what_is_in_a_profile_does_no_harm_on_a_terminal(gpualloc, profiles, tmp_path, capsys):
    _, path = saved(profiles)
    text = write_profile(Profile("night", "pack", {"a": 1.0}, made={"at": "\x1b[31mred"}))
    path.write_text(text)
    assert read_profile(text, "f").made["at"] == "\x1b[31mred"
    assert main(["policies", "--state-dir", str(tmp_path / "state")]) == 0
    out = capsys.readouterr().out
    assert "night" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("keep", [False, True])
def test_an_interrupted_search_saves_only_what_is_to_be_kept(trace, profiles, tmp_path, keep):
    command = [
        sys.executable,
        "-m",
        "gpualloc",
        "tune",
        "--name",
        "night",
        *trace,
        "--state-dir",
        str(tmp_path / "state"),
    ]
    command += ["--train-seeds", "0", "--validation-seeds", "7", "--budget", "1000000", "--patience", "1000000"]
    command += ["--jobs", "2", "--force", *(["--keep"] if keep else [])]
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", _TELLING, *command[3:]],
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"generation\n"
        # As Ctrl-C does: to the command and to its processes.
        os.killpg(process.pid, signal.SIGINT)
        out = process.communicate(timeout=60)[0].decode()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, log.read_text()
    assert profiles.names() == (("night",) if keep else ())
    assert ("it was interrupted" in out) == keep
    assert ("nothing was saved" in log.read_text()) != keep
    assert "Traceback" not in log.read_text()
    assert _group_is_gone(process.pid)


_TELLING = """
import sys
from gpualloc.engine.tune import Tuning
from gpualloc.cli.app import main
whole = Tuning._generation
def telling(self, asked):
    whole(self, asked)
    if self._generations == 1:
        print("generation", flush=True)
Tuning._generation = telling
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def _group_is_gone(group):
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("text", "found"), [("0", (0,)), ("0-3,8", (0, 1, 2, 3, 8)), ("5, 4,4", (4, 5)), ("7-7", (7,))]
)
def test_seeds_in_words(text, found):
    assert seeds("--train-seeds", text) == found


@pytest.mark.parametrize("text", ["", "-1", "3-1", "0-100000", "1;2", "1-", "0-900,1000-1900"])
def test_what_is_no_list_of_seeds(text):
    with pytest.raises(UsageError, match="--train-seeds"):
        seeds("--train-seeds", text)
