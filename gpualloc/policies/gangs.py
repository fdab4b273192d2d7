"""Places for gangs: which nodes, how many GPUs of each, and which.

All or nothing. In this order: GPUs of one model before mixed ones; the fewest nodes, so one node where it fits; the
fewest racks (label `rack`; nodes without it count as one rack); as many GPUs on each member; the least left over on the
nodes; then model and node names as text. On a node, GPUs near the same CPUs (one NUMA node) before others, from the
NUMA node on which the least is left; then by index. The order of the input does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Gang, Member
from gpualloc.model.workload import Request
from gpualloc.policies.offer import Candidate, Offer, allocate, shortages
from gpualloc.policies.room import Target

RACK = "rack"
"""Label of a pool or node that names the rack."""


class _Site(Struct, frozen=True):
    """A node with the targets that a gang could have there."""

    found: Offer
    targets: tuple[Target, ...]
    rack: str

    @property
    def room(self) -> int:
        return len(self.targets)


_Spread = tuple[tuple[_Site, int], ...]
"""Sites with how many devices are taken of each."""


def place_gang(offers: Mapping[str, Offer], request: Request) -> tuple[Candidate, ...] | None:
    """The members of a gang by rank, each a node with what it takes there; None when there is no room for all.

    Args:
        offers: what each node that may be used has for the request, by name.
        request: what is asked for; host resources are those of one member.
    """
    sites = [_Site(found, found.usable, _rack(found)) for _, found in sorted(offers.items())]
    sites = [site for site in sites if site.targets and not shortages(site.found, replace(request, gpus=0))]
    models = sorted({target.room.device.model for site in sites for target in site.targets})
    spreads = [spread for model in models if (spread := _spread(_of_model(sites, model), request)) is not None]
    best = min(spreads, key=_cost) if spreads else _spread(sites, request)
    if best is None:
        return None
    ranked = sorted(best, key=lambda each: (each[0].rack, each[0].found.node))
    return tuple(
        Candidate(site.found.room, request, site.targets, _close_together(site.targets, count))
        for site, count in ranked
    )


def gang_allocation(workload: str, candidates: Sequence[Candidate]) -> Allocation:
    """The allocation of a gang whose members are the candidates, by rank."""
    parts = [allocate(workload, candidate) for candidate in candidates]
    members = tuple(Member(rank, part.node, part.grants, part.cpuset) for rank, part in enumerate(parts))
    grants = tuple(grant for part in parts for grant in part.grants)
    return replace(parts[0], grants=grants, gang=Gang(len(members), len(grants), members))


def _rack(found: Offer) -> str:
    return found.room.node.spec.labels.get(RACK, "")


def _of_model(sites: Iterable[_Site], model: str) -> list[_Site]:
    narrowed = (
        replace(site, targets=tuple(target for target in site.targets if target.room.device.model == model))
        for site in sites
    )
    return [site for site in narrowed if site.targets]


def _spread(sites: Sequence[_Site], request: Request) -> _Spread | None:
    """The best way to take the devices of these sites; None when there are too few."""
    if request.per_node is not None:
        return min(_ways(sites, request, request.gpus // request.per_node), key=_cost, default=None)
    count = _fewest([site.room for site in sites], request.gpus)
    return None if count is None else min(_ways(sites, request, count), key=_cost)


def _fewest(rooms: Sequence[int], wanted: int) -> int | None:
    """How many of the largest rooms are needed; None when all are not enough."""
    total = 0
    for count, room in enumerate(sorted(rooms, reverse=True), start=1):
        total += room
        if total >= wanted:
            return count
    return None


def _ways(sites: Sequence[_Site], request: Request, count: int) -> Iterator[_Spread]:
    """Ways to take the devices of that many sites: of each rack by itself, and of all together."""
    racks: dict[str, list[_Site]] = {}
    for site in sites:
        racks.setdefault(site.rack, []).append(site)
    for group in (*racks.values(), sites):
        each, rest = divmod(request.gpus, count)
        if rest == 0 and (even := _evenly(group, each, count)) is not None:
            yield even
        if request.per_node is None and (uneven := _unevenly(group, request.gpus, count)) is not None:
            yield uneven


def _evenly(sites: Sequence[_Site], each: int, count: int) -> _Spread | None:
    """As many devices of each of the sites: racks with the most such sites first, then where the least is left."""
    fit = [site for site in sites if site.room >= each]
    if len(fit) < count:
        return None
    of_rack = Counter(site.rack for site in fit)
    fit.sort(key=lambda site: (-of_rack[site.rack], site.rack, site.room, site.found.node))
    return tuple((site, each) for site in fit[:count])


def _unevenly(sites: Sequence[_Site], wanted: int, count: int) -> _Spread | None:
    """The devices of the sites with the most of them, as evenly as they have them."""
    largest = sorted(sites, key=lambda site: (-site.room, site.rack, site.found.node))[:count]
    if len(largest) < count or sum(site.room for site in largest) < wanted:
        return None
    taken = []
    for left, site in zip(range(count, 0, -1), reversed(largest), strict=True):
        share = min(site.room, wanted // left)
        wanted -= share
        taken.append((site, share))
    return tuple(taken)


def _cost(spread: _Spread) -> tuple[int, int, int, int, str, tuple[str, ...]]:
    """Lower is better: nodes, racks, unevenness, devices left over; then the model and the names."""
    counts = [count for _, count in spread]
    left = sum(site.room for site, _ in spread) - sum(counts)
    model = spread[0][0].targets[0].room.device.model
    names = tuple(sorted(site.found.node for site, _ in spread))
    return len(spread), len({site.rack for site, _ in spread}), max(counts) - min(counts), left, model, names


def _close_together(targets: Sequence[Target], count: int) -> tuple[Target, ...]:
    """That many of the targets, near the same CPUs as far as that goes."""
    groups: dict[str, list[Target]] = {}
    for target in sorted(targets, key=lambda target: target.order):
        groups.setdefault(target.room.device.cpus or "", []).append(target)
    by_place = sorted(groups.values(), key=lambda group: group[0].order)
    whole = min((group for group in by_place if len(group) >= count), key=len, default=None)
    if whole is not None:
        return tuple(whole[:count])
    largest_first = sorted(by_place, key=len, reverse=True)
    chosen = [target for group in largest_first for target in group][:count]
    return tuple(sorted(chosen, key=lambda target: target.order))
