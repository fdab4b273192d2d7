"""Nodes, workloads and problems from short descriptions, for tests of everything that decides or plans.

Devices are called `GPU-<node>-<index>`, their MIG instances `MIG-<node>-<index>-<number>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gpualloc.model.allocation import Allocation, Claim, Grant, Share
from gpualloc.model.decision import Problem, Rejection
from gpualloc.model.inventory import (
    Device,
    DeviceState,
    HostReading,
    MigInstance,
    Node,
    NodeSpec,
    NodeState,
    Process,
    Snapshot,
)
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.ports import Policy

H100 = "NVIDIA H100 80GB HBM3"
AT_S = 1000.0


def device(node: str, index: int, **said: Any) -> Device:
    """A healthy idle H100 unless said otherwise; `mig` is a list of profiles or of {profile, memory_mib, used_mib}."""
    mig = said.pop("mig", None)
    instances = tuple(_instance(node, index, number, said_of) for number, said_of in enumerate(mig or ()))
    return Device(
        uuid=f"GPU-{node}-{index}",
        index=index,
        model=said.pop("model", H100),
        memory_total_mib=said.pop("memory_mib", 81559),
        memory_used_mib=said.pop("used_mib", 0),
        state=DeviceState(said.pop("state", "ok")),
        mig_enabled=None if mig is None else True,
        mig_pending=None if mig is None else True,
        mig_instances=instances,
        **said,
    )


def _instance(node: str, index: int, number: int, said: str | Mapping[str, Any]) -> MigInstance:
    of = {"profile": said} if isinstance(said, str) else said
    return MigInstance(
        uuid=f"MIG-{node}-{index}-{number}",
        profile=of["profile"],
        start=number,
        size=1,
        memory_total_mib=of.get("memory_mib", 9856),
        memory_used_mib=of.get("used_mib", 0),
    )


def node(name: str, **said: Any) -> Node:
    """A reached node; `devices` is a count or a list of descriptions, one of which may stand for `count` devices."""
    devices = said.pop("devices", 0)
    described: list[Mapping[str, Any]] = [{}] * devices if isinstance(devices, int) else devices
    repeated = [dict(of) for of in described for _ in range(of.get("count", 1))]
    return Node(
        spec=NodeSpec(
            name,
            "main",
            "simulated",
            labels=said.pop("labels", {}),
            price_per_gpu_hour=said.pop("price", None),
            reserved_cpus=said.pop("reserved_cpus", 0.0),
            reserved_memory_mib=said.pop("reserved_memory_mib", 0),
            manage=said.pop("manage", None),
        ),
        state=NodeState(said.pop("state", "ok")),
        at_s=AT_S,
        boot_id=said.pop("boot_id", "boot-1"),
        driver_version=said.pop("driver_version", "570.148"),
        other_controllers=tuple(said.pop("other_controllers", ())),
        host=HostReading(
            cpus=said.pop("cpus", 64),
            memory_total_mib=said.pop("memory_mib", 524288),
            memory_available_mib=said.pop("available_mib", None),
        ),
        devices=tuple(
            device(name, index, **{key: value for key, value in of.items() if key != "count"})
            for index, of in enumerate(repeated)
        ),
        processes=tuple(_process(name, of) for of in said.pop("processes", ())),
        claims=tuple(_claim(name, of) for of in said.pop("claims", ())),
        **said,
    )


def _uuids(node_name: str, where: str) -> tuple[str, str | None]:
    """`2` is device 2, `2/1` instance 1 on it."""
    index, _, number = where.partition("/")
    return f"GPU-{node_name}-{index}", f"MIG-{node_name}-{index}-{number}" if number else None


def _process(node_name: str, of: Mapping[str, Any]) -> Process:
    uuid, instance = _uuids(node_name, str(of["device"]))
    return Process(
        pid=of.get("pid", 4000),
        device=uuid,
        mig_instance=instance,
        gpu_memory_used_mib=of.get("memory_mib"),
        user=of.get("user", "eve"),
        command="python",
        started_at_s=AT_S,
        workload=of.get("workload"),
    )


def _claim(node_name: str, of: Mapping[str, Any]) -> Claim:
    uuid, instance = _uuids(node_name, str(of["device"]))
    share = Share(of.get("share", "mig" if instance else "exclusive"))
    return Claim(
        device=uuid,
        workload=of.get("workload", "w00000000"),
        controller=of.get("controller", "ours"),
        share=share,
        mig_instance=instance,
        fraction=of.get("fraction", 1.0),
        memory_mib=of.get("memory_mib"),
        at_s=AT_S,
    )


def snapshot(*nodes: Node) -> Snapshot:
    """The nodes, sorted by name."""
    return Snapshot(AT_S, tuple(sorted(nodes, key=lambda one: one.name)))


def request(**said: Any) -> Request:
    """A request for one GPU unless said otherwise; `labels` is a table."""
    labels = said.pop("labels", {})
    several = {name: tuple(said.pop(name, ())) for name in ("nodes", "near")}
    return Request(command=("train",), labels=tuple(labels.items()), **several, **said)


def workload(identifier: str = "w00000001", **said: Any) -> Workload:
    """A pending workload; what is said is of the request but for `submitted_at_s`, `state`, `attempt` and the like."""
    own = {
        key: said.pop(key)
        for key in ("name", "owner", "state", "submitted_at_s", "attempt", "revision", "allocation")
        if key in said
    }
    fields = {"name": identifier, "owner": "ann", "submitted_at_s": AT_S, **own}
    fields["state"] = WorkloadState(fields.get("state", "pending"))
    return Workload(id=identifier, request=request(**said), **fields)


def allocation(identifier: str, node_name: str, *where: str, **said: Any) -> Allocation:
    """An allocation of devices (`2`) or instances (`2/1`); `share`, `fraction`, `gpu_memory_mib` are of the grants."""
    fraction, gpu_memory_mib = said.pop("fraction", 1.0), said.pop("gpu_memory_mib", None)
    share = said.pop("share", None)
    grants = []
    for place in where:
        uuid, instance = _uuids(node_name, place)
        kind = Share(share or ("mig" if instance else "exclusive"))
        grants.append(Grant(uuid, kind, instance, fraction, gpu_memory_mib))
    return Allocation(identifier, node_name, tuple(grants), **said)


def decided(policy: Policy, problem: Problem) -> dict[str, Allocation | Rejection]:
    """Every request's answer, decided by priority, age and id."""
    session = policy.begin(problem)
    order = sorted(problem.requests, key=lambda one: (-one.request.priority, one.submitted_at_s, one.id))
    return {one.id: session.place(one) for one in order}


def places(found: Allocation) -> tuple[str, ...]:
    """Where an allocation is, in the words of `allocation`: `2`, `2/1`."""
    return tuple(_place(grant) for grant in found.grants)


def _place(grant: Grant) -> str:
    if grant.mig_instance is None:
        return grant.device.rpartition("-")[2]
    return "/".join(grant.mig_instance.rsplit("-", 2)[1:])


def problem(nodes: Iterable[Node], requests: Iterable[Workload], running: Iterable[Allocation] = ()) -> Problem:
    """A problem over the nodes."""
    return Problem(snapshot(*nodes), tuple(requests), tuple(running))
