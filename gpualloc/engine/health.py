"""From what nodes tell to what is wrong with them: conditions that hold from look to look; pure.

A condition that must hold for a while is suspected at first, and confirmed once it held that long. What nobody can know
now (of a node that is not reached, or a device that tells nothing) stays as it was when it was told, and is no longer
suspected when it was not: it must be seen for the whole time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from gpualloc.engine.health_devices import device_findings, nvlink_findings
from gpualloc.engine.health_nodes import node_findings, unreached_sign
from gpualloc.engine.health_signs import Finding, Sign, Unknown
from gpualloc.model.health import Condition, HealthRules, Heard, Severity, Trouble
from gpualloc.model.inventory import Node, NodeState

UNHEALTHY = Severity.WARNING
"""From this severity on something is unhealthy, unless an operator says otherwise."""

_LAST = 1 << 30
"""Where a device stands whose index is not known."""
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


def judge(
    nodes: Iterable[Node], before: Iterable[Condition], heard: Mapping[str, Heard], now_s: float, rules: HealthRules
) -> tuple[Condition, ...]:
    """The conditions of these nodes, told and suspected, by node, device and trouble.

    Args:
        nodes: the nodes that were looked at, each once, in any order.
        before: the conditions that were kept before, of these nodes and of others, whose are left out of the answer.
        heard: what is remembered of each of the nodes, this look included (`engine.events.remember`).
        now_s: epoch seconds.
        rules: from where on something counts, and how long it must hold.
    """
    known: dict[str, list[Condition]] = {}
    for condition in before:
        known.setdefault(condition.node, []).append(condition)
    found = [
        condition
        for node in nodes
        for condition in _of_node(node, known.get(node.name, ()), heard[node.name], now_s, rules)
    ]
    return tuple(sorted(found, key=lambda condition: condition.key))


def worst_first(conditions: Iterable[Condition], indices: Mapping[str, int | None]) -> tuple[Condition, ...]:
    """By severity, then by node, index of the device (the node itself first) and trouble.

    Args:
        conditions: of any nodes.
        indices: index of each device that is known, by UUID.
    """

    def place(condition: Condition) -> tuple[int, str, int, tuple[str, str, str]]:
        index = -1 if condition.device is None else indices.get(condition.device)
        return (-condition.severity.rank, condition.node, _LAST if index is None else index, condition.key)

    return tuple(sorted(conditions, key=place))


def _of_node(
    node: Node, before: Sequence[Condition], heard: Heard, now_s: float, rules: HealthRules
) -> Iterator[Condition]:
    known = {(condition.device or "", condition.trouble): condition for condition in before}
    if node.state is not NodeState.OK:
        sign = unreached_sign(node)
        yield _condition(sign, node.name, known.get(sign.key), now_s)
        yield from (each for key, each in known.items() if key != sign.key and each.confirmed)
        return
    signs: dict[tuple[str, Trouble], Sign] = {}
    unknown = set()
    for finding in _findings(node, heard, rules, now_s):
        if isinstance(finding, Unknown):
            unknown.add(finding.key)
        else:
            signs[finding.key] = finding
    for key, sign in signs.items():
        yield _condition(sign, node.name, known.get(key), now_s)
    silent = {device.uuid for device in heard.devices} - {device.uuid for device in node.devices}
    for key, condition in known.items():
        if key not in signs and condition.confirmed and (key in unknown or key[0] in silent):
            yield condition


def _findings(node: Node, heard: Heard, rules: HealthRules, now_s: float) -> Iterator[Finding]:
    yield from node_findings(node, heard, rules)
    yield from nvlink_findings(node)
    seen = {device.uuid: device for device in heard.devices}
    for device in node.devices:
        yield from device_findings(node, device, seen.get(device.uuid), rules, now_s)


def _condition(sign: Sign, node: str, before: Condition | None, now_s: float) -> Condition:
    """The sign as a condition, which goes on from before where it was there already."""
    begun_s = now_s if sign.since_s is None else min(now_s, sign.since_s)
    new = Condition(
        sign.trouble, sign.severity, node, sign.device, sign.what, sign.advice, begun_s, confirmed=not sign.after_s
    )
    if before is None:
        return new
    what = before.what if sign.moving and _same_but_numbers(before.what, sign.what) else sign.what
    held = before.confirmed or now_s - before.since_s >= sign.after_s
    return replace(new, what=what, since_s=before.since_s, confirmed=held)


def _same_but_numbers(one: str, other: str) -> bool:
    return _NUMBER.sub("#", one) == _NUMBER.sub("#", other)
