"""Both driver libraries of tests/fakes go through the same changes alike."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pynvml
import pytest
from fakes import nvml_moves
from fakes.nvml_library import NvmlLibrary, installed
from fakes.nvml_stub import environment, fake_gpu, write_state

from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import GpuModel

READER = Path(__file__).parent / "nvml_reader.py"
LENGTH = 600


def moves(gpu: GpuModel, chance: random.Random) -> list[str]:
    """A random walk through changes, many of which can be made and many of which cannot."""
    table = gpu.kind.mig
    assert table is not None
    walk = ["switch(0, 1)"]
    for _ in range(LENGTH):
        profile, gi = chance.choice(table.profiles), chance.choice(gpu.gi_order()[:4])
        walk += chance.choices(
            [
                [f"make(0, {profile.id}, {chance.choice([*profile.starts, 1, 9])})"],
                [f"finish(0, {gi}, {chance.randint(0, 8)})"],
                [f"compute_profiles(0, {gi})"],
                [f"strip(0, {gi})", f"drop(0, {gi})"],
                [f"drop(0, {gi})"],
                ["devices(0)", f"capacity(0, {profile.id})"],
                [f"switch(0, {chance.choice([0, 1, 1, 1])})"],
                [f"limit(0, {chance.randint(0, 800_000)})", f"clocks(0, {chance.choice([0, 300])}, 300)"],
                [f"compute_mode(0, {chance.randint(0, 4)})", f"persistence(0, {chance.randint(0, 1)})"],
            ],
            weights=[20, 30, 5, 5, 10, 5, 4, 5, 5],
        )[0]
    return walk


@pytest.mark.parametrize("model", ["A100-40GB", "A30-24GB", "H100-80GB", "RTX-PRO-6000-96GB"])
def test_both_libraries_answer_a_walk_of_changes_alike(tmp_path: Path, model: str) -> None:
    gpu = GpuModel(find(model), "GPU-0", 0, seed=4)
    walk = moves(gpu, random.Random(model))
    state = tmp_path / "nvml"
    write_state(state, [fake_gpu(gpu, 0.0)])
    through_c = subprocess.run(
        [sys.executable, str(READER)],
        env={**os.environ, **environment(state), "PYTHONPATH": str(Path(__file__).parents[2])},
        input="\n".join(walk) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout.splitlines()
    with installed(NvmlLibrary([gpu])):
        pynvml.nvmlInit()
        through_python = [eval(move, vars(nvml_moves)) for move in walk]
        pynvml.nvmlShutdown()
    answers: list[Any] = [json.loads(line) for line in through_c]
    assert list(zip(walk, answers, strict=True)) == list(zip(walk, through_python, strict=True))
    told = set(map(str, through_python))
    assert {"NVMLError_InsufficientResources", "NVMLError_InUse", "NVMLError_InvalidArgument"} <= told
