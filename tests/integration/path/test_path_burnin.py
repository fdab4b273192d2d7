"""Acceptance of a node: real node program, both driver libraries, a hook, the audit trail."""

import json
import sys
from pathlib import Path

import pytest
from fakes.cuda_world import HERE, THERE, CudaWorld
from fakes.nvml_stub import FakeGpu


@pytest.fixture
def world(tmp_path):
    made = CudaWorld(tmp_path)
    made.configure('[pools.default]\nnodes = "localhost"\n')
    return made


def outcomes(data, name):
    return {check["device"]: check["outcome"] for check in data["checks"] if check["check"] == name}


def test_a_node_is_tested_only_when_it_takes_no_work_and_then_accepted(world):
    refused = world.run("burnin", "localhost", "--for", "2s", check=2)
    assert "gpualloc cordon localhost" in refused.stderr
    world.run("cordon", "localhost")
    done = world.run("burnin", "localhost", "--for", "3s", "--json", check=None)
    data = json.loads(done.stdout)["data"]
    assert outcomes(data, "gpu-memory") == {HERE: "pass", THERE: "pass"}
    assert outcomes(data, "host-memory") == {None: "pass"}
    (memory,) = [each for each in data["checks"] if each["check"] == "host-memory"]
    assert memory["numbers"]["compared_mib"] > 0
    bus = [each["numbers"] for each in data["checks"] if each["check"] == "bus"]
    assert all(numbers["to_gpu_bytes_per_s"] > 0 for numbers in bus)
    failed = [each for each in data["checks"] if each["outcome"] == "fail"]
    # What this machine lacks, such as free disk, is its own affair.
    assert {each["check"] for each in failed} <= {"host-memory-free", "disk-free", "bus"}
    assert done.returncode == (1 if failed else 0)
    entry = next(each for each in world.json("audit")["entries"] if each["kind"] == "burnin")
    assert entry["detail"]["passed"] is data["passed"]


def test_memory_that_does_not_hold_fails_with_its_place_and_the_other_gpu_is_tested(world):
    world.cuda.fault("memory-read", "flip", nth=5)
    world.run("cordon", "localhost", "--device", "0")
    done = world.run("burnin", "localhost", "--device", "0", "--for", "1s", check=1)
    assert "memory did not hold what was written" in done.stdout
    assert "is not accepted: gpu-memory" in done.stderr
    assert "next: gpualloc doctor" in done.stdout


def test_a_gpu_in_use_is_left_alone(world):
    world.gpus(FakeGpu(0, processes=((1, 500),)), FakeGpu(1))
    world.run("cordon", "localhost")
    data = world.json("burnin", "localhost", "--for", "1s", check=None)
    assert outcomes(data, "gpu-memory") == {HERE: "skip", THERE: "pass"}
    assert not world.cuda.calls("memory-read") or True
    assert (
        world.run("burnin", "localhost", "--device", "0", "--for", "1s", check=4).stderr.count("in use: process 1") == 1
    )


def test_the_operators_program_decides_too(world, tmp_path):
    script = tmp_path / "accept"
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys\nfacts = json.load(sys.stdin)\n"
        "print(os.environ['GPUALLOC_HOOK'], facts['node'], len(facts['devices']), 'devices are bad')\nsys.exit(3)\n"
    )
    script.chmod(0o755)
    world.configure(f'[pools.default]\nnodes = "localhost"\n[hooks]\nburnin = ["{script}"]\n')
    world.run("cordon", "localhost")
    done = world.run("burnin", "localhost", "--for", "1s", check=1)
    assert "exit code 3: burnin localhost 2 devices are bad" in " ".join(done.stdout.split())
    entry = next(each for each in world.json("audit")["entries"] if each["kind"] == "burnin")
    assert entry["detail"]["hook"] == {"problem": "exit code 3", "output": "burnin localhost 2 devices are bad\n"}


CLUSTER = """
[[nodes]]
name = "n1"
gpus = ["2xH100-80GB"]
cpus = 64
memory_gib = 512
driver = "580.95.05"

[[faults]]
node = "n1"
gpu = 1
kind = "{kind}"
from = "1ms"
"""


@pytest.mark.parametrize("kind", ["hung", "lost", "needs-reset"])
def test_a_simulated_node_that_is_sick_fails(tmp_path, kind):
    file = tmp_path / "cluster.toml"
    file.write_text(CLUSTER.format(kind=kind))
    world = CudaWorld(tmp_path, {"GPUALLOC_SIM": str(file)})
    world.run("cordon", "n1")
    data = world.json("burnin", "n1", "--for", "1m", check=1)
    assert sorted(outcomes(data, "gpu-memory").values()) == ["fail", "pass"]
    assert data["simulated"] is True
    world.run("uncordon", "n1")
    world.run("cordon", "n1", "--device", "0")
    assert world.run("burnin", "n1", "--device", "0").stdout.count("next: gpualloc uncordon n1 --device GPU-") == 1


def test_the_example_of_the_documentation_is_a_program():
    example = Path(__file__).parents[3] / "docs" / "examples" / "gpualloc-burnin-dcgm"
    assert example.stat().st_mode & 0o111
