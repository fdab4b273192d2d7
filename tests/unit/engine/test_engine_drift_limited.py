"""A node of which gpualloc cannot see its own work is told of among those that nothing is known of."""

from gpualloc.engine.drift import Drift
from gpualloc.model.inventory import Node, NodeSpec, NodeState, Snapshot


def test_silent_and_limited_nodes_are_unknown():
    nodes = (
        Node(NodeSpec("n1", "p", "ssh"), NodeState.OK, 1.0),
        Node(NodeSpec("n2", "p", "ssh"), NodeState.OK, 1.0, limited="no python3 there"),
        Node(NodeSpec("n3", "p", "ssh"), NodeState.UNREACHABLE, 1.0),
    )
    assert Drift(Snapshot(1.0, nodes), ()).unknown == ("n2", "n3")
