"""Waiting work is served by another MIG layout, and only by one that takes nothing from anybody."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import mig_tables, scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.decide import decide
from gpualloc.engine.repartition import repartition
from gpualloc.model.allocation import Share
from gpualloc.model.decision import Decision
from gpualloc.model.desired import DesiredDevice, Repartition
from gpualloc.model.inventory import MigInstance, Node
from gpualloc.model.mig import check_layout, layout_text
from gpualloc.model.objective import Objective
from gpualloc.model.workload import Workload
from gpualloc.planning.partition import Partition
from gpualloc.policies.best_fit import BestFit

PROFILES = mig_tables.profiles("A100-40GB")
BY_NAME = {profile.name: profile for profile in PROFILES}


def node(name: str, *gpus: str | None, **said: Any) -> Node:
    """A node of A100s, each with a layout; None is MIG mode off. Instances are MIG-<node>-<index>-<number>."""
    found = scenes.node(name, devices=[{"memory_mib": 40960}] * len(gpus), **said)
    devices = []
    for device, layout in zip(found.devices, gpus, strict=True):
        places = [place.partition("@") for place in (layout or "").split(",") if place]
        instances = tuple(
            MigInstance(
                f"MIG-{name}-{device.index}-{number}",
                profile,
                int(start),
                BY_NAME[profile].size,
                BY_NAME[profile].memory_mib,
                0,
            )
            for number, (profile, _, start) in enumerate(places)
        )
        on = layout is not None
        devices.append(
            replace(
                device,
                architecture="ampere",
                mig_enabled=on,
                mig_pending=on,
                mig_instances=instances,
                mig_profiles=PROFILES,
            )
        )
    return replace(found, devices=tuple(devices))


def solve(
    nodes: list[Node],
    requests: list[Workload],
    *,
    automatic: tuple[str, ...] = (),
    pinned: tuple[str, ...] = (),
    extent: Repartition = Repartition.MODE,
    objective: Objective = Objective.BALANCED,
) -> tuple[Decision, tuple[Partition, ...]]:
    """What becomes of the requests; `automatic` and `pinned` name devices as `node/index`."""
    problem = replace(scenes.problem(nodes, requests), objective=objective)
    rows = []
    for names, ours in ((automatic, True), (pinned, False)):
        for where in names:
            name, _, index = where.partition("/")
            here = next(each for each in nodes if each.name == name).devices[int(index)]
            places = tuple(f"{each.profile}@{each.start}" for each in here.mig_instances) if ours else ()
            layout = ",".join(places) if ours else "off"
            rows.append(DesiredDevice(name, here.uuid, layout, automatic=ours, made=places))
    return repartition(problem, decide(problem, BestFit()), rows, extent)


def told(answer: tuple[Decision, tuple[Partition, ...]]) -> tuple[list[str], list[str]]:
    """Where each served workload goes, and the layouts changed."""
    decision, partitions = answer
    served = [
        f"{item.workload}: " + " ".join(f"{grant.device}/{grant.place or grant.mig_instance}" for grant in item.grants)
        for item in decision.allocations
    ]
    return served, [f"{item.device.uuid}: {layout_text(item.target)}" for item in partitions]


def asks(identifier: str = "w00000001", profile: str | None = "2g.10gb", **said: Any) -> Workload:
    return scenes.workload(identifier, mig_profile=profile, **said)


def test_a_free_instance_is_taken_and_nothing_is_changed() -> None:
    assert told(solve([node("a", "2g.10gb@0", None)], [asks()])) == (["w00000001: GPU-a-0/MIG-a-0-0"], [])


def test_room_beside_what_is_there_comes_before_a_change_of_mode() -> None:
    served, changed = told(solve([node("a", None, "3g.20gb@0")], [asks()]))
    assert served == ["w00000001: GPU-a-1/2g.10gb@4"]
    assert changed == ["GPU-a-1: 3g.20gb@0,2g.10gb@4"]


def test_an_idle_gpu_is_brought_into_mig_mode() -> None:
    assert told(solve([node("a", None)], [asks()]))[1] == ["GPU-a-0: 2g.10gb@4"]


@pytest.mark.parametrize("extent", [Repartition.OFF, Repartition.INSTANCES])
def test_only_what_may_be_changed_is(extent: Repartition) -> None:
    decision, partitions = solve([node("a", None)], [asks()], extent=extent)
    assert partitions == ()
    assert [rejection.workload for rejection in decision.rejections] == ["w00000001"]


def test_several_requests_share_one_new_layout() -> None:
    served, changed = told(solve([node("a", None)], [asks(f"w0000000{n}", "3g.20gb") for n in (1, 2)]))
    assert served == ["w00000001: GPU-a-0/3g.20gb@4", "w00000002: GPU-a-0/3g.20gb@0"]
    assert changed == ["GPU-a-0: 3g.20gb@0,3g.20gb@4"]


def test_small_work_keeps_out_of_gpus_that_are_still_whole() -> None:
    cut = node("b", "2g.10gb@4", claims=[{"device": "0/0"}])
    served, _ = told(solve([node("a", "", ""), cut], [asks(profile="1g.5gb")]))
    assert served == ["w00000001: GPU-b-0/1g.5gb@6"]


def test_what_runs_tells_which_places_are_kept() -> None:
    here = node("a", "1g.10gb@0", claims=[{"device": "0/0"}])
    assert told(solve([here], [asks(profile="1g.10gb")]))[0] == ["w00000001: GPU-a-0/1g.10gb@2"]
    places = [(index, number) for index in range(3) for number in range(4)]
    busy = [{"device": f"{index}/{number}", "workload": f"r{index}{number}"} for index, number in places]
    others = node("b", *["2g.10gb@0,2g.10gb@2,2g.10gb@4,1g.5gb@6"] * 3, claims=busy)
    assert told(solve([here, others], [asks(profile="1g.10gb")]))[0] == ["w00000001: GPU-a-0/1g.10gb@6"]


def test_instances_of_an_operator_stay_and_those_of_gpualloc_may_go() -> None:
    full = node("a", "3g.20gb@0,3g.20gb@4")
    assert told(solve([full], [asks()])) == ([], [])
    served, changed = told(solve([full], [asks()], automatic=("a/0",)))
    assert len(served) == 1
    assert changed in (["GPU-a-0: 3g.20gb@0,2g.10gb@4"], ["GPU-a-0: 2g.10gb@0,3g.20gb@4"])


def test_what_is_claimed_or_used_stays_even_if_gpualloc_laid_it_out() -> None:
    claimed = node("a", "3g.20gb@0,3g.20gb@4", claims=[{"device": "0/0"}], processes=[{"device": "0/1"}])
    assert told(solve([claimed], [asks()], automatic=("a/0",))) == ([], [])


def test_a_gpu_that_an_operator_took_out_of_mig_mode_stays_out() -> None:
    assert told(solve([node("a", None)], [asks()], pinned=("a/0",))) == ([], [])


def test_a_busy_cordoned_or_sick_gpu_is_left_alone() -> None:
    busy = node("a", None, claims=[{"device": "0"}])
    cordoned = node("b", None)
    cordoned = replace(cordoned, devices=(replace(cordoned.devices[0], cordon="repair"),))
    away = replace(node("c", None), cordon="doubtful")
    foreign = node("d", None, other_controllers=["slurmd"])
    assert told(solve([busy, cordoned, away, foreign], [asks()])) == ([], [])


def test_whole_gpus_come_back_from_layouts_that_nobody_uses() -> None:
    idle = node("a", "2g.10gb@0", None)
    wants = scenes.workload("w00000001", gpus=2)
    served, changed = told(solve([idle], [wants], automatic=("a/0",)))
    assert served == ["w00000001: GPU-a-0/None GPU-a-1/None"]
    assert changed == ["GPU-a-0: off"]
    assert told(solve([idle], [wants])) == ([], [])


def test_whole_gpus_come_back_near_one_numa_node() -> None:
    where = {"GPU-a-0": 0, "GPU-a-1": 1, "GPU-a-2": 1, "GPU-a-3": None}
    made = node("a", "2g.10gb@0", "2g.10gb@0", None, None)
    idle = replace(made, devices=tuple(replace(each, numa_node=where[each.uuid]) for each in made.devices))
    wants = scenes.workload("w00000001", gpus=2, numa=True)
    served, changed = told(solve([idle], [wants], automatic=("a/0", "a/1")))
    assert (served, changed) == (["w00000001: GPU-a-1/None GPU-a-2/None"], ["GPU-a-1: off"])
    instance = told(solve([node("b", None)], [asks(numa=True)]))
    assert instance == ([], []), "the NUMA node is not known"


def test_a_layout_is_changed_only_where_labels_and_paths_are() -> None:
    nodes = [node("a", None, labels={"rack": "r1"}), node("b", None, labels={"rack": "r2"}, near={"/data": True})]
    assert told(solve(nodes, [asks(labels={"rack": "r2"})]))[0] == ["w00000001: GPU-b-0/2g.10gb@4"]
    assert told(solve(nodes, [asks(near=["/data"])]))[0] == ["w00000001: GPU-b-0/2g.10gb@4"]
    assert told(solve(nodes, [asks(near=["/data"], labels={"rack": "r1"})]))[0] == []


def test_a_need_is_served_by_the_smallest_profile_that_has_it() -> None:
    wants = scenes.workload("w00000001", share_asked=Share.MIG, gpu_memory_mib=6000)
    assert told(solve([node("a", None)], [wants]))[0] == ["w00000001: GPU-a-0/1g.10gb@6"]
    wants = scenes.workload("w00000001", share_asked=Share.MIG, sm_count=40)
    assert told(solve([node("a", None)], [wants]))[0] == ["w00000001: GPU-a-0/3g.20gb@4"]


def test_several_instances_for_one_process_need_a_newer_driver_and_one_gpu() -> None:
    wants = asks(gpus=2, several_instances=True)
    served, _ = told(solve([node("a", None)], [wants]))
    assert served == ["w00000001: GPU-a-0/2g.10gb@0 GPU-a-0/2g.10gb@2"]
    assert told(solve([node("a", None, driver_version="550.54")], [wants])) == ([], [])


@settings(max_examples=60, deadline=None)
@given(
    gpus=st.lists(st.sampled_from([None, "", "3g.20gb@0", "1g.5gb@0,1g.5gb@1", "7g.40gb@0"]), min_size=1, max_size=3),
    wanted=st.lists(st.sampled_from([*BY_NAME, None]), min_size=1, max_size=6),
    automatic=st.booleans(),
)
def test_every_answer_is_legal_and_nothing_is_promised_twice(
    gpus: list[str | None], wanted: list[str | None], automatic: bool
) -> None:
    requests = [
        scenes.workload(f"w0000000{n}") if name is None else asks(f"w0000000{n}", name) for n, name in enumerate(wanted)
    ]
    ours = tuple(f"a/{index}" for index in range(len(gpus))) if automatic else ()
    decision, partitions = solve([node("a", *gpus)], requests, automatic=ours)
    targets = {item.device.uuid: item.target for item in partitions}
    given_places = [
        (grant.device, grant.place or grant.mig_instance) for item in decision.allocations for grant in item.grants
    ]
    assert len(set(given_places)) == len(given_places)
    assert len(decision.allocations) + len(decision.rejections) == len(requests)
    for item in partitions:
        check_layout(PROFILES, item.target or ())
    for item in decision.allocations:
        for grant in item.grants:
            if grant.place is not None:
                assert grant.place in [str(place) for place in targets[grant.device] or ()]
            elif grant.share is Share.MIG and grant.device in targets:
                there = next(d for d in node("a", *gpus).devices if d.uuid == grant.device)
                kept = [i for i in there.mig_instances if i.uuid == grant.mig_instance]
                assert f"{kept[0].profile}@{kept[0].start}" in [str(place) for place in targets[grant.device] or ()]
            elif grant.device in targets:
                assert targets[grant.device] is None


@pytest.mark.parametrize("cheap", ["a", "b"])
def test_an_objective_chooses_the_node_whose_layout_changes(cheap: str) -> None:
    dear = {"a": "b", "b": "a"}[cheap]
    nodes = [node(cheap, None, price=1.0), node(dear, None, price=2.0)]
    decision, partitions = solve(nodes, [scenes.workload("w1", mig_profile="1g.5gb")], objective=Objective.COST)
    assert [each.node for each in decision.allocations] == [cheap]
    assert [each.node.name for each in partitions] == [cheap]


@pytest.mark.parametrize("cheap", ["a", "b"])
def test_an_objective_chooses_the_node_whose_device_leaves_mig_mode(cheap: str) -> None:
    dear = {"a": "b", "b": "a"}[cheap]
    nodes = [node(cheap, "1g.5gb@0", price=1.0), node(dear, "1g.5gb@0", price=2.0)]
    work = [scenes.workload("w1", gpus=1)]
    decision, _ = solve(nodes, work, automatic=("a/0", "b/0"), objective=Objective.COST)
    assert [each.node for each in decision.allocations] == [cheap]
