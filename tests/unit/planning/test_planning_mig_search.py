"""From any layout to any target: the planner finds a way, or trying everything finds none either.

A30: every layout, every target and every set of instances in use, each carried out by a simulated GPU. A100 and H100:
every layout, with a drawn set in use, to drawn targets among none, every single instance and every layout that takes
no more. `bench/mig_search.py` leaves nothing to chance: every layout to every target.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, combinations
from random import Random

import pytest
from fakes import mig_tables
from msgspec.structs import replace

from gpualloc.errors import InfeasibleError
from gpualloc.model.mig import Layout
from gpualloc.planning.mig import Held, Transition, transition


def subsets(layout: Layout) -> Iterable[Layout]:
    return chain.from_iterable(combinations(layout, count) for count in range(len(layout) + 1))


def planned(key: str, seen: list[Held], target: Layout) -> Transition | None:
    """The transition, or None when the planner says that there is none; it is right in that."""
    in_use = tuple(held.place for held in seen if held.in_use and held.place is not None)
    try:
        found = transition(mig_tables.profiles(key), seen, target)
    except InfeasibleError:
        found = None
    assert (found is not None) == (target in mig_tables.reachable(key, in_use)), (seen, target)
    return found


def test_every_change_of_a_small_gpu_is_carried_out_by_a_simulated_one() -> None:
    key = "A30-24GB"
    tried = carried_out = 0
    for current in mig_tables.layouts(key):
        for in_use in subsets(current):
            gpu, seen = mig_tables.gpu_with(key, current, in_use)
            before = mig_tables.generations(gpu)
            for target in mig_tables.layouts(key):
                tried += 1
                found = planned(key, seen, target)
                if found is not None:
                    changed = replace(gpu)
                    mig_tables.carry_out(changed, found.operations)
                    after = mig_tables.generations(changed)
                    assert set(after) == set(target)
                    assert {place for place in after if after[place] == before.get(place)} == set(current) & set(target)
                    carried_out += 1
    print(f"{key}: {tried} changes, {carried_out} carried out, the others impossible")
    every = [set(layout) for layout in mig_tables.layouts(key)]
    assert tried == sum(2 ** len(layout) for layout in every) * len(every)
    assert carried_out == sum(2 ** len(current & target) for current in every for target in every)


@pytest.mark.parametrize(("key", "drawn"), [("A100-40GB", 10), ("H100-80GB", 6)])
def test_every_layout_of_a_large_gpu_becomes_what_it_can(key: str, drawn: int) -> None:
    chance = Random(key)
    every = mig_tables.layouts(key)
    targets = [layout for layout, open_places in every.items() if len(layout) <= 1 or not open_places]
    counts = {True: 0, False: 0}
    for current in every:
        for target in chance.sample(targets, drawn):
            found = planned(key, mig_tables.held(current, drawn_places(chance, current, target)), target)
            counts[found is not None] += 1
            if found is not None:
                assert mig_tables.carried_out(key, current, found.operations) == target
                assert {held.place for held in found.kept} == set(current) & set(target)
    print(f"{key}, seed {key!r}, {len(targets)} targets: {counts[True]} changes, {counts[False]} impossible ones")
    assert (len(every), len(targets)) == (2319, 1 + 25 + 239 - 1)
    assert min(counts.values()) > 5_000


def drawn_places(chance: Random, current: Layout, target: Layout) -> Layout:
    """Places in use: every other time only such as the target has, or hardly any change would be possible."""
    among = current if chance.random() < 0.5 else tuple(place for place in current if place in target)
    return tuple(place for place in among if chance.random() < 0.5)
