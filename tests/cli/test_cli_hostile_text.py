"""No text that a node sends steers the terminal of whoever looks at it."""

from __future__ import annotations

import json

import pytest
from fakes.hostile_wire import AT_S, HOSTILE, SPEC, answers, decoded, harm_in, hostile_answers, texts, with_text
from fakes.memory_context import MemoryFleet, memory_context
from msgspec.structs import replace

from gpualloc.adapters.fields import MalformedError
from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.ssh_failure import ssh_failure
from gpualloc.engine.doctor import LocalFacts
from gpualloc.model.inventory import Node, NodeState, Snapshot
from gpualloc.views.text import cells

VERBS = (
    ("nodes",),
    ("ps",),
    ("status",),
    ("free",),
    ("doctor",),
    ("health",),
    ("events",),
    ("processes",),
    ("mig", "list"),
    ("audit",),
)
"""What shows anything of a node."""


class HostileLink:
    """A link to a node that answers these."""

    connection = 1

    def __init__(self, told):
        self._told = told

    def exchange(self, requests, deadline_s):
        return [{"id": each["id"], "ok": self._told.get(each["verb"], {})} for each in requests]

    def close(self):
        pass


@pytest.fixture
def look(world, run):
    """Runs a verb over a world with these nodes."""

    def call(nodes, *arguments):
        world.context = memory_context(fleet=MemoryFleet(nodes))
        world.look_for_doctor = lambda options: (Snapshot(AT_S, tuple(nodes)), FACTS)
        return run(*arguments)

    return call


FACTS = LocalFacts(
    config_file=None,
    config_problem=None,
    state_dir="/nowhere",
    state_problem=None,
    state_file_system="ext4",
    pynvml_distributions=("nvidia-ml-py",),
    now_s=AT_S,
)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_nothing_a_node_says_steers_the_terminal(look, verb, form):
    told, refused = hostile_answers()
    node = decoded(told)
    assert {"uuid", "pci_bus_id", "workload", "container", "cpus"} <= {path[-1] for path in refused}
    assert not {"model", "command", "user", "hostname", "text", "reason"} & {path[-1] for path in refused}
    for nodes in ([node], [replace(node, state=NodeState.FAILED, reason=HOSTILE)]):
        ran = look(nodes, *verb, *form)
        assert ran.code in (0, 3), ran.err
        assert harm_in(ran.out + ran.err) == set()
        if form:
            json.loads(ran.out)


def test_wide_text_does_not_shift_the_columns(look):
    told, _ = hostile_answers()
    out = look([decoded(told)], "nodes").out
    assert "MiB" in out
    assert all(cells(line) <= 120 for line in out.splitlines() if "MiB" in line)


@pytest.mark.parametrize("path", list(texts(answers())), ids=lambda path: ".".join(map(str, path)))
def test_harm_in_any_one_text_is_shown_harmless_or_refused_in_plain_words(look, path):
    told = with_text(answers(), path, HOSTILE)
    try:
        node = decoded(told)
    except MalformedError as error:
        node = Node(SPEC, NodeState.FAILED, AT_S, reason=f"its answer makes no sense: {error}")
    for verb in ("nodes", "doctor"):
        ran = look([node], verb)
        assert harm_in(ran.out + ran.err) == set()


def test_a_fleet_that_cannot_be_reached_at_all_says_so_without_harm(world, run):
    failure = ssh_failure(f"{HOSTILE}\n{HOSTILE[:200]}: Connection refused", "gpu1", connected=False)
    node = Node(SPEC, failure.state, AT_S, reason=f"{failure.reason}; {failure.hint}")
    world.context = memory_context(fleet=MemoryFleet([node]))
    ran = run("nodes")
    assert ran.code == 3
    assert harm_in(ran.out + ran.err) == set()


def test_a_refusal_of_a_node_is_shown_without_harm(world, run):
    class Refuses(HostileLink):
        def exchange(self, requests, deadline_s):
            return [{"id": each["id"], "error": {"reason": HOSTILE, "message": HOSTILE}} for each in requests]

    fleet = LinkedFleet([(SPEC, lambda: Refuses({}))])
    world.context = memory_context(fleet=fleet)
    ran = run("nodes")
    fleet.close()
    assert ran.code == 3
    assert harm_in(ran.out + ran.err) == set()
