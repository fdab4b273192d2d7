"""What every policy promises. For the tests of built-in and third-party policies alike; needs nothing but gpualloc.

    from gpualloc.policies import contract

    contract.check(MyPolicy())

tries a policy on problems that cover every filter, and raises AssertionError with every promise that it breaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem, Rejection, RejectionReason
from gpualloc.model.inventory import Node
from gpualloc.model.objective import Objective
from gpualloc.model.workload import Workload
from gpualloc.policies.contract_problems import all_problems
from gpualloc.policies.overcommit import wrong_places
from gpualloc.ports import Policy, Session

Answers = tuple[Allocation | Rejection, ...]


def problems() -> Mapping[str, Problem]:
    """Small problems by what they are about, the same at every call.

    Nearly all have one place that will do and others that only a policy without that filter would take. All of them
    together have every filter, every way of sharing, ties, and work that is expected or not.
    """
    return all_problems()


def check(policy: Policy) -> None:
    """Try the policy on every problem of `problems()`, for each objective.

    Raises:
        AssertionError: one line for each promise it breaks, with the problem it is broken on.

    What the policy itself raises comes through, with a note that names the problem.
    """
    broken = []
    plain_first = sorted(Objective, key=lambda objective: objective is not Objective.BALANCED)
    for objective, (about, problem) in product(plain_first, problems().items()):
        told = about if objective is problem.objective else f"{about}, for {objective.value}"
        try:
            aimed = replace(problem, objective=objective)
            broken += [f"{told}: {promise}" for promise in broken_promises(policy, aimed)]
        except Exception as error:
            error.add_note(f"policy {policy.name}, on the problem {told!r}")
            raise
    if broken:
        raise AssertionError(f"the policy {policy.name} breaks promises:\n" + "\n".join(broken))


def broken_promises(policy: Policy, problem: Problem) -> tuple[str, ...]:
    """One sentence for each promise the policy breaks on the problem; empty when it keeps all.

    The promises: every request gets exactly one answer, about itself, and a refusal says why; nothing is
    over-committed or placed against a constraint; equal problems, problems in another order and problems that ask for
    no explanation get equal places; room that is given back is free again.
    """
    workloads = sorted(problem.requests, key=lambda workload: (-workload.request.priority, workload.id))
    session = policy.begin(problem)
    answers = _place_all(session, workloads)
    wrong = [
        told
        for workload, answer in zip(workloads, answers, strict=True)
        if (told := _no_answer(workload, answer, problem.explain))
    ]
    if wrong:
        return tuple(wrong)
    broken = wrong_places(problem, _given(answers))
    if _place_all(policy.begin(problem), workloads) != answers:
        broken.append("a second look at the same problem gives other answers")
    if _place_all(policy.begin(_reversed(problem)), workloads) != answers:
        broken.append("the order of the input changes the answers")
    brief = _place_all(policy.begin(replace(problem, explain=not problem.explain)), workloads)
    if _given(brief) != _given(answers):
        broken.append("whether refusals are explained changes the places")
    for allocation in _given(answers):
        session.free(allocation)
    return (*broken, *_once_more(problem, session, workloads, answers))


def _once_more(problem: Problem, session: Session, workloads: Sequence[Workload], before: Answers) -> list[str]:
    """What is wrong when the same requests come after everything was given back; places may be other ones."""
    broken = []
    for workload, answer in zip(workloads, before, strict=True):
        again = session.place(workload)
        if isinstance(again, Allocation):
            session.free(again)
        elif isinstance(answer, Allocation):
            broken.append(f"{workload.id} had a place and has none after everything was given back")
    given = _given(_place_all(session, workloads))
    return broken + [f"after everything was given back, {told}" for told in wrong_places(problem, given)]


def _place_all(session: Session, workloads: Sequence[Workload]) -> Answers:
    return tuple(session.place(workload) for workload in workloads)


def _given(answers: Answers) -> list[Allocation]:
    return [answer for answer in answers if isinstance(answer, Allocation)]


def _no_answer(workload: Workload, answer: object, explain: bool) -> str | None:
    """What is wrong with the form of the answer; None when nothing is."""
    if not isinstance(answer, Allocation | Rejection):
        return f"the answer to {workload.id} is {answer!r}, neither an allocation nor a rejection"
    if answer.workload != workload.id:
        return f"the answer to {workload.id} is about {answer.workload}"
    if isinstance(answer, Rejection):
        reason: object = answer.reason
        if not isinstance(reason, RejectionReason):
            return f"the rejection of {workload.id} has the reason {reason!r}, which is none"
        if explain and not answer.detail:
            return f"the rejection of {workload.id} explains nothing"
    return None


def _reversed(problem: Problem) -> Problem:
    nodes = tuple(_reversed_node(node) for node in reversed(problem.snapshot.nodes))
    return replace(
        problem,
        snapshot=replace(problem.snapshot, nodes=nodes),
        requests=problem.requests[::-1],
        running=problem.running[::-1],
        expected=problem.expected[::-1],
    )


def _reversed_node(node: Node) -> Node:
    devices = tuple(replace(device, mig_instances=device.mig_instances[::-1]) for device in reversed(node.devices))
    return replace(node, devices=devices, processes=node.processes[::-1], claims=node.claims[::-1])
