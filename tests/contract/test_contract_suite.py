"""The suite for plug-ins finds out a policy that lacks any single filter, or that breaks its word otherwise."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.decision import Problem
from gpualloc.model.inventory import Node, NodeState
from gpualloc.policies import contract, filters, offer, registry, room
from gpualloc.policies.offer import shortages
from gpualloc.policies.survey import survey
from gpualloc.ports import Policy

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "gpualloc-policy-coolest" / "gpualloc_policy_coolest.py"

Switch = Callable[[ModuleType, pytest.MonkeyPatch], None]
"""Makes the policy of the module forget something."""


@pytest.fixture
def example() -> Iterator[ModuleType]:
    """A module of its own for every test: a correct policy, made of the public parts."""
    spec = importlib.util.spec_from_file_location("coolest_in_test", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("name", registry.names())
def test_every_installed_policy_passes(name: str) -> None:
    contract.check(registry.load(name))


def test_the_example_passes(example: ModuleType) -> None:
    contract.check(example.Coolest())


def test_problems_are_the_same_at_every_call() -> None:
    assert contract.problems() == contract.problems()


def test_each_filter_has_a_problem_with_exactly_one_place(example: ModuleType) -> None:
    """Else a policy that refuses everything there could not be told from one that filters."""
    for about, problem in contract.problems().items():
        if len(problem.requests) == 2 and problem.requests[0].request == problem.requests[1].request:
            session = example.Coolest().begin(problem)
            given = [isinstance(session.place(one), Allocation) for one in problem.requests]
            assert given == [True, False], about


def found_out(policy: Policy) -> bool:
    """Whether some problem shows that the policy is wrong; the rest is not tried then."""
    return any(contract.broken_promises(policy, problem) for problem in contract.problems().values())


TABLES = (filters._WANTED, filters._USABLE, filters._FITTING)
COVERED = {(share, "unknown_memory") for share in (Share.TIME_SLICE, Share.MPS)}
"""What another filter refuses as well: a slice has no memory where none is known to be free."""
FILTERS = [
    pytest.param(table, share, check, id=f"{share}-{check.__name__}")
    for table in TABLES
    for share, checks in table.items()
    for check in checks
    if (share, check.__name__) not in COVERED
]


@pytest.mark.parametrize(("table", "share", "check"), FILTERS)
def test_a_device_filter_that_is_missing_is_found_out(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, table: dict[Share, Any], share: Share, check: object
) -> None:
    monkeypatch.setitem(table, share, tuple(one for one in table[share] if one is not check))
    assert found_out(example.Coolest())


def blind(change: Callable[[Node], Node]) -> Switch:
    """Does not see something of the nodes."""

    def switch(example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        def seen(problem: Problem) -> Any:
            nodes = tuple(change(node) for node in problem.snapshot.nodes)
            return survey(replace(problem, snapshot=replace(problem.snapshot, nodes=nodes)))

        monkeypatch.setattr(example, "survey", seen)

    return switch


def lenient(resource: str) -> Switch:
    """Does not mind a shortage."""

    def switch(example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(example, "enough", lambda found, request: set(shortages(found, request)) <= {resource})

    return switch


def instead(module: ModuleType | None, name: str, value: Any) -> Switch:
    """Has another function in place of one (None: of the policy's own module)."""
    return lambda example, monkeypatch: monkeypatch.setattr(module or example, name, value)


def devices(**said: Any) -> Callable[[Node], Node]:
    return lambda node: replace(node, devices=tuple(replace(device, **said) for device in node.devices))


def spec(**said: Any) -> Callable[[Node], Node]:
    return lambda node: replace(node, spec=replace(node.spec, **said))


def no_running(problem: Problem) -> Any:
    return survey(replace(problem, running=()))


def books_devices_only(before: room.NodeRoom, allocation: Allocation) -> room.NodeRoom:
    return BOOK(before, replace(allocation, cpus=None, memory_mib=None))


def books_hosts_only(before: room.NodeRoom, allocation: Allocation) -> room.NodeRoom:
    return BOOK(before, replace(allocation, grants=()))


BOOK = room.NodeRoom.book
SWITCHES: dict[str, Switch] = {
    "asks nodes that do not answer": blind(lambda node: replace(node, state=NodeState.OK)),
    "takes observed nodes": instead(None, "takes_work", lambda node: node.cordon is None),
    "takes cordoned nodes": instead(None, "takes_work", lambda node: node.manageable),
    "ignores names": instead(filters, "named", lambda node, request: True),
    "ignores labels": instead(filters, "labelled", lambda node, request: True),
    "ignores paths": instead(
        None, "allowed", lambda node, request: filters.named(node, request) and filters.labelled(node, request)
    ),
    "takes unknown paths": instead(None, "allowed", filters.conceivable),
    "ignores NUMA": instead(offer, "_near_one_numa_node", lambda usable, count: (usable, {})),
    "gives instances of several devices": instead(offer, "_on_one_device", lambda room, usable: (usable, {})),
    "gives too few devices": lenient("gpus"),
    "gives too many CPUs": lenient("cpus"),
    "ignores CPU lists": lenient("cpuset"),
    "gives too much memory": lenient("memory"),
    "takes reserved CPUs": blind(spec(reserved_cpus=0.0)),
    "takes reserved memory": blind(spec(reserved_memory_mib=0)),
    "takes memory in use": blind(lambda node: replace(node, host=replace(node.host, memory_available_mib=None))),
    "sees no claims": blind(lambda node: replace(node, claims=())),
    "sees no processes": blind(lambda node: replace(node, processes=())),
    "sees MPS everywhere": blind(lambda node: replace(node, mps=True)),
    "sees all GPU memory free": blind(devices(memory_used_mib=0)),
    "sees all devices well": blind(devices(cordon=None)),
    "trusts every driver": blind(lambda node: replace(node, driver_version="999.0")),
    "forgets running work": instead(None, "survey", no_running),
    "books devices only": instead(room.NodeRoom, "book", books_devices_only),  # type: ignore[arg-type]
    "books hosts only": instead(room.NodeRoom, "book", books_hosts_only),  # type: ignore[arg-type]
    "has no margin": lambda _, monkeypatch: [  # type: ignore[func-returns-value]
        monkeypatch.setattr(module, "MEMORY_MARGIN_MIB", 0) for module in (filters, room)
    ],
}


@pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES.keys())
def test_anything_else_that_is_not_minded_is_found_out(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, switch: Switch
) -> None:
    switch(example, monkeypatch)
    assert found_out(example.Coolest())


