"""What every policy promises, checked on one problem. For the tests of built-in and third-party policies alike.

assert broken_promises(MyPolicy(), problem) == ()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem, Rejection
from gpualloc.model.inventory import Node
from gpualloc.model.workload import Workload
from gpualloc.policies.overcommit import wrong_places
from gpualloc.ports import Policy, Session

Answers = tuple[Allocation | Rejection, ...]


def broken_promises(policy: Policy, problem: Problem) -> tuple[str, ...]:
    """One sentence for each promise the policy breaks on the problem; empty when it keeps all.

    The promises: every request gets exactly one answer, about itself; nothing is over-committed or placed against a
    constraint; equal problems and problems in another order get equal answers; room that is given back is free again.
    """
    workloads = sorted(problem.requests, key=lambda workload: (-workload.request.priority, workload.id))
    session = policy.begin(problem)
    answers = _place_all(session, workloads)
    broken = [
        f"the answer to {workload.id} is about {answer.workload}"
        for workload, answer in zip(workloads, answers, strict=True)
        if answer.workload != workload.id
    ]
    broken += wrong_places(problem, [answer for answer in answers if isinstance(answer, Allocation)])
    if _place_all(policy.begin(problem), workloads) != answers:
        broken.append("a second look at the same problem gives other answers")
    if _place_all(policy.begin(_reversed(problem)), workloads) != answers:
        broken.append("the order of the input changes the answers")
    for answer in answers:
        if isinstance(answer, Allocation):
            session.free(answer)
    if _place_all(session, workloads) != answers:
        broken.append("after everything was given back the same requests get other answers")
    return tuple(broken)


def _place_all(session: Session, workloads: Sequence[Workload]) -> Answers:
    return tuple(session.place(workload) for workload in workloads)


def _reversed(problem: Problem) -> Problem:
    nodes = tuple(_reversed_node(node) for node in reversed(problem.snapshot.nodes))
    return replace(
        problem,
        snapshot=replace(problem.snapshot, nodes=nodes),
        requests=problem.requests[::-1],
        running=problem.running[::-1],
    )


def _reversed_node(node: Node) -> Node:
    devices = tuple(replace(device, mig_instances=device.mig_instances[::-1]) for device in reversed(node.devices))
    return replace(node, devices=devices, processes=node.processes[::-1], claims=node.claims[::-1])
