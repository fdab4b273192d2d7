"""What all nodes offer now, remembered per kind of request: only a node whose room changed is looked at again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from msgspec.structs import replace

from gpualloc.model.workload import Preemption, Request
from gpualloc.policies.offer import Offer, enough, offer
from gpualloc.policies.room import NodeRoom
from gpualloc.policies.survey import idle_room


class Market:
    """The rooms of all nodes that answered, and their offers."""

    def __init__(self, rooms: Mapping[str, NodeRoom]) -> None:
        self.rooms = dict(rooms)
        """The rooms by name, in sorted order; changed by `put` only."""
        self._offers: dict[Request, dict[str, Offer]] = {}
        self._able: dict[Request, frozenset[str]] = {}

    @cached_property
    def _idle(self) -> dict[str, NodeRoom]:
        return {name: idle_room(room.node) for name, room in self.rooms.items()}

    def room(self, node: str) -> NodeRoom | None:
        """The node's room now; None when it did not answer."""
        return self.rooms.get(node)

    def put(self, room: NodeRoom) -> None:
        """Replace a node's room."""
        name = room.node.name
        self.rooms[name] = room
        for offers in self._offers.values():
            offers.pop(name, None)

    def offers(self, request: Request) -> Mapping[str, Offer]:
        """What each node offers now, by name in sorted order."""
        kind = kind_of(request)
        known = self._offers.get(kind, {})
        offers = {name: known.get(name) or offer(room, kind) for name, room in self.rooms.items()}
        self._offers[kind] = offers
        return offers

    def able(self, request: Request) -> frozenset[str]:
        """Names of the nodes that could hold the request if they were empty and healthy."""
        kind = kind_of(request)
        if kind not in self._able:
            names = (name for name, room in self._idle.items() if enough(offer(room, kind), kind))
            self._able[kind] = frozenset(names)
        return self._able[kind]


def kind_of(request: Request) -> Request:
    """The request without what no offer depends on."""
    return replace(
        request,
        command=(),
        env=(),
        cwd=None,
        at_most_s=None,
        priority=0,
        nodes=(),
        labels=(),
        near=(),
        cpu_weight=None,
        io_weight=None,
        preempt=Preemption.SUSPEND,
        checkpoint_signal=None,
        checkpoint_command=(),
        gpus_max=None,
        resize_command=(),
    )
