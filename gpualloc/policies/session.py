"""The session that the built-in policies share: one problem on one board, decided request by request."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.decision import Problem, Ranked, Rejection
from gpualloc.model.workload import Request, Workload
from gpualloc.policies.ask import Ask, ask_of
from gpualloc.policies.board import Board, Flags, Spot
from gpualloc.policies.demand import Demand, demand_of
from gpualloc.policies.filters import allowed, takes_work
from gpualloc.policies.gang_rejection import reject_gang
from gpualloc.policies.gangs import gang_allocation, place_gang
from gpualloc.policies.instances import Preference, aimed, best_instances, by_worth
from gpualloc.policies.market import Market, kind_of
from gpualloc.policies.mig_worth import MigWorth
from gpualloc.policies.objectives.aims import aim_of
from gpualloc.policies.objectives.burdens import burden_of
from gpualloc.policies.offer import Candidate, Offer, allocate
from gpualloc.policies.packer import Packer, PricedScorer, Scorer
from gpualloc.policies.rejection import reject, reject_briefly
from gpualloc.policies.room import NodeRoom
from gpualloc.policies.survey import survey

MakeScorer = Callable[[Board, Demand], Scorer | PricedScorer]
"""Makes a scorer for one problem."""


class Taste(Struct, frozen=True):
    """All that tells one built-in policy from another."""

    scorer: MakeScorer
    instances: Preference | None = None
    """Which MIG instances it likes better; None: those whose use leaves most to the work to come."""
    by_lot: bool = False
    """Whether the seed and the workload decide among places that score equal; else the first does."""
    by_memory: bool = False
    """Whether, of places that score equal, those with less GPU memory go first; else, and then, by name and index."""


class BoardSession:
    """One problem being decided, with what is left after each placement."""

    def __init__(self, problem: Problem, taste: Taste) -> None:
        self._problem = problem
        self._taste = taste
        self._market = Market(survey(problem))
        rooms = sorted(self._market.rooms.values(), key=lambda room: (taste.by_memory * _memory(room), room.node.name))
        self._rooms = tuple(rooms)
        self.board = Board(rooms, by_memory=taste.by_memory)
        self._aim = aim_of(problem, self._rooms)
        burden = burden_of(self._aim, self.board, self._rooms) if self._aim is not None else None
        self.packer = Packer(self.board, taste.scorer(self.board, demand_of(problem)), burden)
        self.takes_work: Flags = np.array([takes_work(room.node) for room in rooms], np.bool_)
        """(N,) nodes of the board that new work may go to."""
        self._instances = taste.instances
        self._asks: dict[Request, Ask] = {}
        self._kinds: dict[Request, int] = {}
        self._known: dict[int, tuple[Request, Ask]] = {}
        self._unbooked: defaultdict[str, list[Allocation]] = defaultdict(list)
        for expected in problem.expected:
            if expected.request.share is not Share.MIG and not expected.request.gang:
                self.packer.scores(self.ask(expected.request))

    def place(self, workload: Workload) -> Allocation | Rejection:
        """Give the workload the place the policy likes best among those that fit, or say why there is none."""
        request = workload.request
        if request.gang:
            return self._place_gang(workload)
        if request.share is Share.MIG:
            return self._place_instances(workload)
        ask = self.ask(request)
        spot = self.best(workload, ask)
        if spot is None:
            return self._reject(workload, ask)
        return self.take(workload, ask, spot)

    def take(self, workload: Workload, ask: Ask, spot: Spot) -> Allocation:
        """Book a place, which must fit, for the workload."""
        allocation = self._allocation(workload.id, workload.request, ask, spot)
        self.packer.take(ask, spot)
        self._unbooked[allocation.node].append(allocation)
        return allocation

    def best(self, workload: Workload, ask: Ask) -> Spot | None:
        """The place for a workload now; None when it fits nowhere. Takes nothing."""
        if not self._taste.by_lot:
            return self.packer.best(ask)
        lot = hashlib.blake2b(f"{self._problem.seed} {workload.id}".encode(), digest_size=16).digest()
        return self.packer.drawn(ask, int.from_bytes(lot, "big"))

    def ranking(self, workload: Workload, count: int) -> tuple[Ranked, ...]:
        """The nodes with the highest scores for the workload now, the best first; takes nothing.

        Where an objective is given, those it has least against come first; the last is then the one with the highest
        score, unless it is there anyway. Empty for MIG instances, which are compared by more than one number, and for
        gangs.
        """
        if workload.request.share is Share.MIG or workload.request.gang:
            return ()
        ask = self.ask(workload.request)
        scores, picks = self.packer.scores(ask)
        by_score = np.argsort(-scores, kind="stable")
        order = by_score if self._aim is None else by_score[self.packer.burdens(ask)[by_score].argsort(kind="stable")]
        best = [node for node in order[:count].tolist() if scores[node] > -np.inf]
        if len(best) > 1 and by_score[0] not in best:
            best[-1] = int(by_score[0])
        spots = [self.packer.spot(ask, node, int(picks[node])) for node in best]
        return tuple(
            Ranked(self.board.names[spot.node], float(scores[spot.node]), self._devices(spot)[1], self._said(spot.node))
            for spot in spots
        )

    def free(self, allocation: Allocation) -> None:
        """Give an allocation's room back; what is on a node that does not answer has no room here."""
        for part in allocation.parts:
            room = self.room(part.node)
            if room is not None:
                self._put(room.give_back(part))

    def room(self, node: str) -> NodeRoom | None:
        """What is left on the node now; None when it did not answer."""
        room = self._market.room(node)
        if room is not None and self._unbooked[node]:
            for allocation in self._unbooked.pop(node):
                room = room.book(allocation)
            self._market.put(room)
        return room

    def ask(self, request: Request) -> Ask:
        """The request in the terms of the board."""
        known = self._known.get(id(request))
        if known is not None:
            return known[1]
        kind = replace(kind_of(request), nodes=request.nodes, labels=request.labels, near=request.near)
        if kind not in self._asks:
            number = self._kinds.setdefault(replace(kind, memory_mib=None), len(self._kinds))
            self._asks[kind] = ask_of(request, number, self.board, self._rooms, self.takes_work)
        self._known[id(request)] = request, self._asks[kind]  # held, so that its identity stays its own
        return self._asks[kind]

    def market(self) -> Market:
        """The rooms and offers of all nodes, up to date."""
        for node in list(self._unbooked):
            self.room(node)
        return self._market

    def _put(self, room: NodeRoom) -> None:
        self._market.put(room)
        self.board.read(self.board.row[room.node.name], room)

    def _place_gang(self, workload: Workload) -> Allocation | Rejection:
        """Give all members a place, or none."""
        request, offers = workload.request, self.market().offers(workload.request)
        usable = {
            name: found
            for name, found in offers.items()
            if takes_work(found.room.node) and allowed(found.room.node, request)
        }
        candidates = self._members(usable, request)
        if candidates is None:
            return reject_gang(self._problem.snapshot, offers, workload)
        allocation = gang_allocation(workload.id, candidates)
        for candidate, part in zip(candidates, allocation.parts, strict=True):
            self._put(candidate.room.book(part))
        return allocation

    def _members(self, usable: Mapping[str, Offer], request: Request) -> tuple[Candidate, ...] | None:
        """Where the members of a gang go: no farther into what the objective likes less than they must."""
        if self._aim is None:
            return place_gang(usable, request)
        tiers = {name: self._aim.of_node(found.room) for name, found in usable.items()}
        for least in sorted(set(tiers.values())):
            found = place_gang({name: usable[name] for name in usable if tiers[name] <= least}, request)
            if found is not None:
                return found
        return None

    def _said(self, row: int) -> str:
        """What the objective looks at on a node of the board, in words."""
        room = self.room(self.board.names[row])
        return self._aim.words(room) if self._aim is not None and room is not None else ""

    def _place_instances(self, workload: Workload) -> Allocation | Rejection:
        if self._instances is None:
            self._instances = by_worth(MigWorth(self.market().rooms.values(), self._problem.requests))
        liked = self._instances if self._aim is None else aimed(self._instances, self._aim)
        best = best_instances(self.market(), workload.request, liked)
        if best is None:
            return self._reject(workload)
        allocation = allocate(workload.id, best)
        self._put(best.room.book(allocation))
        return allocation

    def _allocation(self, workload: str, request: Request, ask: Ask, spot: Spot) -> Allocation:
        columns, devices = self._devices(spot)
        if ask.memory_each is None:
            grants = tuple(Grant(device, ask.share) for device in devices)
        else:
            memory = ask.memory_each[spot.node, columns].tolist()
            grants = tuple(
                Grant(device, ask.share, fraction=ask.fraction, memory_mib=memory_mib)
                for device, memory_mib in zip(devices, memory, strict=True)
            )
        return Allocation(
            workload=workload,
            node=self.board.names[spot.node],
            grants=grants,
            cpus=request.cpus,
            cpuset=request.cpuset,
            memory_mib=request.memory_mib,
            pids=request.pids,
            cpu_weight=request.cpu_weight,
            io_weight=request.io_weight,
        )

    def _devices(self, spot: Spot) -> tuple[list[int], tuple[str, ...]]:
        """The spot's columns in the fixed order of its devices, and the UUIDs of these."""
        here = self._rooms[spot.node].devices
        places = self.board.columns[spot.node]
        columns = sorted(spot.devices, key=places.__getitem__)
        return columns, tuple(here[places[column]].device.uuid for column in columns)

    def _reject(self, workload: Workload, ask: Ask | None = None) -> Rejection:
        if ask is not None and not self._problem.explain:
            return reject_briefly(self.board, ask, workload.id)
        market = self.market()
        request = workload.request
        return reject(self._problem.snapshot, market.offers(request), market.able(request), workload)


def _memory(room: NodeRoom) -> int:
    """Memory of the largest device, MiB."""
    return max((each.device.memory_total_mib or 0 for each in room.devices), default=0)
