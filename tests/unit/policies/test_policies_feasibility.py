"""Whether the fleet could ever hold a request, and the sentence when it could not."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import scenes

from gpualloc.policies.feasibility import feasible

FLEET = scenes.snapshot(
    scenes.node("cpu01", cpus=128, memory_mib=1_000_000),
    scenes.node("gpu01", devices=8, claims=[{"device": n} for n in range(8)], cpus=32, reserved_cpus=2),
    scenes.node("gpu02", devices=[{"model": "NVIDIA A100-SXM4-40GB", "memory_mib": 40960, "mig": ["1g.5gb"] * 7}]),
    scenes.node("gpu03", devices=[{"model": "Tesla T4", "memory_mib": 15360, "state": "GPU lost"}]),
)


@pytest.mark.parametrize(
    "said",
    [
        {"gpus": 8},
        {"gpus": 7, "mig_profile": "1g.5gb"},
        {"gpu_model": "t4"},
        {"fraction": 0.5, "gpus": 8},
        {"gpus": 0, "cpus": 128, "memory_mib": 1_000_000},
        {"cpus": 30},
        {"gpu_memory_mib": 81495},
    ],
)
def test_busy_and_sick_devices_could_still_hold_it(said: dict[str, Any]) -> None:
    assert feasible(FLEET, scenes.request(**said)) is None


@pytest.mark.parametrize(
    ("said", "node", "detail"),
    [
        ({"gpus": 9}, "gpu01", "the largest node has 8 GPUs (gpu01: 8 × NVIDIA H100 80GB HBM3)"),
        ({"gpus": 2, "gpu_model": "t4"}, "gpu03", "the largest node has 1 such GPUs (gpu03: 1 × Tesla T4)"),
        ({"gpus": 8, "mig_profile": "1g.5gb"}, "gpu02", "the largest node has 7 MIG instances 1g.5gb"),
        ({"gpu_model": "B300"}, None, "no GPU matches 'B300'; the fleet has NVIDIA A100-SXM4-40GB, NVIDIA H100"),
        ({"gpu_model": "A100"}, None, "every GPU that matches is in MIG mode"),
        ({"gpu_memory_mib": 90000}, "gpu01", "has 81495 MiB of GPU memory to give (gpu01)"),
        (
            {"gpu_model": "T4", "gpu_memory_mib": 15360},
            "gpu03",
            "the largest GPU (Tesla T4) that matches has 15296 MiB",
        ),
        ({"mig_profile": "7g.80gb"}, None, "no MIG instance has the profile 7g.80gb; there are 1g.5gb"),
        ({"mig_profile": "1g.5gb", "gpu_model": "H100"}, None, "there is no MIG instance at all"),
        ({"gpus": 0, "cpus": 200}, "cpu01", "the largest node has 128 CPUs to give (cpu01)"),
        ({"gpus": 0, "memory_mib": 2_000_000}, "cpu01", "the largest node has 1000000 MiB of memory to give (cpu01)"),
        ({"cpuset": "100-200"}, "cpu01", "no node has CPUs 100-200; the largest has 128, counted from 0 (cpu01)"),
        ({"gpus": 4, "cpus": 31}, "gpu01", "no node has 4 free GPUs and 31 free CPUs together"),
        ({"nodes": ["cpu01"]}, None, "no node that answers has a GPU"),
        ({"nodes": ["gone"]}, None, "no node is called gone"),
    ],
)
def test_the_closest_is_named(said: dict[str, Any], node: str | None, detail: str) -> None:
    found = feasible(FLEET, scenes.request(**said))
    assert found is not None
    assert found.node == node
    assert detail in found.detail


def test_a_node_that_does_not_answer_rules_nothing_out() -> None:
    silent = scenes.snapshot(scenes.node("gpu01", devices=1), scenes.node("gpu02", state="unreachable"))
    assert feasible(silent, scenes.request(gpus=64)) is None
    assert feasible(silent, scenes.request(gpus=64, nodes=["gpu01"])) is not None


def test_why_a_node_has_no_gpu_is_told() -> None:
    fleet = scenes.snapshot(scenes.node("gpu01", nvml_reason="driver 570.1 and library 575.2 differ"))
    found = feasible(fleet, scenes.request())
    assert found is not None
    assert found.detail == "no node that answers has a GPU (gpu01: driver 570.1 and library 575.2 differ)"
