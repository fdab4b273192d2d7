"""A policy for gpualloc: work goes where it is coolest.

Of the nodes on which a request fits, the one where the devices it would get have the lowest mean temperature; on it the
coolest devices. CPU-only work goes to the node whose devices are the coolest. A device that does not tell its
temperature comes after all that do. Ties go to the first node by name and the first device by index.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem, Rejection
from gpualloc.model.inventory import Device
from gpualloc.model.workload import Request, Workload
from gpualloc.policies.filters import allowed, takes_work
from gpualloc.policies.market import Market
from gpualloc.policies.offer import Candidate, Offer, allocate, enough
from gpualloc.policies.rejection import reject
from gpualloc.policies.room import Target
from gpualloc.policies.survey import survey


class Coolest:
    """Puts work on the coolest devices."""

    name = "coolest"
    version = "1"

    def begin(self, problem: Problem) -> CoolestSession:
        """Start deciding the problem."""
        return CoolestSession(problem)


class CoolestSession:
    """One problem being decided."""

    def __init__(self, problem: Problem) -> None:
        self._snapshot = problem.snapshot
        self._market = Market(survey(problem))

    def place(self, workload: Workload) -> Allocation | Rejection:
        """The coolest place where the request fits, or why there is none."""
        request = workload.request
        offers = self._market.offers(request)
        fitting = [_candidate(offer, request) for offer in offers.values() if _fits(offer, request)]
        if not fitting:
            return reject(self._snapshot, offers, self._market.able(request), workload)
        best = min(fitting, key=lambda found: (_temperature(_devices(found)), found.room.node.name))
        allocation = allocate(workload.id, best)
        self._market.put(best.room.book(allocation))
        return allocation

    def free(self, allocation: Allocation) -> None:
        """Give the room of an allocation back; one on a node that does not answer has none here."""
        room = self._market.room(allocation.node)
        if room is not None:
            self._market.put(room.give_back(allocation))


def _fits(offer: Offer, request: Request) -> bool:
    """Whether the whole request may go to the node and fits there."""
    node = offer.room.node
    return takes_work(node) and allowed(node, request) and enough(offer, request)


def _candidate(offer: Offer, request: Request) -> Candidate:
    """The node with the coolest of the devices (or MIG instances) that would do."""
    ranked = sorted(offer.usable, key=lambda target: (_temperature([target.room.device]), target.order))
    return Candidate(offer.room, request, offer.usable, tuple(ranked[: request.gpus]))


def _devices(found: Candidate) -> Sequence[Device]:
    """What the work would heat: the devices it would get; for CPU-only work, all of the node."""
    targets = found.chosen or tuple(Target(room) for room in found.room.devices)
    return [target.room.device for target in targets]


def _temperature(devices: Sequence[Device]) -> tuple[int, float]:
    """How many devices do not tell their temperature, and the mean of those that do: lower is better."""
    known = [device.temperature_c for device in devices if device.temperature_c is not None]
    return len(devices) - len(known), fmean(known) if known else 0.0
