"""`why` is true: the named obstacle removed makes the request fit, and so does every remedy, as policies decide it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.decision import Problem, Rejection
from gpualloc.model.inventory import Device, DeviceState, MigInstance, Node, Snapshot
from gpualloc.model.workload import Request, Workload
from gpualloc.policies import registry
from gpualloc.policies.filters import cordoned
from gpualloc.policies.first_fit import FirstFit
from gpualloc.policies.remedies import Occupant, Remedy, RemedyKind, remedies
from gpualloc.policies.survey import survey
from gpualloc.policies.why import obstacles, one_of
from gpualloc.ports import Ranking

FAST = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
PLENTY_MIB = 1 << 40
DRAWN = {"random", "batch"}
"""Policies that do not always take what scores best: by lot, or as planned for all requests together."""


def _alone(problem: Problem, name: str) -> Problem:
    """The problem as if there were no other node."""
    nodes = tuple(node for node in problem.snapshot.nodes if node.name == name)
    running = tuple(each for each in problem.running if each.node == name)
    return replace(problem, snapshot=Snapshot(problem.snapshot.at_s, nodes), running=running)


def _fits(problem: Problem, name: str, workload: Workload) -> bool:
    return isinstance(FirstFit().begin(_alone(problem, name)).place(workload), Allocation)


def _one_of(workload: Workload) -> Workload:
    return replace(workload, request=one_of(workload.request))


def _with_node(problem: Problem, node: Node) -> Problem:
    nodes = tuple(node if each.name == node.name else each for each in problem.snapshot.nodes)
    return replace(problem, snapshot=Snapshot(problem.snapshot.at_s, nodes))


def _with_devices(problem: Problem, node: Node, devices: Iterable[Device]) -> Problem:
    return _with_node(problem, replace(node, devices=tuple(devices)))


def _seen_by_nobody(problem: Problem, node: Node) -> dict[str, int | None]:
    """GPU memory of each device that no holder uses, MiB."""
    return {each.device.uuid: each.unbooked_mib for each in survey(problem)[node.name].devices}


def _nothing_given(problem: Problem, node: Node) -> Problem:
    """Nobody holds a device of the node: no claims, no grants, no processes of holders; CPUs and memory stay booked."""
    unbooked = _seen_by_nobody(problem, node)
    holders = {(each.workload, each.device) for each in node.claims}
    holders |= {(each.workload, grant.device) for each in problem.running for grant in each.grants}
    strangers = _strangers(problem, node)
    kept = tuple(each for each in node.processes if (each.workload, each.device) not in holders or each in strangers)
    devices = (replace(device, memory_used_mib=unbooked[device.uuid]) for device in node.devices)
    emptied = replace(node, claims=(), processes=kept, devices=tuple(devices))
    running = tuple(replace(each, grants=()) if each.node == node.name else each for each in problem.running)
    return replace(_with_node(problem, emptied), running=running)


def _strangers(problem: Problem, node: Node) -> list[object]:
    """Processes that run where nobody booked them."""
    places = {(room.device.uuid, place) for room in survey(problem)[node.name].devices for place in room.strangers}
    booked = {(each.workload, each.device, each.mig_instance) for each in node.claims}
    for each in problem.running:
        booked |= {(each.workload, grant.device, grant.mig_instance) for grant in each.grants}
    unknown = {(workload, device) for workload, device, _ in booked}
    return [
        each
        for each in node.processes
        if (each.device, each.mig_instance) in places
        and (each.workload, each.device, each.mig_instance) not in booked
        and not (each.mig_instance is None and (each.workload, each.device) in unknown)
    ]


def _no_strangers(problem: Problem, node: Node) -> Problem:
    strangers = _strangers(problem, node)
    kept = tuple(each for each in node.processes if each not in strangers)
    devices = _memory_accounted_for(problem, node)
    return _with_node(problem, replace(node, processes=kept, devices=devices))


def _nothing_unaccounted_for(problem: Problem, node: Node) -> Problem:
    return _with_devices(problem, node, _memory_accounted_for(problem, node))


def _memory_accounted_for(problem: Problem, node: Node) -> tuple[Device, ...]:
    """The devices with no more memory in use than their holders use."""
    unbooked = _seen_by_nobody(problem, node)
    devices = []
    for device in node.devices:
        used, free = device.memory_used_mib, unbooked[device.uuid]
        devices.append(replace(device, memory_used_mib=None if used is None or free is None else used - free))
    return tuple(devices)


def _memory_told(problem: Problem, node: Node) -> Problem:
    def told(device: Device) -> Device:
        instances = tuple(_instance_told(each) for each in device.mig_instances)
        if device.memory_used_mib is None or device.memory_total_mib is None:
            total = device.memory_total_mib or PLENTY_MIB
            device = replace(device, memory_total_mib=total, memory_used_mib=0)
        return replace(device, mig_instances=instances)

    return _with_devices(problem, node, map(told, node.devices))


def _instance_told(instance: MigInstance) -> MigInstance:
    if None not in (instance.memory_total_mib, instance.memory_used_mib):
        return instance
    return replace(instance, memory_total_mib=instance.memory_total_mib or PLENTY_MIB, memory_used_mib=0)


def _memory_in_plenty(problem: Problem, node: Node) -> Problem:
    def ample(device: Device) -> Device:
        instances = tuple(
            replace(each, memory_total_mib=PLENTY_MIB, memory_used_mib=0) for each in device.mig_instances
        )
        return replace(device, memory_total_mib=PLENTY_MIB, memory_used_mib=0, mig_instances=instances)

    processes = tuple(replace(each, gpu_memory_used_mib=None) for each in node.processes)
    claims = tuple(replace(each, memory_mib=0) for each in node.claims)
    node = replace(node, processes=processes, claims=claims)
    running = tuple(
        replace(each, grants=tuple(replace(grant, memory_mib=0) for grant in each.grants)) for each in problem.running
    )
    return replace(_with_devices(problem, node, map(ample, node.devices)), running=running)


def _compute_in_plenty(problem: Problem, node: Node) -> Problem:
    claims = tuple(replace(each, fraction=0.0) for each in node.claims)
    running = tuple(
        replace(each, grants=tuple(replace(grant, fraction=0.0) for grant in each.grants)) for each in problem.running
    )
    return replace(_with_node(problem, replace(node, claims=claims)), running=running)


def _no_cordon(problem: Problem, node: Node, reason: str) -> Problem:
    def opened(device: Device) -> Device:
        return replace(device, cordon=None) if device.cordon and cordoned(device.cordon) == reason else device

    return _with_devices(problem, node, map(opened, node.devices))


def _well(problem: Problem, node: Node, state: str) -> Problem:
    def healed(device: Device) -> Device:
        return replace(device, state=DeviceState.OK) if str(device.state) == state else device

    return _with_devices(problem, node, map(healed, node.devices))


def _on_cpus_alone(request: Request) -> Request:
    return Request(
        request.command,
        gpus=0,
        cpus=request.cpus,
        cpuset=request.cpuset,
        memory_mib=request.memory_mib,
        nodes=request.nodes,
        labels=request.labels,
        near=request.near,
    )


def _asked_without(request: Request, reason: str, usable: int) -> Request | None:
    """The request without what the reason is about; None when it is about the node."""
    if reason.startswith("without the label "):
        label = reason.removeprefix("without the label ").partition("=")[0]
        return replace(request, labels=tuple(pair for pair in request.labels if pair[0] != label))
    if reason.startswith(("without /", "not known to have ")):
        return replace(request, near=tuple(path for path in request.near if not reason.endswith(path)))
    if reason.startswith("no CPUs"):
        return replace(request, cpuset=None)
    if reason.startswith("too few ") and "CPUs" not in reason:
        return replace(request, gpus=usable) if usable else _on_cpus_alone(request)
    words = {
        "not among the nodes asked for": {"nodes": ()},
        "too few free CPUs": {"cpus": None},
        "number of CPUs unknown": {"cpus": None},
        "too little free memory": {"memory_mib": None},
        "free memory unknown": {"memory_mib": None},
        "of another model": {"gpu_model": None},
        "of another profile": {"mig_profile": None, "share_asked": Share.MIG},
        "near an unknown NUMA node": {"numa": False},
        "near another NUMA node": {"numa": False},
    }
    changes = words.get(reason.removeprefix("GPUs ").removeprefix("MIG instances "))
    return None if changes is None else replace(request, **changes)  # type: ignore[arg-type]


def _node_without(problem: Problem, node: Node, reason: str) -> Problem:
    """The problem without what the reason says of the node."""
    if reason == "only observed":
        return _with_node(problem, replace(node, spec=replace(node.spec, manage=True)))
    if node.cordon is not None and reason == cordoned(node.cordon):
        return _with_node(problem, replace(node, cordon=None))
    what = reason.removeprefix("GPUs ").removeprefix("MIG instances ")
    if what.startswith("cordoned ("):
        return _no_cordon(problem, node, what)
    if what.startswith("not healthy: "):
        return _well(problem, node, what.removeprefix("not healthy: "))
    if what in ("in MIG mode", "not in MIG mode"):
        on = what == "not in MIG mode"
        return _with_devices(problem, node, (replace(device, mig_enabled=on) for device in node.devices))
    changes = {
        "given to other work": _nothing_given,
        "used by a process nobody booked": _no_strangers,
        "with unknown free memory": _memory_told,
        "with memory in use that no process accounts for": _nothing_unaccounted_for,
        "with too little free memory": _memory_in_plenty,
        "too full": _compute_in_plenty,
    }
    return changes[what](problem, node)


def _without(problem: Problem, name: str, workload: Workload, reasons: Iterable[str]) -> tuple[Problem, Workload]:
    """The problem and the workload once every one of the reasons is gone, by other means than `hurdles` has."""
    ordered = sorted(reasons, key=lambda reason: (reason.startswith("too few "), "memory" in reason, "full" in reason))
    for reason in ordered:
        node = problem.snapshot.node(name)
        assert node is not None
        count = sum(len(each.mig_instances) for each in node.devices)
        usable = max((len(each.mig_instances) for each in node.devices), default=0) if count else 0
        usable = usable if workload.request.share is Share.MIG else len(node.devices)
        asked = _asked_without(workload.request, reason, usable)
        if asked is not None:
            workload = replace(workload, request=asked)
        else:
            problem = _node_without(problem, node, reason)
    return problem, workload


@FAST
@given(data=st.data())
def test_a_node_that_is_not_kept_out_holds_the_request_and_no_other_does(
    problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem = data.draw(problems)
    workload = _one_of(problem.requests[0])
    found = obstacles(problem.snapshot, survey(problem), workload.request)
    named = [name for each in found for name in each.nodes]
    assert len(named) == len(set(named)), "a node is told one obstacle"
    for node in problem.snapshot.nodes:
        assert _fits(problem, node.name, workload) == (node.name not in named)


@FAST
@given(data=st.data())
def test_the_named_obstacle_removed_makes_it_fit_and_nothing_of_it_can_stay(
    problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem = data.draw(problems)
    workload = _one_of(problem.requests[0])
    for obstacle in obstacles(problem.snapshot, survey(problem), workload.request):
        if obstacle.reasons[0].startswith("does not answer"):
            continue
        for name in obstacle.nodes:
            unless = any(each.endswith(("on another device", "shows a process one")) for each in obstacle.reasons)
            changed, asking = _without(problem, name, workload, () if unless else obstacle.reasons)
            assert unless or _fits(changed, name, asking), obstacle
            for reason in () if unless else obstacle.reasons:
                rest = [each for each in obstacle.reasons if each != reason]
                changed, asking = _without(problem, name, workload, rest)
                assert not _fits(changed, name, asking), (obstacle, reason)


def _occupants(problem: Problem) -> list[Occupant]:
    """What runs, each asking for what it has."""
    found = []
    for each in problem.running:
        part = each.grants[0]
        shared = part.share in (Share.TIME_SLICE, Share.MPS)
        request = Request(
            ("serve",),
            fraction=part.fraction if shared else None,
            gpu_memory_mib=part.memory_mib if shared else None,
            share_asked=part.share if shared else None,
            cpus=each.cpus,
            memory_mib=each.memory_mib,
        )
        found.append(Occupant(each, request if shared or part.share is Share.EXCLUSIVE else None))
    return found


def _holds(problem: Problem, remedy: Remedy, workload: Workload) -> bool:
    """Whether the policy places the workload on the remedy's node once it is done."""
    occupants = {each.allocation.workload: each for each in _occupants(problem)}
    match remedy.kind:
        case RemedyKind.ASK:
            assert remedy.request is not None
            return _fits(problem, remedy.node, replace(workload, request=remedy.request))
        case RemedyKind.UNCORDON:
            node = problem.snapshot.node(remedy.node)
            assert node is not None
            devices = tuple(
                replace(each, cordon=None) if each.uuid in remedy.devices else each for each in node.devices
            )
            opened = replace(node, cordon=None if remedy.whole_node else node.cordon, devices=devices)
            return _fits(_with_node(problem, opened), remedy.node, workload)
        case RemedyKind.RELEASE | RemedyKind.MIGRATE:
            session = FirstFit().begin(_alone(problem, remedy.node))
            for each in remedy.workloads:
                session.free(occupants[each].allocation)
            return isinstance(session.place(workload), Allocation)
    return False


