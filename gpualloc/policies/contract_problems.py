"""The problems of the contract. Nearly all have one place that will do, and others that are ruled out by one filter
each, so that a policy without that filter takes them, whatever it likes best.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gpualloc.model.allocation import Grant, Share
from gpualloc.model.decision import Expected, Problem
from gpualloc.model.inventory import Device, DeviceState, Node, NodeState
from gpualloc.model.workload import Request
from gpualloc.policies.contract_parts import (
    CARD_MIB,
    OTHER,
    SLICE,
    SLICE_MIB,
    claim,
    device,
    instance,
    node,
    one_place,
    problem,
    process,
    profile,
    running,
)

_PATH = "/data/set"
_PART: dict[str, Any] = {"fraction": 0.6}
_MPS: dict[str, Any] = {"fraction": 0.6, "share_asked": Share.MPS}
_MIG: dict[str, Any] = {"mig_profile": SLICE}


def all_problems() -> Mapping[str, Problem]:
    """The problems by what they are about."""
    parts = {**_of_parts(Share.TIME_SLICE), **_of_parts(Share.MPS)}
    return {**_of_nodes(), **_of_hosts(), **_of_devices(), **_of_several(), **parts, **_of_mig(), **_of_all()}


def _beside(good: Node | None = None, **said: Any) -> Problem:
    """Nodes of one idle device: `a` with what is said of it, and `b`; what is asked comes under `asked`."""
    asked = said.pop("asked", {})
    return one_place(node("a", device("a"), **said), good or node("b", device("b")), **asked)


def _of_nodes() -> dict[str, Problem]:
    near, there = {"near": (_PATH,)}, node("b", device("b"), near={_PATH: True})
    rack, in_rack = {"labels": (("rack", "r1"),)}, node("b", device("b"), labels={"rack": "r1"})
    return {
        "a node that does not answer": _beside(state=NodeState.UNREACHABLE),
        "a node that is only observed": _beside(manage=False),
        "a node of another controller": _beside(other_controllers=("slurmd",)),
        "a cordoned node": _beside(cordon="new disks"),
        "a cordoned node, for work without GPUs": _beside(
            node("b", cpus=8), cordon="new disks", asked={"gpus": 0, "cpus": 5.0}
        ),
        "a node of another name": _beside(asked={"nodes": ("b", "c")}),
        "a node without the label": _beside(in_rack, asked=rack),
        "a node with another value of the label": _beside(in_rack, labels={"rack": "r2"}, asked=rack),
        "a path that is not on the node": _beside(there, near={_PATH: False}, asked=near),
        "a path of which the node does not know": _beside(there, near={_PATH: None}, asked=near),
        "a path that the node was not asked for": _beside(there, asked=near),
    }


def _of_hosts() -> dict[str, Problem]:
    asks_cpus, asks_memory = {"cpus": 8.0}, {"memory_mib": 8000}
    nothing, good = {"gpus": 0}, node("b", device("b"), cpus=8, memory_mib=8000)
    busy, pair = node("a", device("a"), cpus=12, memory_mib=12000), (device("a"), device("a", 1))
    return {
        "CPUs that running work has": one_place(busy, good, running("a", cpus=6.0), **asks_cpus),
        "CPUs that are reserved": _beside(good, cpus=8, reserved_cpus=0.5, asked=asks_cpus),
        "an unknown number of CPUs": _beside(good, cpus=None, asked=asks_cpus),
        "CPUs that were just given": problem((node("a", *pair, cpus=12),), (asks_cpus, asks_cpus)),
        "CPUs for work without GPUs": problem((node("a", cpus=12),), (asks_cpus | nothing, asks_cpus | nothing)),
        "a CPU list beyond the CPUs": _beside(good, cpus=4, asked={"cpuset": "2-5"}),
        "a CPU list on unknown CPUs": _beside(good, cpus=None, asked={"cpuset": "2-5"}),
        "memory that running work has": one_place(busy, good, running("a", memory_mib=6000), **asks_memory),
        "memory that is reserved": _beside(good, memory_mib=8000, reserved_memory_mib=1, asked=asks_memory),
        "an unknown amount of memory": _beside(good, memory_mib=None, asked=asks_memory),
        "memory that is in use as measured": _beside(good, available_mib=7999, asked=asks_memory),
        "memory that was just given": problem((node("a", *pair, memory_mib=12000),), (asks_memory, asks_memory)),
        "measured memory that was just given": problem(
            (node("a", *pair, available_mib=12000),), (asks_memory, asks_memory)
        ),
    }


def _on(bad: Device, asked: dict[str, Any], **said: Any) -> Problem:
    """Two requests; a node `a` with that device and what is said of it, and `b` with an idle one."""
    return one_place(node("a", bad, **said), node("b", device("b")), **asked)


def _of_devices() -> dict[str, Problem]:
    """What rules a whole device out, and a part of one too where that is so."""
    plain = device("a")
    found = {
        f"{what}, {how}": _on(bad, asked)
        for how, asked in (("for a whole device", {}), ("for a time slice", _PART), ("for MPS", _MPS))
        for what, bad in (
            ("a lost device", device("a", state=DeviceState.LOST)),
            ("a device that does not answer", device("a", state=DeviceState.HUNG)),
            ("a cordoned device", device("a", cordon="fan noise")),
            ("a device in MIG mode", device("a", mig=1)),
            ("unknown memory in use", device("a", memory_used_mib=None)),
            ("an unknown amount of GPU memory", device("a", memory_total_mib=None)),
        )
    }
    other = device("a", model="NVIDIA A100-SXM4-40GB")
    part_of_it = claim(plain, share=Share.TIME_SLICE, fraction=0.1, memory_mib=100)
    in_our_books = running("a", Grant(plain.uuid, Share.EXCLUSIVE))
    return found | {
        "a device of another model": _on(other, {"gpu_model": "h100"}),
        "a time slice of a device of another model": _on(other, _PART | {"gpu_model": "T4 | *H100*"}),
        "MPS on a device of another model": _on(other, _MPS | {"gpu_model": "T4 | *H100*"}),
        "a node without MPS": _on(plain, _MPS, mps=False),
        "a device that is claimed": _on(plain, {}, claims=(claim(plain),)),
        "a device that another controller claimed": _on(plain, {}, claims=(claim(plain, controller="theirs"),)),
        "a device of which a part is claimed": _on(plain, {}, claims=(part_of_it,)),
        "a device that is booked without a claim": one_place(node("a", plain), node("b", device("b")), in_our_books),
        "a process that nobody booked": _on(plain, {}, processes=(process(plain, 300),)),
        "a process of work that has no booking": _on(plain, {}, processes=(process(plain, 300, workload="gone"),)),
        "memory that no process accounts for": _on(device("a", memory_used_mib=CARD_MIB // 8), {}),
        "a device that is too small": _on(device("a", memory_total_mib=40960), {"gpu_memory_mib": 60000}),
        "a device with too much in use": _on(device("a", memory_used_mib=4000), {"gpu_memory_mib": 80000}),
        "a device without the margin of nodes": _on(device("a", memory_total_mib=80000), {"gpu_memory_mib": 79990}),
    }


def _of_several() -> dict[str, Problem]:
    """What rules a node out for work on two devices."""
    pair = [device("b", index, numa_node=0) for index in range(2)]
    near_two = [device("a", index, numa_node=index) for index in range(2)]
    near_none = [device("a", 0, numa_node=0), device("a", 1)]
    two, near = {"gpus": 2}, {"gpus": 2, "numa": True}
    return {
        "too few devices": one_place(node("a", device("a")), node("b", *pair), **two),
        "one of two devices claimed": one_place(
            node("a", *near_two, claims=(claim(near_two[1]),)), node("b", *pair), **two
        ),
        "devices near two NUMA nodes": one_place(node("a", *near_two), node("b", *pair), **near),
        "devices near an unknown NUMA node": one_place(node("a", *near_none), node("b", *pair), **near),
        "a device near an unknown NUMA node": one_place(node("a", device("a")), node("b", pair[0]), gpus=1, numa=True),
        "parts of several devices": problem((node("a", *near_two),), ({"fraction": 0.4, "gpus": 2},) * 3),
        "parts of devices near two NUMA nodes": one_place(node("a", *near_two), node("b", *pair), **near | _PART),
    }


def _of_parts(share: Share) -> dict[str, Problem]:
    """What rules a device out of which a part is asked for in one of the ways of sharing."""
    other = Share.MPS if share is Share.TIME_SLICE else Share.TIME_SLICE
    plain, in_use = device("a"), device("a", memory_used_mib=60000)
    part = _PART | {"share_asked": share}
    asks_memory = part | {"gpu_memory_mib": 30000}
    small = claim(plain, share=share, fraction=0.2, memory_mib=1000)
    found = {
        "too little compute left": _on(plain, part, claims=(replace(small, fraction=0.5),)),
        "a device that is given whole": _on(plain, part, claims=(claim(plain),)),
        "a device that is shared otherwise": _on(plain, part, claims=(replace(small, share=other),)),
        "GPU memory that is promised": _on(plain, asks_memory, claims=(replace(small, memory_mib=60000),)),
        "GPU memory that strangers use": _on(in_use, asks_memory, processes=(process(in_use, 60000),)),
        "GPU memory used beyond what was promised": _on(
            in_use, asks_memory, claims=(small,), processes=(process(in_use, 60000, workload=OTHER),)
        ),
        "GPU memory that no process accounts for": _on(in_use, asks_memory),
        "a part too small for any memory": _on(device("a", memory_total_mib=100), part),
        "parts that were just given": problem((node("a", plain),), (part | {"fraction": 0.3},) * 5),
        "GPU memory that was just given": problem((node("a", plain),), (asks_memory | {"fraction": 0.1},) * 4),
    }
    return {f"{about}, for {share}": one for about, one in found.items()}


def _of_mig() -> dict[str, Problem]:
    """What rules a MIG instance out."""
    good, plain = node("b", device("b", mig=1)), device("a", mig=1)
    place = plain.mig_instances[0].uuid
    by_memory, by_sm = {"share_asked": Share.MIG, "gpu_memory_mib": 9000}, _MIG | {"sm_count": 16}
    several = _MIG | {"gpus": 2, "several_instances": True}
    pair = node("b", device("b", mig=2))

    def on(bad: Device, asked: dict[str, Any], **said: Any) -> Problem:
        return one_place(node("a", bad, **said), good, **asked)

    def with_instance(**said: Any) -> Device:
        return device("a", mig=1, mig_instances=(instance(**said),))

    return {
        "an instance of another profile": on(with_instance(profile="2g.20gb"), _MIG),
        "an instance on another model": on(device("a", mig=1, model="NVIDIA B200"), _MIG | {"gpu_model": "H100"}),
        "an instance on a device out of MIG mode": on(device("a", mig=1, mig_enabled=False), _MIG),
        "an instance on a lost device": on(device("a", mig=1, state=DeviceState.LOST), _MIG),
        "an instance on a cordoned device": on(device("a", mig=1, cordon="fan noise"), _MIG),
        "an instance on a cordoned node": on(plain, _MIG, cordon="new disks"),
        "an instance that is claimed": on(plain, _MIG, claims=(claim(plain, place),)),
        "an instance on a device that is claimed": on(plain, _MIG, claims=(claim(plain),)),
        "an instance that a stranger uses": on(plain, _MIG, processes=(process(plain, 300, mig_instance=place),)),
        "a stranger on nobody knows which instance": on(plain, _MIG, processes=(process(plain, 300),)),
        "an instance that is too small": on(with_instance(memory_total_mib=4864), by_memory),
        "an instance with too much in use": on(with_instance(memory_used_mib=SLICE_MIB - 9000), by_memory),
        "an instance that does not tell its memory": on(with_instance(memory_used_mib=None), by_memory),
        "too few multiprocessors": on(device("a", mig=1, mig_profiles=(profile(8),)), by_sm),
        "an unknown number of multiprocessors": on(device("a", mig=1, mig_profiles=(profile(None),)), by_sm),
        "instances of two devices": one_place(node("a", plain, device("a", 1, mig=1)), pair, **several),
        "a driver that shows one instance": one_place(
            node("a", device("a", mig=2), driver_version="550.54"), pair, **several
        ),
    }


def _of_all() -> dict[str, Problem]:
    """Ties, mixtures and extremes."""
    nodes = tuple(node(name, *(device(name, index) for index in range(2)), cpus=16) for name in ("a", "b", "c"))
    asked: tuple[dict[str, Any], ...] = (
        {"cpus": 4.0},
        {"fraction": 0.3, "cpus": 1.0, "priority": 2},
        {"gpus": 2, "cpus": 8.0, "priority": -1},
        {"fraction": 0.7, "gpu_memory_mib": 20000},
        {"gpus": 0, "cpus": 6.0, "memory_mib": 4000},
        {"fraction": 0.3, "share_asked": Share.MPS, "gpu_memory_mib": 9000},
        {"gpus": 3},
        {"fraction": 0.5, "gpus": 2},
        {"gpus": 2, "priority": 1},
        {"cpus": 12.0},
    )
    expected = tuple(Expected(Request(("train",), **of), 1.0 + number) for number, of in enumerate(asked))
    return {
        "no node": problem((), ({}, {"gpus": 2}, {"gpus": 0}, _PART, _MIG)),
        "a node without devices": problem((node("a"),), ({}, {"gpus": 0}, _PART, _MIG)),
        "nothing asked": problem(nodes, ()),
        "equal places": problem(nodes, ({}, {}, _PART, _PART, {"gpus": 0})),
        "work of all kinds": problem(nodes, asked),
        "work of all kinds, expected": problem(nodes, asked, expected=expected),
        "work that nobody expected": problem(nodes, asked, expected=expected[:1]),
    }
