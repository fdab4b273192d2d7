"""Which free MIG instance to give out, by what is asked for on the fleet."""

from __future__ import annotations

from fakes import mig_tables, scenes
from msgspec.structs import replace

from gpualloc.model.allocation import Share
from gpualloc.model.inventory import Device, MigInstance, Node
from gpualloc.model.mig import parse_layout
from gpualloc.model.workload import Workload
from gpualloc.policies.mig_worth import MigWorth, serving
from gpualloc.policies.room import Target
from gpualloc.policies.survey import survey

A100 = "A100-40GB"
PROFILES = mig_tables.profiles(A100)


def fleet(*layouts: str, taken: tuple[str, ...] = ()) -> Node:
    """A node of A100s with these instances; `taken` are claimed, as `index/number`."""
    claims = [{"device": name, "workload": f"r{number}"} for number, name in enumerate(taken)]
    found = scenes.node("a", devices=[{"memory_mib": 40960, "mig": []}] * len(layouts), claims=claims)
    pairs = zip(found.devices, layouts, strict=True)
    return replace(found, devices=tuple(_device(device, layout) for device, layout in pairs))


def _device(device: Device, layout: str) -> Device:
    sizes = {profile.name: profile.size for profile in PROFILES}
    instances = tuple(
        MigInstance(f"MIG-a-{device.index}-{number}", place.profile, place.start, sizes[place.profile], 4864, 0)
        for number, place in enumerate(parse_layout(layout))
    )
    return replace(device, mig_profiles=PROFILES, mig_instances=instances)


def ranked(node: Node, profile: str, *requests: Workload) -> list[str]:
    """The free instances of the profile, the one to give out first."""
    rooms = survey(scenes.problem([node], requests))
    worth = MigWorth(rooms.values(), requests)
    free = [
        target
        for target in rooms["a"].targets(Share.MIG)
        if target.instance is not None
        and target.instance.profile == profile
        and not target.room.holds(target.instance.uuid)
    ]
    ordered = sorted(free, key=lambda target: (worth.instance_scores(target), target.order))
    return [target.instance.uuid for target in ordered if target.instance is not None]


def test_the_gpu_that_is_cut_already_is_filled_first() -> None:
    node = fleet("1g.5gb@0", "1g.5gb@4,1g.5gb@5", taken=("1/0",))
    assert ranked(node, "1g.5gb") == ["MIG-a-1-1", "MIG-a-0-0"]


def test_on_one_gpu_the_half_that_is_cut_already_is_filled_first() -> None:
    node = fleet("1g.5gb@0,1g.5gb@4,1g.5gb@5", taken=("0/1",))
    assert ranked(node, "1g.5gb") == ["MIG-a-0-2", "MIG-a-0-0"]


def test_an_instance_whose_place_is_not_told_comes_last() -> None:
    node = fleet("1g.5gb@0,1g.5gb@1")
    device = node.devices[0]
    blind = replace(device.mig_instances[0], start=None)
    node = replace(node, devices=(replace(device, mig_instances=(blind, device.mig_instances[1])),))
    assert ranked(node, "1g.5gb") == ["MIG-a-0-1", "MIG-a-0-0"]


def test_where_something_unknown_is_in_use_nothing_is_known() -> None:
    node = fleet("1g.5gb@0,1g.5gb@1", taken=("0/0",))
    device = node.devices[0]
    blind = replace(device.mig_instances[0], size=None)
    node = replace(node, devices=(replace(device, mig_instances=(blind, device.mig_instances[1])),))
    rooms = survey(scenes.problem([node], []))
    target = Target(rooms["a"].devices[0], device.mig_instances[1])
    assert MigWorth(rooms.values(), ()).instance_scores(target) == (1.0, 0.0)


def test_a_whole_device_has_no_score() -> None:
    rooms = survey(scenes.problem([scenes.node("a", devices=1)], []))
    assert MigWorth(rooms.values(), ()).instance_scores(Target(rooms["a"].devices[0])) == (1.0, 0.0)


def test_what_waits_counts_as_demand() -> None:
    device = fleet("").devices[0]
    large = scenes.workload("w00000001", mig_profile="4g.20gb")
    small = scenes.workload("w00000002", share_asked=Share.MIG, gpu_memory_mib=1000)
    rooms = survey(scenes.problem([fleet("")], []))
    worths = [MigWorth(rooms.values(), [asked] * 50).of(device) for asked in (large, small)]
    used = parse_layout("1g.5gb@0")
    with_large, with_small = (found.of(used) for found in worths if found is not None)
    assert with_large is not None
    assert with_small is not None
    assert with_large < with_small


def test_the_smallest_profile_that_serves_comes_first() -> None:
    need = scenes.workload("w00000001", share_asked=Share.MIG, gpu_memory_mib=6000).request
    assert serving(PROFILES, need)[0] == "1g.10gb"
    assert serving(PROFILES, replace(need, mig_profile="3g.20gb")) == ["3g.20gb"]
    assert serving(PROFILES, replace(need, mig_profile="1g.5gb")) == []
