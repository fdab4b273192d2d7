"""Random problems for the contract of policies: strangers, claims, MIG, slices and faults in any mixture."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import scenes
from hypothesis import strategies as st

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem
from gpualloc.model.inventory import Node

_MODELS = ((scenes.H100, 81559), ("NVIDIA A100-SXM4-40GB", 40960), ("Tesla T4", 15360))
_PROFILES = ("1g.10gb", "2g.20gb")
_FRACTIONS = (0.1, 0.25, 0.3, 0.5, 0.7)
_PATHS = ("/data/a", "/data/b")
_MEMORY = (None, 500, 5000, 15296, 20000, 81495)


def _devices() -> st.SearchStrategy[dict[str, Any]]:
    model = st.sampled_from(_MODELS).map(lambda pair: {"model": pair[0], "memory_mib": pair[1]})
    rest = st.fixed_dictionaries(
        {},
        optional={
            "used_mib": st.sampled_from((None, 0, 700, 5000, 14000)),
            "state": st.sampled_from(("ok", "ok", "ok", "driver not answering", "GPU lost")),
            "cordon": st.sampled_from((None, None, "fan noise")),
            "power_limit_w": st.sampled_from((70.0, 700.0)),
            "numa_node": st.sampled_from((None, 0, 0, 1)),
            "mig": st.lists(st.sampled_from(_PROFILES), max_size=3),
        },
    )
    return st.builds(lambda one, two: {**one, **two}, model, rest)


@st.composite
def _nodes(draw: st.DrawFn, number: int) -> Node:
    devices = draw(st.lists(_devices(), max_size=4))
    places = [str(index) for index in range(len(devices))]
    places += [f"{index}/{n}" for index, of in enumerate(devices) for n in range(len(of.get("mig", ())))]
    claims, processes = [], []
    for place in draw(st.lists(st.sampled_from(places), max_size=3, unique=True)) if places else []:
        share = "mig" if "/" in place else draw(st.sampled_from(("exclusive", "time-slice", "mps")))
        claim = {"device": place, "workload": f"c{number}{place}", "share": share}
        if share == "time-slice":
            claim |= {"fraction": draw(st.sampled_from(_FRACTIONS)), "memory_mib": draw(st.sampled_from(_MEMORY))}
        claims.append(claim)
    for place in draw(st.lists(st.sampled_from(places), max_size=2)) if places else []:
        owner = draw(st.sampled_from((None, f"c{number}{place}", "elsewhere")))
        memory_mib = draw(st.sampled_from((None, 300, 4000)))
        processes.append({"device": place, "workload": owner, "memory_mib": memory_mib})
    return scenes.node(
        f"n{number}",
        devices=devices,
        claims=claims,
        processes=processes,
        cpus=draw(st.sampled_from((None, 4, 16))),
        reserved_cpus=draw(st.sampled_from((0.0, 2.0))),
        memory_mib=draw(st.sampled_from((None, 8000, 64000))),
        reserved_memory_mib=draw(st.sampled_from((0, 4000))),
        available_mib=draw(st.sampled_from((None, 6000))),
        state=draw(st.sampled_from(("ok", "ok", "ok", "unreachable"))),
        manage=draw(st.sampled_from((None, None, True, False))),
        cordon=draw(st.sampled_from((None, None, None, "new disks"))),
        labels=draw(st.sampled_from(({}, {"rack": "r1"}, {"rack": "r2", "disk": "nvme", "speed": "2"}))),
        price=draw(st.sampled_from((None, None, 0.0, 2.0))),
        near=draw(st.dictionaries(st.sampled_from(_PATHS), st.sampled_from((True, True, False, None)))),
        other_controllers=draw(st.sampled_from(((), (), ("slurmd",)))),
    )


def _requests() -> st.SearchStrategy[dict[str, Any]]:
    host = {
        "cpus": st.sampled_from((0.5, 3, 12)),
        "cpuset": st.sampled_from(("0-3", "9")),
        "memory_mib": st.sampled_from((1000, 6000)),
        "priority": st.integers(-1, 1),
        "labels": st.sampled_from(({"rack": "r1"}, {"rack": "r2"}, {"rack": "r9"}, {"rack": "r1", "disk": "nvme"})),
        "near": st.lists(st.sampled_from(_PATHS), min_size=1, max_size=2, unique=True),
        "nodes": st.lists(st.sampled_from(("n0", "n1", "n2", "n9")), max_size=2, unique=True),
    }
    gpu = {
        "gpus": st.integers(1, 3),
        "gpu_model": st.sampled_from(("h100", "nvidia*", "T4", "B300", "t4|*A100*")),
        "numa": st.booleans(),
        "gpu_memory_mib": st.sampled_from(_MEMORY[1:]),
    }
    return st.one_of(
        st.fixed_dictionaries({"gpus": st.just(0)}, optional=host),
        st.fixed_dictionaries({}, optional={**host, **gpu}),
        st.fixed_dictionaries({"fraction": st.sampled_from(_FRACTIONS)}, optional={**host, **gpu}),
        st.fixed_dictionaries(
            {"gang": st.just(True), "gpus": st.integers(1, 6)},
            optional={**host, "gpu_model": gpu["gpu_model"], "gpu_memory_mib": gpu["gpu_memory_mib"]},
        ),
        st.fixed_dictionaries(
            {"gang": st.just(True), "gpus": st.sampled_from((2, 4, 6)), "per_node": st.sampled_from((1, 2))},
            optional=host,
        ),
        st.fixed_dictionaries({"mig_profile": st.sampled_from(_PROFILES)}, optional={**host, **gpu}),
    )


@st.composite
def _running(draw: st.DrawFn, nodes: list[Node]) -> list[Allocation]:
    """Allocations in our books: some with their claim, some whose claim is gone, on devices that nobody else claims."""
    found = []
    for node in nodes:
        for device in node.devices:
            claimed = [claim for claim in node.claims if claim.device == device.uuid]
            kind = draw(st.sampled_from(("none", "none", "slice", "claimed")))
            if kind == "slice" and not claimed and not device.mig_enabled:
                where, said = str(device.index), {"share": "time-slice", "fraction": 0.25, "gpu_memory_mib": 2000}
                found.append(scenes.allocation(f"r{device.uuid}", node.name, where, cpus=1.0, memory_mib=500, **said))
            elif kind == "claimed" and claimed and claimed[0].mig_instance is None:
                claim = claimed[0]
                said = {"share": claim.share, "fraction": claim.fraction, "gpu_memory_mib": claim.memory_mib}
                found.append(scenes.allocation(claim.workload, node.name, str(device.index), cpus=0.5, **said))
    return found


@st.composite
def _problems(draw: st.DrawFn) -> Problem:
    nodes = [draw(_nodes(number)) for number in range(draw(st.integers(0, 3)))]
    said = draw(st.lists(_requests(), min_size=1, max_size=6))
    requests = [scenes.workload(f"q{number}", **of) for number, of in enumerate(said)]
    return scenes.problem(nodes, requests, draw(_running(nodes)))


PROBLEMS = _problems()


@pytest.fixture(scope="session")
def problems() -> st.SearchStrategy[Problem]:
    """The strategy, for `data.draw(problems)`."""
    return PROBLEMS