@FAST
@given(data=st.data())
def test_every_remedy_helps(problems: st.SearchStrategy[Problem], data: st.DataObject) -> None:
    problem = data.draw(problems)
    for workload in problem.requests:
        answer = FirstFit().begin(problem).place(workload)
        if isinstance(answer, Rejection):
            for remedy in remedies(survey(problem), _occupants(problem), (), workload.request):
                assert _holds(problem, remedy, workload), remedy
                node = problem.snapshot.node(remedy.node)
                assert node is not None
                assert node.manageable


@FAST
@given(data=st.data())
def test_who_is_moved_has_a_place_beside_the_request(problems: st.SearchStrategy[Problem], data: st.DataObject) -> None:
    problem = data.draw(problems)
    occupants = {each.allocation.workload: each for each in _occupants(problem)}
    for workload in problem.requests:
        for remedy in remedies(survey(problem), tuple(occupants.values()), (), workload.request):
            if remedy.kind is not RemedyKind.MIGRATE:
                continue
            (mover,) = (occupants[each] for each in remedy.workloads)
            assert mover.request is not None
            assert remedy.to is not None
            session = FirstFit().begin(problem)
            session.free(mover.allocation)
            assert isinstance(
                session.place(replace(workload, request=replace(workload.request, nodes=(remedy.node,)))), Allocation
            )
            again = Workload(
                mover.allocation.workload, "", "", replace(mover.request, nodes=(remedy.to,)), workload.state, 0.0
            )
            assert isinstance(session.place(again), Allocation)


