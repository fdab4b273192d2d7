"""Looks over nodes that tell of themselves: each node once, failing ones included, and never longer than a period."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.observe import Listening
from gpualloc.model.desired import Cordon
from gpualloc.model.inventory import Node, NodeSpec, NodeState

A, B = NodeSpec("a", "p", "ssh"), NodeSpec("b", "p", "ssh")


class Fleet:
    def specs(self):
        return (A, B)


class Told:
    """A watch that tells what it was given, one batch at each hearing."""

    def __init__(self, *batches):
        self.batches = list(batches)

    def hear(self, timeout_s):
        return self.batches.pop(0) if self.batches else []


def well(spec, at_s):
    return Node(spec, NodeState.OK, at_s)


@pytest.fixture
def listen(ctx):
    def over(*batches, every_s=0.2):
        return Listening(replace(ctx, fleet=Fleet()), Told(*batches), every_s)

    return over


def test_a_look_ends_when_all_told_of_themselves(listen):
    looking = listen([well(A, 1)], [well(B, 2)], [well(A, 3), well(B, 4)], every_s=3600)
    assert [(node.name, node.at_s) for node in looking.look()] == [("a", 1), ("b", 2)]
    assert [(node.name, node.at_s) for node in looking.look()] == [("a", 3), ("b", 4)]


def test_what_fails_is_told_in_each_look_and_holds_none_up(listen):
    gone = Node(B, NodeState.UNREACHABLE, 1, reason="no way")
    looking = listen([well(A, 1), gone], [well(A, 2)], [well(A, 3), well(B, 3)], every_s=3600)
    assert [(node.name, node.state.value) for node in looking.look()] == [("a", "ok"), ("b", "unreachable")]
    assert [(node.name, node.state.value) for node in looking.look()] == [("a", "ok"), ("b", "unreachable")]
    assert [(node.name, node.state.value) for node in looking.look()] == [("a", "ok"), ("b", "ok")]


def test_a_node_that_is_silent_ends_no_look_and_is_not_made_up(listen):
    assert [node.name for node in listen([well(A, 1)]).look()] == ["a"]


def test_cordons_are_told(listen, ctx):
    looking = listen([well(A, 1), well(B, 1)])
    with ctx.journal.write("test") as writer:
        writer.cordon([Cordon("a", None, "fan", "ann", 1.0)])
    assert [node.cordon for node in looking.look()] == ["fan", None]
