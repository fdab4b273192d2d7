"""A simulated node and a real node program over the same GPU answer the same steps alike."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes.nvml_library import NvmlLibrary, installed

from gpualloc.node import partitioning, setting
from gpualloc.node.nvml import Nvml
from gpualloc.node.wire import Refused
from gpualloc.sim.cluster import ClusterSpec, HostSpec
from gpualloc.sim.gpu import GpuModel
from gpualloc.sim.host import SimulatedHost
from gpualloc.sim.state import SimulatedCluster

LENGTH = 250


def steps(gpu: GpuModel, chance: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """Verbs and steps, many of which can be done and many of which cannot."""
    table = gpu.kind.mig
    assert table is not None
    made = [str(gpu.mig_uuid(gi)) for gi in gpu.gi_order()[:4]]
    walk = []
    for _ in range(LENGTH):
        profile = chance.choice(table.profiles)
        place = f"{profile.name}@{chance.choice([*profile.starts, 1])}"
        low, high = chance.choice([(0, 0), (300, 600), (600, 300)])
        wanted = {"power_limit_w": float(chance.choice([90, 150, 300, 5000]))} if chance.random() < 0.5 else {}
        if chance.random() < 0.5:
            wanted.update(sm_clock_min_mhz=low, sm_clock_max_mhz=high)
        if chance.random() < 0.3:
            wanted.update(compute_mode=chance.choice(["default", "prohibited"]))
        kind, fields = chance.choices(
            [
                ("mig-create", {"place": place, "mig_instance": None}),
                ("mig-destroy", {"place": place, "mig_instance": chance.choice([None, None, *made])}),
                ("mig-mode", {"mig_enabled": chance.random() < 0.8}),
                ("set", {"wanted": wanted, "before": {}}),
            ],
            weights=[8, 6, 2, 3],
        )[0]
        step = {"kind": kind, "device": gpu.uuid, "workload": None, "attempt": 0, "controller": "c" * 32, **fields}
        walk.append((chance.choice(["do", "do", "do", "verify", "preflight", "undo"]), step))
    return walk


def outcome(part: Any, verb: str, step: dict[str, Any]) -> Any:
    try:
        facts = getattr(part, verb)(step)
    except Refused as refused:
        return refused.reason
    if facts and "settings" in facts:
        # What was never locked here is not known to a real node program.
        facts = {**facts, "settings": {name: value or None for name, value in facts["settings"].items()}}
        for name in ("sm_clock_min_mhz", "sm_clock_max_mhz"):
            facts["settings"].setdefault(name, None)
        facts["settings"].pop("power_limit_w")
        facts.pop("holds", None)
    return facts


@pytest.mark.parametrize("model", ["A100-40GB", "A30-24GB", "H100-80GB"])
def test_a_simulated_node_answers_steps_as_a_real_one(tmp_path: Path, model: str) -> None:
    spec = HostSpec("n1", (model,), cpus=8, memory_gib=64)
    host: SimulatedHost = SimulatedCluster.start(ClusterSpec("test", (spec,)), 1000.0).host("n1", 1000.0)
    twin = GpuModel.from_plain(host.gpus[0].to_plain())
    walk = steps(twin, random.Random(model))
    with installed(NvmlLibrary([twin])):
        parts = SimpleNamespace(
            nvml=Nvml(10.0),
            state_dir=str(tmp_path / "state"),
            boot_id="boot",
            claim_folders=None,
            workloads=SimpleNamespace(records=list),
        )
        handlers = {
            kind: module.Handler(parts)  # type: ignore[arg-type]
            for module, kinds in ((partitioning, ("mig-mode", "mig-create", "mig-destroy")), (setting, ("set",)))
            for kind in kinds
        }
        real = [outcome(handlers[step["kind"]], verb, step) for verb, step in walk]
    simulated = [outcome(host, verb, step) for verb, step in walk]
    assert list(zip(walk, simulated, strict=True)) == list(zip(walk, real, strict=True))
    assert {"failed", "bad-request", "not-supported", "in-use", "gone"} <= {each for each in real if type(each) is str}
    assert twin.held == host.gpus[0].held
