"""From the pools of a file to nodes: names expanded, none twice, at most one local."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from gpualloc.config.nodeset import expand
from gpualloc.config.settings import POOL_NAME, is_this_host
from gpualloc.errors import UsageError


class PoolNodes(Struct):
    """The nodes of each pool, and what is wrong, as (dotted key, what, hint)."""

    nodes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    labels: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    """By pool and node, from `node_labels`."""
    problems: list[tuple[str, str, str | None]] = field(default_factory=list)

    def refuse(self, key: str, what: str, hint: str | None = None) -> None:
        """Note a problem."""
        self.problems.append((key, what, hint))


def expand_pools(pools: Mapping[str, object], host: str) -> PoolNodes:
    """Expand the node sets of a file's `pools` table on the machine called `host`.

    Tables and values of a wrong type are passed over: the schema tells about them.
    """
    result = PoolNodes()
    pool_of: dict[str, str] = {}
    local: str | None = None
    for pool, table in pools.items():
        if not POOL_NAME.fullmatch(pool):
            result.refuse(f"pools.{pool}", f"{pool[:80]!r} is not a pool name", "use letters, digits, '_' and '-'")
        if not isinstance(table, dict) or not isinstance(table.get("nodes"), str):
            continue
        key = f"pools.{pool}.nodes"
        try:
            result.nodes[pool] = expand(table["nodes"])
        except UsageError as error:
            result.refuse(key, error.message, error.hint)
            continue
        _label_nodes(result, pool, table.get("node_labels"))
        for name in result.nodes[pool]:
            if name in pool_of:
                result.refuse(key, f"node {name} is in pool {pool_of[name]} already", "a node belongs to one pool")
                break
            pool_of[name] = pool
            transport = table.get("transport")
            if transport == "local" or (transport is None and is_this_host(name, host)):
                if local is not None:
                    what = f"{name} is this machine, and so is {local}"
                    result.refuse(key, what, "local nodes are this machine: name it once")
                    break
                local = name
    return result


def _label_nodes(result: PoolNodes, pool: str, table: object) -> None:
    """Expand the node sets of a pool's `node_labels`: each stands for nodes of the pool."""
    found = result.labels.setdefault(pool, {})
    for text, labels in table.items() if isinstance(table, dict) else ():
        key = f"pools.{pool}.node_labels.{text}"
        try:
            names = expand(text)
        except UsageError as error:
            result.refuse(key, error.message, error.hint)
            continue
        strangers = [name for name in names if name not in result.nodes[pool]]
        if strangers:
            result.refuse(key, f"node {strangers[0]} is not in pool {pool}", "label a node where its pool is")
        if not isinstance(labels, dict):
            continue
        for name in names:
            own = found.setdefault(name, {})
            twice = sorted(own.keys() & labels.keys())
            if twice:
                result.refuse(key, f"node {name} has the label {twice[0]} already", "a label has one value on a node")
            own.update(labels)
