"""The command line as a whole: what it imports, what it takes, where."""

import subprocess
import sys
from pathlib import Path

import pytest

from gpualloc.cli.app import VERBS

HEAVY = ("typer", "textual", "rich", "pydantic", "numpy", "sqlite_utils", "ClusterShell", "psutil", "pynvml", "sqlite3")


def imported(*arguments):
    """Modules that a fresh interpreter has loaded once the command line has answered."""
    code = (
        "import sys\n"
        f"sys.argv[1:] = {list(arguments)!r}\n"
        "from gpualloc.__main__ import main\n"
        "main()\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return ran.stdout, set(ran.stderr.split())


def test_the_version_needs_nothing():
    out, modules = imported("--version")
    assert out.startswith("gpualloc 0.")
    assert not modules & {*HEAVY, "gpualloc.cli"}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_needs_typer_and_the_table_only(arguments):
    out, modules = imported(*arguments)
    assert all(name in out for name, verb in VERBS.items() if not verb.hidden)
    assert "__complete" not in out
    assert not modules & set(HEAVY[1:])
    assert {name for name in modules if name.startswith("gpualloc.cli.")} == {
        "gpualloc.cli.app",
        "gpualloc.cli.outcome",
        "gpualloc.cli.shared",
    }


@pytest.mark.parametrize("verb", ["nodes", "ps", "status"])
def test_a_verb_that_reads_stays_light(verb):
    _, modules = imported(verb, "--help")
    assert not modules & {"textual", "rich", "pydantic", "numpy", "sqlite_utils", "ClusterShell", "psutil"}
    others = {"top", "plan", "apply", "submit", "history"}
    assert not modules & {f"gpualloc.cli.{name}" for name in others}


def test_the_version_is_also_told_behind_other_options(run):
    assert run("--sim", "demo", "--version").out.startswith("gpualloc 0.")


@pytest.mark.parametrize("verb", [name for name, verb in VERBS.items() if not verb.hidden])
def test_every_verb_explains_itself(run, verb):
    ran = run(verb, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: gpualloc {verb}")


@pytest.mark.parametrize(("typed", "meant"), [("nods", "nodes"), ("rebalence", "rebalance"), ("histroy", "history")])
def test_a_mistyped_verb_gets_the_nearest(run, typed, meant):
    ran = run(typed)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: {typed!r} is not a verb of gpualloc\nhint: did you mean `gpualloc {meant}`?\n"


def test_a_word_like_no_verb_gets_the_list(run):
    assert "`gpualloc --help` lists the verbs" in run("zzzzzz").err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sim", "demo", "--state-dir", "/s", "--config", "/c", "ps"],
        ["ps", "--sim", "demo", "--state-dir", "/s", "--config", "/c"],
        ["--sim", "other", "--state-dir", "/s", "ps", "--sim", "demo", "--config", "/c"],
    ],
)
def test_options_of_the_world_stand_before_or_behind_the_verb(run, world, arguments):
    assert run(*arguments).code == 0
    (options,) = world.options
    assert (options.sim, options.state_dir, options.config) == ("demo", Path("/s"), Path("/c"))


def test_the_environment_is_the_default_and_a_flag_wins(run, world, monkeypatch):
    monkeypatch.setenv("GPUALLOC_SIM", "fromenv")
    monkeypatch.setenv("GPUALLOC_STATE_DIR", "/env")
    run("ps")
    run("--sim", "flag", "ps")
    run("ps", "--sim", "flag")
    assert [(options.sim, str(options.state_dir)) for options in world.options] == [
        ("fromenv", "/env"),
        ("flag", "/env"),
        ("flag", "/env"),
    ]


def test_nothing_given_is_nothing(run, world):
    run("ps")
    (options,) = world.options
    assert (options.config, options.sim, options.state_dir, dict(options.overrides)) == (None, None, None, {})


def test_a_policy_is_a_configuration_override(run, world):
    run("rebalance", "--policy", "spread", "--dry-run")
    assert dict(world.options[0].overrides) == {"policy": "spread", "policy_profile": ""}


def test_a_profile_is_a_configuration_override(run, world):
    run("rebalance", "--policy-profile", "night", "--dry-run")
    run("rebalance", "--policy", "pack", "--policy-profile", "night", "--dry-run")
    assert [dict(options.overrides) for options in world.options] == [
        {"policy_profile": "night"},
        {"policy": "pack", "policy_profile": "night"},
    ]
