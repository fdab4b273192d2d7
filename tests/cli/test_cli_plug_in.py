"""A policy in a package of its own, really installed: listed, used by plan, used by simulate; its own tests pass."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "docs" / "examples" / "gpualloc-policy-coolest"
pytestmark = pytest.mark.xdist_group("plug-in")  # installed once


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the package in it, as pip leaves it."""
    folder = tmp_path_factory.mktemp("site")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--no-compile", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", folder, PACKAGE],
        check=True,
        timeout=240,
    )
    return folder


@pytest.fixture
def installed(site, tmp_path):
    """Run a Python program where the package is installed."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("GPUALLOC")}
    env = {**inherited, "PYTHONPATH": str(site), "GPUALLOC_STATE_DIR": str(tmp_path / "state")}

    def run(*arguments, **more):
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            command, env={**env, **more}, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_it_is_listed_without_being_imported(installed):
    done = installed("-X", "importtime", "-m", "gpualloc", "policies", "--json")
    listed = {one["name"]: one for one in json.loads(done.stdout)["data"]["policies"]}
    assert listed["coolest"]["kind"] == "plug-in"
    assert listed["coolest"]["source"] == "gpualloc-policy-coolest 1.0"
    assert "gpualloc.policies.catalog" in done.stderr
    assert "gpualloc_policy_coolest" not in done.stderr


def test_plan_decides_by_it(installed, tmp_path):
    (tmp_path / "cluster.toml").write_text('[[nodes]]\nname = "n[1-2]"\ngpus = ["2xH100-80GB"]\n')
    (tmp_path / "config.toml").write_text('policy = "coolest"\n')
    ours = ("-m", "gpualloc", "--config", "config.toml", "--sim", "cluster.toml")
    devices = [
        (device["temperature_c"], node["name"], device["index"])
        for node in json.loads(installed(*ours, "nodes", "--json").stdout)["data"]["nodes"]
        for device in node["devices"]
    ]
    installed(*ours, "submit", "--gpus", "1", "--", "sleep", "60")
    plan = json.loads(installed(*ours, "plan", "--json").stdout)["data"]
    assert plan["policy"] == "coolest"
    (step,) = (step for step in plan["steps"] if step["kind"] == "claim")
    _, coolest, _ = min(devices)
    assert step["node"] == coolest


def test_simulate_packs_by_it(installed, tmp_path):
    (tmp_path / "nodes.csv").write_text("name,cpus,memory_mib,gpus,gpu_model\nn1,8,65536,2,L4\nn2,8,65536,1,L4\n")
    (tmp_path / "tasks.csv").write_text("cpus,memory_mib,gpus,fraction\n2,1024,1,0.5\n2,1024,1,\n4,2048,2,\n1,64,0,\n")
    files = ("--nodes", "nodes.csv", "--tasks", "tasks.csv", "--seed", "1")
    done = installed("-m", "gpualloc", "simulate", "packing", *files, "--policy", "coolest", "--json")
    data = json.loads(done.stdout)["data"]
    assert (data["policy"], data["violations"], data["refusals_that_fitted"]) == ("coolest", 0, 0)


def test_its_own_tests_pass(installed):
    installed(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        "--rootdir",
        PACKAGE,
        PACKAGE,
        PYTHONDONTWRITEBYTECODE="1",
    )
