"""Places for requests that want MIG instances: by the rooms of the nodes, one instance at a time.

The order among places is explicit: first the policy's own scores (lower goes first), then the node's name as text; on
the node the policy's scores of targets, then device index, device UUID, and place of the MIG instance.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from gpualloc.model.workload import Request
from gpualloc.policies.filters import allowed, takes_work
from gpualloc.policies.instance_scores import (
    devices_opened,
    free_memory,
    gpu_memory_left,
    instances_free,
    instances_left,
)
from gpualloc.policies.market import Market
from gpualloc.policies.mig_worth import MigWorth
from gpualloc.policies.objectives.aim import Aim, Scores
from gpualloc.policies.offer import Candidate, enough
from gpualloc.policies.room import Target


class Preference(Struct, frozen=True):
    """Which instances a policy likes better."""

    nodes: Callable[[Candidate], Scores]
    """Scores of a node with the instances that would be taken there."""
    targets: Callable[[Target], Scores]
    """Scores of one instance."""


ANY = Preference(nodes=lambda _: (), targets=lambda _: ())
"""The first that fits."""
FULLEST = Preference(
    nodes=lambda found: (devices_opened(found), instances_left(found), gpu_memory_left(found)),
    targets=lambda target: (instances_free(target), free_memory(target)),
)
"""On devices in use before idle ones, so that whole devices stay free."""
EMPTIEST = Preference(
    nodes=lambda found: (-instances_left(found), -gpu_memory_left(found)),
    targets=lambda target: (-instances_free(target), -free_memory(target)),
)
"""As far as can be from other work."""


def by_worth(worth: MigWorth) -> Preference:
    """Those whose use leaves most to the work to come; among equals as `FULLEST`."""
    return Preference(
        nodes=lambda found: (*_given_away(worth, found), *FULLEST.nodes(found)),
        targets=lambda target: (*worth.instance_scores(target), *FULLEST.targets(target)),
    )


def aimed(preference: Preference, aim: Aim) -> Preference:
    """What the objective has least against; among equals as the preference has it."""
    return Preference(
        nodes=lambda found: (*aim.of_instances(found), *preference.nodes(found)),
        targets=lambda target: (*aim.of_instance(target), *preference.targets(target)),
    )


def _given_away(worth: MigWorth, candidate: Candidate) -> Scores:
    scores = [worth.instance_scores(target) for target in candidate.chosen]
    return sum(unknown for unknown, _ in scores), sum(cost for _, cost in scores)


def best_instances(market: Market, request: Request, preference: Preference) -> Candidate | None:
    """The place the preference likes best among those that fit; None when there is none."""
    candidates = [
        Candidate(found.room, request, found.usable, _chosen(found.usable, request.gpus, preference))
        for found in market.offers(request).values()
        if takes_work(found.room.node) and allowed(found.room.node, request) and enough(found, request)
    ]
    return min(candidates, key=lambda found: (preference.nodes(found), found.room.node.name), default=None)


def _chosen(usable: tuple[Target, ...], count: int, preference: Preference) -> tuple[Target, ...]:
    ranked = sorted(usable, key=lambda target: (preference.targets(target), target.order))
    return tuple(ranked[:count])
