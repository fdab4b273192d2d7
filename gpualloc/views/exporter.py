"""The page that Prometheus scrapes: made once a tick, from lines of each node that are made when the node changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from gpualloc.model.desired import Cordon
from gpualloc.model.health import Condition, Event, Severity, Trouble
from gpualloc.model.inventory import Node, NodeState
from gpualloc.ports import WatchFigures
from gpualloc.views.prometheus import Family, Labels, family, group
from gpualloc.views.prometheus_blocks import NODE_FAMILIES, PROCESS_FAMILIES, Block, node_block
from gpualloc.views.prometheus_node import AGE

UP = family("up", "1 while nodes are watched.")
BUILD = family("build_info", "1, with the version of gpualloc as a label.", ("version",))
SIMULATED = family("simulated", "1 when the nodes are simulated or recorded, else 0.")
WATCHED = family("watch_nodes", "Nodes by how watching them goes.", ("state",))
RECEIVED = family("watch_received_bytes_total", "What nodes sent, without the transport's own.")
SENT = family("watch_sent_bytes_total", "What was sent to nodes.")
MESSAGES = family("watch_messages_total", "Messages from nodes.")
RESUMED = family("watch_resumed_total", "Connections made anew after a cut.")
EVENTS = family(
    "events_total",
    "Events that were noted since the exporter began; the end of a condition is none.",
    ("trouble", "severity"),
)
SAMPLED = family("last_sample_timestamp_seconds", "When `gpualloc sample` last kept what nodes told.")
CONDITION = family(
    "condition",
    "1 for each thing that is wrong, as `gpualloc sample` last judged; not told when that is long ago.",
    ("node", "uuid", "trouble", "severity"),
)
CORDONED = family("cordon", "1 for each node, or device of it, that takes no new work.", ("node", "uuid"))
RENDERED = family("exporter_render_seconds", "Time that making the page before this one took.")
CPU = Family("process_cpu_seconds_total", "counter", "CPU time of the exporter.", ())
MEMORY = Family("process_resident_memory_bytes", "gauge", "Memory of the exporter.", ())
BEGAN = Family("process_start_time_seconds", "gauge", "When the exporter began.", ())

HEAD_FAMILIES = (
    UP,
    BUILD,
    SIMULATED,
    WATCHED,
    RECEIVED,
    SENT,
    MESSAGES,
    RESUMED,
    EVENTS,
    SAMPLED,
    CONDITION,
    CORDONED,
    RENDERED,
    CPU,
    MEMORY,
    BEGAN,
    AGE,
)
"""What is told anew on each page."""
FAMILIES = (*HEAD_FAMILIES, *NODE_FAMILIES, *PROCESS_FAMILIES)
"""Everything that a page may hold, in its order."""


class OwnCost(Struct, frozen=True):
    """What the exporter itself takes."""

    version: str
    began_s: float
    """Epoch seconds."""
    cpu_s: float
    memory_bytes: int | None
    render_s: float | None
    """Of the page before; None for the first."""


class Kept(Struct, frozen=True):
    """What the state knows beside what nodes tell now."""

    cordons: Sequence[Cordon] = ()
    """What takes no new work."""
    conditions: Sequence[Condition] = ()
    """What is wrong, as it was judged last."""
    sampled_at_s: float | None = None
    """When readings were kept last, epoch seconds; None when they never were."""


NOTHING_KEPT = Kept()


class EventCounts:
    """Events counted since the exporter began, by trouble and severity."""

    def __init__(self) -> None:
        self._counts = {(trouble, severity): 0 for trouble in Trouble for severity in Severity}

    def take(self, events: Iterable[Event]) -> None:
        """Count those kept since the last call, without ends of conditions and what was old when it was seen."""
        for event in events:
            if event.news and not event.over:
                self._counts[event.trouble, event.severity] += 1

    def text(self) -> str:
        """The family; what never happened is 0, so that its first time is seen as a rise."""
        return group(
            EVENTS,
            (
                ((("trouble", trouble.value), ("severity", severity.value)), count)
                for (trouble, severity), count in self._counts.items()
            ),
        )


class Exposition:
    """Makes pages; keeps the lines of each node for as long as the node stays the same object.

    Args:
        simulated: whether the nodes are simulated or recorded.
        processes: whether each process has series of its own.
    """

    def __init__(self, *, simulated: bool, processes: bool) -> None:
        self._simulated = simulated
        self._processes = processes
        self._families = (*NODE_FAMILIES, *(PROCESS_FAMILIES if processes else ()))
        self._blocks: dict[str, tuple[Node, Block]] = {}
        self.events = EventCounts()

    def page(
        self,
        nodes: Sequence[Node],
        at_s: float,
        cost: OwnCost,
        figures: WatchFigures | None = None,
        kept: Kept = NOTHING_KEPT,
    ) -> bytes:
        """The whole page.

        Args:
            nodes: the newest of each node, in the order of the page.
            at_s: now, by the clock of the nodes' world.
            cost: what the exporter takes.
            figures: how watching goes; None before it began.
            kept: what the state knows.
        """
        blocks = [self._block(node) for node in nodes]
        self._blocks = {node.name: (node, block) for node, block in zip(nodes, blocks, strict=True)}
        parts = [self._head(nodes, at_s, cost, figures, kept).encode()]
        for each in self._families:
            lines = [block[each] for block in blocks if each in block]
            if lines:
                parts.append(each.header.encode())
                parts += lines
        return b"".join(parts)

    def _block(self, node: Node) -> Block:
        kept = self._blocks.get(node.name)
        if kept is not None and kept[0] is node:
            return kept[1]
        return node_block(node, processes=self._processes)

    def _head(
        self,
        nodes: Sequence[Node],
        at_s: float,
        cost: OwnCost,
        figures: WatchFigures | None,
        kept: Kept,
    ) -> str:
        heard = [node for node in nodes if node.state in (NodeState.OK, NodeState.STALE)]
        return "".join(
            (
                group(UP, [((), figures is not None)]),
                group(BUILD, [((("version", cost.version),), 1)]),
                group(SIMULATED, [((), self._simulated)]),
                "" if figures is None else _figures(figures),
                self.events.text(),
                group(SAMPLED, [((), kept.sampled_at_s)]),
                group(CONDITION, ((labels, 1) for labels in dict.fromkeys(map(_condition, kept.conditions)))),
                group(CORDONED, (((("node", each.node), ("uuid", each.device)), 1) for each in kept.cordons)),
                group(RENDERED, [((), cost.render_s)]),
                group(CPU, [((), cost.cpu_s)]),
                group(MEMORY, [((), cost.memory_bytes)]),
                group(BEGAN, [((), cost.began_s)]),
                group(
                    AGE, (((("node", n.name), ("pool", n.spec.pool)), max(0.0, round(at_s - n.at_s, 3))) for n in heard)
                ),
            )
        )


def _condition(condition: Condition) -> Labels:
    return (
        ("node", condition.node),
        ("uuid", condition.device),
        ("trouble", condition.trouble.value),
        ("severity", condition.severity.value),
    )


def _figures(figures: WatchFigures) -> str:
    nodes: Mapping[str, int] = {
        "streaming": figures.streaming,
        "connecting": figures.connecting,
        "failing": figures.failing,
    }
    return "".join(
        (
            group(WATCHED, (((("state", state),), count) for state, count in nodes.items())),
            group(RECEIVED, [((), figures.received_bytes)]),
            group(SENT, [((), figures.sent_bytes)]),
            group(MESSAGES, [((), figures.messages)]),
            group(RESUMED, [((), figures.resumed)]),
        )
    )