@FAST
@given(data=st.data())
def test_what_goes_first_would_leave_the_place(problems: st.SearchStrategy[Problem], data: st.DataObject) -> None:
    problem = data.draw(problems)
    session, rooms = FirstFit().begin(problem), survey(problem)
    first: list[Occupant] = []
    for workload in problem.requests:
        answer = session.place(workload)
        if isinstance(answer, Allocation):
            for part in answer.parts:
                rooms[part.node] = rooms[part.node].book(part)
                first.append(Occupant(part, None))
            continue
        for remedy in remedies(rooms, (), first, workload.request):
            if remedy.kind is RemedyKind.GO_FIRST:
                gone = [each.allocation for each in first if each.allocation.workload in remedy.workloads]
                for each in gone:
                    session.free(each)
                onto = replace(workload, request=replace(workload.request, nodes=(remedy.node,)))
                placed = session.place(onto)
                assert isinstance(placed, Allocation), remedy
                return


@pytest.mark.parametrize("name", sorted(set(registry.names()) - DRAWN))
@settings(FAST, max_examples=30)
@given(data=st.data())
def test_the_place_that_ranks_first_is_the_one_that_is_taken(
    name: str, problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem = data.draw(problems)
    session = registry.load(name).begin(problem)
    assert isinstance(session, Ranking)
    for workload in problem.requests:
        ranked = session.ranking(workload, 2)
        assert session.ranking(workload, 2) == ranked, "a look takes nothing"
        assert list(ranked) == sorted(ranked, key=lambda each: -each.score)
        answer = session.place(workload)
        unranked = workload.request.gang or workload.request.share is Share.MIG
        if unranked or isinstance(answer, Rejection):
            assert ranked == ()
        else:
            assert (ranked[0].node, set(ranked[0].devices)) == (answer.node, {each.device for each in answer.grants})