def never_frees(self: Any, allocation: Allocation) -> None: ...


def by_turns(number: Any = count()) -> Callable[[Any], tuple[int, float]]:  # noqa: B008  shared on purpose
    return lambda devices: (next(number) % 7, 0.0)


def as_they_come(problem: Problem) -> Any:
    rooms = survey(problem)
    return {node.name: rooms[node.name] for node in problem.snapshot.nodes if node.name in rooms}


@pytest.mark.parametrize(
    ("target", "name", "value", "promise"),
    [
        ("CoolestSession", "free", never_frees, "has none after everything was given back"),
        ("CoolestSession", "place", lambda self, workload: None, "neither an allocation nor a rejection"),
        (None, "allocate", lambda _, best: offer.allocate("w99999999", best), "is about w99999999"),
        (None, "_temperature", by_turns(), "a second look at the same problem gives other answers"),
    ],
)
def test_a_broken_word_is_named(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, target: str | None, name: str, value: Any, promise: str
) -> None:
    monkeypatch.setattr(getattr(example, target) if target else example, name, value)
    with pytest.raises(AssertionError, match=promise):
        contract.check(example.Coolest())


def test_a_policy_that_goes_by_the_order_of_the_input_is_found_out(example: ModuleType) -> None:
    class InOrder(example.CoolestSession):  # type: ignore[misc,name-defined]
        def __init__(self, problem: Problem) -> None:
            super().__init__(problem)
            self.last = {node.name for node in problem.snapshot.nodes[-1:]}

        def place(self, workload: Any) -> Any:
            first = replace(workload, request=replace(workload.request, nodes=tuple(self.last)))
            answer = super().place(first)
            return answer if isinstance(answer, Allocation) else super().place(workload)

    _fails_on(example, InOrder, "the order of the input changes the answers")


def test_a_policy_that_minds_whether_it_must_explain_is_found_out(example: ModuleType) -> None:
    class Curt(example.CoolestSession):  # type: ignore[misc,name-defined]
        def __init__(self, problem: Problem) -> None:
            super().__init__(problem if problem.explain else replace(problem, running=()))

    _fails_on(example, Curt, "whether refusals are explained changes the places")


def _fails_on(example: ModuleType, session: Any, promise: str) -> None:
    class Broken(example.Coolest):  # type: ignore[misc,name-defined]
        def begin(self, problem: Problem) -> Any:
            return session(problem)

    with pytest.raises(AssertionError, match=promise):
        contract.check(Broken())


def test_what_a_policy_raises_comes_with_the_problem(example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(found: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(example, "_devices", fails)
    with pytest.raises(ZeroDivisionError) as raised:
        contract.check(example.Coolest())
    assert raised.value.__notes__ == ["policy coolest, on the problem 'a node that does not answer'"]
