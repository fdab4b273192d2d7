"""A node whose changes are decoded one after the other is the node that would be decoded from the whole answer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from fakes.hostile_wire import AT_S, SPEC, answers
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.adapters.fields import MalformedError
from gpualloc.adapters.picture import Picture
from gpualloc.model.inventory import Node
from gpualloc.node.delta import difference

GONE = object()
VALUES = [None, 0, 1, 0.5, 41, 700.0, -5, True, "why", "lost", "mig", [], {}, ["power cap"], {"power_w": "hung"}, GONE]
_Path = tuple[str | int, ...]


def _whole() -> dict[str, Any]:
    """A node with two devices and two processes, and readings of most kinds."""
    told = answers()
    reading = told["sample"]["devices"][0]
    reading.update(
        activity={"sm_active_ratio": 0.5, "tensor_active_ratio": 0.25},
        pcie={"rx_bytes_per_s": 1.5, "replays": 1},
        ecc={"enabled": True, "volatile_corrected": 3},
        energy_j=5.0,
        fan_ratio=None,
        nvlink_rx_bytes_per_s=7.0,
        unavailable={"fan_ratio": "unsupported"},
    )
    told["processes"]["processes"][0].update(gpu_utilization_ratio=0.5, cpu_utilization_ratio=2.5, host_memory_mib=7)
    for rows in (told["inventory"]["devices"], told["sample"]["devices"], told["processes"]["processes"]):
        other = copy.deepcopy(rows[0])
        rows.append(other)
    for rows in (told["inventory"]["devices"], told["sample"]["devices"]):
        rows[1].update(uuid=rows[0]["uuid"] + "-2", mig_instances=[])
    told["inventory"]["devices"][1]["index"] = 1
    return told


def _places(value: object, path: _Path = ()) -> Iterator[_Path]:
    """Where something stands that can be put in place of something else."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _places(item, (*path, key))


WHOLE = _whole()
PLACES = [path for path in _places(WHOLE) if path[0] in ("sample", "processes", "inventory")]


def _put(told: dict[str, Any], path: _Path, value: object) -> None:
    """Change that place, where it still is one."""
    inside: Any = told
    for key in path[:-1]:
        if not _has(inside, key):
            return
        inside = inside[key]
    if not _has(inside, path[-1]) and not isinstance(inside, dict):
        return
    if value is not GONE:
        inside[path[-1]] = copy.deepcopy(value)
    elif isinstance(inside, dict):
        inside.pop(path[-1], None)


def _has(inside: object, key: str | int) -> bool:
    if isinstance(inside, list):
        return isinstance(key, int) and key < len(inside)
    return isinstance(inside, dict) and key in inside


def _node(picture: Picture) -> Node | str:
    try:
        return picture.node(AT_S)
    except MalformedError as error:
        return str(error)


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(VALUES)), min_size=1, max_size=12))
def test_whatever_changes_is_decoded_as_if_it_had_come_at_once(changes: list[tuple[_Path, object]]) -> None:
    picture = Picture(SPEC)
    told = copy.deepcopy(WHOLE)
    picture.take({"full": told})
    before = picture.node(AT_S)
    assert not isinstance(before, str)
    for path, value in changes:
        after = copy.deepcopy(told)
        _put(after, path, value)
        patch = difference(told, after)
        told = after
        if patch is not None:
            picture.take({"delta": patch})
        anew = Picture(SPEC)
        anew.take({"full": copy.deepcopy(told)})
        assert _node(picture) == _node(anew)


def test_what_did_not_change_is_the_same_object() -> None:
    picture = Picture(SPEC)
    picture.take({"full": copy.deepcopy(WHOLE)})
    before = picture.node(AT_S)
    after = copy.deepcopy(WHOLE)
    after["sample"]["devices"][0]["power_w"] = 222.0
    after["processes"]["processes"][1]["host_memory_mib"] = 99
    picture.take({"delta": difference(WHOLE, after)})
    node = picture.node(AT_S + 2)
    assert (node.devices[0].power_w, node.processes[1].host_memory_mib) == (222.0, 99)
    assert node.devices[0].pcie is before.devices[0].pcie
    assert node.devices[1] is before.devices[1]
    assert node.processes[0] is before.processes[0]
