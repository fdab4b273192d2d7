"""Answers of a node that means harm: every text on the wire steers a terminal as far as it is let."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from fakes.scripted_node import ANSWERS, GPU, MIG

from gpualloc.adapters.decode import decode_hello, decode_node
from gpualloc.adapters.fields import MalformedError
from gpualloc.model.inventory import Node, NodeSpec

SPEC = NodeSpec("n1", "p", "ssh")
AT_S = 1_800_000_000.0
HOSTILE = (
    "a\nFORGED\rline\x1b[31mred\x1b]0;title\x07\x9b2J\x85\x00\x7f "
    "\u202egnp.exe\u202c \u2066x\u2069 \u200b\ufeff\u2028\u2029"
    " 漢字 שלום مرحبا e\u0301\u0302 \U0001f9d1\u200d\U0001f680 \ud800 {0} [bold]x[/] =1+1 "
) + "x" * 10_000
"""Controls of both sets, escape sequences, bidi overrides, half a surrogate; wide, right-to-left and combining ones."""

_Path = tuple[str | int, ...]


def answers() -> dict[str, Any]:
    """A node that tells of everything there is a word for."""
    told: dict[str, Any] = copy.deepcopy(dict(ANSWERS))
    told["hello"].update(limited="less", other_controllers=["slurmd"])
    told["hello"]["nvml"]["reason"] = "why"
    told["hello"]["cgroup"]["isolation"] = "bpf"
    device = told["inventory"]["devices"][0]
    device.update(
        reason="why",
        architecture="hopper",
        cpus="0-3",
        board={"pci_bus_id": "0000:3b:00.0", "serial": "1", "vbios_version": "2", "inforom_version": "3"},
        peers={GPU.replace("1", "2"): "NV4"},
        settings={"compute_mode": "default"},
    )
    reading = told["sample"]["devices"][0]
    reading.update(reason="why", throttles=["power cap"], nvlinks=[{"index": 0, "up": True, "remote": "switch"}])
    told["sample"]["host"]["ports"] = [{"name": "eth0", "kind": "ethernet", "up": True}]
    told["kernel"] = {
        "messages": [
            {"seq": 1, "at_s": AT_S - 9, "kind": "xid", "code": 79, "pci_bus_id": "0000:3b:00.0", "text": "fallen off"}
        ],
        "reason": "why",
    }
    told["processes"]["processes"][0].update(container="0123456789ab", pod="ns/pod", slurm_job="12.0", workload=None)
    workload = told["claims"]["workloads"][0]
    workload["end"]["reason"] = "at-most"
    workload["bound"] = {"cpuset": "0-3"}
    workload["progress"] = {"step": 1.0, "of": 2.0, "loss": 3.0, "phase": "warm", "age_s": 1.0, "points": []}
    return told


def texts(value: object, path: _Path = ()) -> Iterator[_Path]:
    """Where each text stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, str):
        yield path
    for key, item in items:
        yield from texts(item, (*path, key))


def with_text(told: Mapping[str, Any], path: _Path, text: str) -> dict[str, Any]:
    """The answers with another text at that place."""
    changed = copy.deepcopy(dict(told))
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = text
    return changed


def decoded(told: Mapping[str, Any]) -> Node:
    """The node that these answers describe; raises MalformedError."""
    return decode_node(SPEC, AT_S, decode_hello(told["hello"]), told)


def hostile_answers() -> tuple[dict[str, Any], list[_Path]]:
    """Harm wherever a text is taken, and the places where it was refused."""
    told, refused = answers(), []
    for path in texts(answers()):
        changed = with_text(told, path, HOSTILE)
        try:
            decoded(changed)
        except MalformedError:
            refused.append(path)
        else:
            told = changed
    # A name that nobody knows is a text of the node's, too.
    for row in (told["inventory"]["devices"][0], told["sample"]["devices"][0]):
        row["unavailable"] = {HOSTILE: HOSTILE, "gpu_utilization_ratio": HOSTILE}
    assert MIG in str(told)
    return told, refused


def harm_in(text: str) -> set[str]:
    """Characters that steer a terminal or are not to be seen."""
    return {char for char in text if not char.isprintable() and char != "\n"}
