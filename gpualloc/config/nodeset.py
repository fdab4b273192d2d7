"""Sets of node names as operators write them: `gpu[01-04],login1`, `@pool`, `@pool!gpu03`.

The syntax is ClusterShell's; it is imported only for text that needs it. Groups are gpualloc's pools
and nothing else: no external group source is asked. (ClusterShell reads its own defaults.conf when it is
imported; none of what can stand there matters here.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from gpualloc.config.settings import HOST_NAME
from gpualloc.errors import UsageError
from gpualloc.model.inventory import NodeSpec

MAX_NAMES = 100_000
MAX_TEXT_CHARS = 65_536
_MAX_DIGITS = 18
_ALL_AXES = tuple(range(16))
"""Numbers in a name that may be folded; given, so that no file of ClusterShell's decides it."""

_SPECIAL = re.compile(r"[][@!&^*?/]")
_RANGES = re.compile(r"(\d*)\[([^][]*)\]")
_RANGE = re.compile(r"\s*(\d+)(?:-(\d+)(?:/(\d+))?)?\s*")


def expand(text: str, pools: Mapping[str, Sequence[str]] | None = None) -> tuple[str, ...]:
    """The node names a text stands for, each once.

    Args:
        text: names, ranges and pools joined by `,` (and), `!` (without), `&` (both), `^` (one of both).
        pools: what `@name` may stand for, `@*` being all; None where pools make no sense.

    Raises:
        UsageError: no node set, a name that is none, an unknown pool, or more than `MAX_NAMES` names.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise UsageError(f"a node set of {len(text)} characters is too long", hint=f"at most {MAX_TEXT_CHARS}")
    if _SPECIAL.search(text):
        _check_size(text)
        names = _expand_special(text, pools or {})
    else:
        names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not names:
        raise UsageError(f"the node set {text!r} is empty", hint='write names such as "gpu[01-04],login1"')
    for name in names:
        check_host_name(name)
    return names


def nodes_meant(texts: Iterable[str], specs: Iterable[NodeSpec]) -> tuple[str, ...]:
    """The node names that several texts stand for, each once; `@name` is a pool of these nodes.

    Raises:
        As `expand`.
    """
    pools: dict[str, list[str]] = {}
    for spec in specs:
        pools.setdefault(spec.pool, []).append(spec.name)
    return tuple(dict.fromkeys(name for text in texts for name in expand(text, pools)))


def fold(names: Iterable[str]) -> str:
    """The shortest text that `expand` turns into these names, such as `gpu[01-04],login1`."""
    listed = list(names)
    if len(listed) < 2:
        return "".join(listed)
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet

    return str(NodeSet(",".join(listed), resolver=RESOLVER_NOGROUP, fold_axis=_ALL_AXES))


def check_host_name(name: str) -> str:
    """Accept a name a node may have, unchanged.

    Raises:
        UsageError: it is empty, longer than 253 characters, or has a character host names do not have.
    """
    if len(name) > 253 or not HOST_NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} is not a node name",
            hint="a name has letters, digits, '.', '_' and '-', and no '-' in front",
        )
    return name


class _Pools:
    """Pools in the form of a ClusterShell group source."""

    name = "pools"
    has_reverse = False

    def __init__(self, pools: Mapping[str, Sequence[str]]) -> None:
        self._pools = pools

    def resolv_map(self, group: str) -> list[str]:
        """The nodes of one pool."""
        if group not in self._pools:
            known = ", ".join(sorted(self._pools)) or "there is none here"
            raise UsageError(f"no pool is called {group[:80]!r}", hint=f"pools: {known}")
        return list(self._pools[group])

    def resolv_list(self) -> list[str]:
        """The names of all pools."""
        return sorted(self._pools)

    def resolv_all(self) -> list[str]:
        """The nodes of all pools."""
        return [name for pool in self._pools.values() for name in pool]


def _expand_special(text: str, pools: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    from ClusterShell.NodeSet import NodeSet, NodeSetException
    from ClusterShell.NodeUtils import GroupResolver, GroupResolverError

    try:
        return tuple(NodeSet(text, resolver=GroupResolver(_Pools(pools)), fold_axis=_ALL_AXES))
    except (NodeSetException, GroupResolverError) as error:
        raise UsageError(
            f"{text[:80]!r} is not a set of nodes: {error}", hint="write it like gpu[01-04],login1 or @pool!gpu03"
        ) from error


def _check_size(text: str) -> None:
    """Refuse a text whose ranges stand for too many names, before anything is expanded."""
    total = 0
    for operand in re.split(r"[,!&^](?![^][]*\])", text):
        count = 1
        for digits, ranges in _RANGES.findall(operand):
            count *= sum(_range_size(digits, part) for part in ranges.split(","))
        total += count
        if total > MAX_NAMES:
            raise UsageError(f"{text[:80]!r} stands for more than {MAX_NAMES} names", hint="write a smaller range")


def _range_size(digits: str, text: str) -> int:
    """An upper bound of how many numbers `1-8/2` gives behind these digits (`1[8-12]` is 18 to 112)."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return 1
    low, high, step = match.groups()
    if max(len(digits + low), len(digits + (high or ""))) > _MAX_DIGITS:
        raise UsageError(f"{text[:80]!r} has a number that is too long", hint=f"at most {_MAX_DIGITS} digits")
    if high is None:
        return 1
    plain = (int(high) - int(low)) // max(1, int(step or 1)) + 1
    joined = 0 if step else int(digits + high) - int(digits + low) + 1
    return max(1, plain, joined)
