"""`--sim FILE.toml`: a simulated cluster described in a file.

Checked by hand rather than by pydantic: the file is read at every command, and it is small.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from gpualloc.config.files import read_file
from gpualloc.config.nodeset import expand
from gpualloc.config.problem import Problem, place_of, refuse, shown
from gpualloc.config.settings import Origin, Source
from gpualloc.errors import ConfigError, UsageError
from gpualloc.model.units import parse_duration_s

if TYPE_CHECKING:
    from gpualloc.sim.cluster import ClusterSpec, Fault, HostSpec

MAX_NODES = 10_000
MAX_GPUS_PER_NODE = 64
MAX_SPEED = 1_000_000
_COUNTED = re.compile(r"(\d{1,3})x(\S.*)")


class _Key(Struct, frozen=True):
    """What one key of a table takes."""

    expected: str
    accepts: Callable[[object], bool]
    required: bool = False


def _number(low: float, high: float) -> Callable[[object], bool]:
    def accepts(value: object) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high

    return accepts


def _whole(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and _number(low, high)(value)


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(_text(part) for part in value)


def _paths(value: object) -> bool:
    return isinstance(value, list) and all(_text(part) and part.startswith("/") for part in value)


def _node_set(value: object) -> bool:
    return isinstance(value, str)


def _duration(value: object) -> bool:
    return isinstance(value, str) or _number(0, math.inf)(value)


_FILE = {
    "speed": _Key(f"a number above 0, at most {MAX_SPEED}", lambda value: _number(0, MAX_SPEED)(value) and value != 0),
    "seed": _Key("a whole number, 0 or more", _whole(0, 2**63)),
    "nodes": _Key("one or more [[nodes]]", lambda value: isinstance(value, list) and bool(value), required=True),
    "faults": _Key("[[faults]]", lambda value: isinstance(value, list)),
}
_NODE = {
    "name": _Key('node names, such as "sim[01-04]"', _node_set, required=True),
    "gpus": _Key(
        'an array of GPU models, such as ["8xH100-80GB"], or []',
        lambda value: _text(value) or _texts(value),
        required=True,
    ),
    "cpus": _Key("a number of cores, 1 to 4096", _whole(1, 4096)),
    "memory_gib": _Key("a whole number of GiB, 1 to 65536", _whole(1, 65536)),
    "driver": _Key('a driver version, such as "580.95.05"', _text),
    "labels": _Key("a table of texts", lambda value: isinstance(value, dict) and all(map(_text, value.values()))),
    "price_per_gpu_hour": _Key("a number, 0 to 1000000000", _number(0, 1e9)),
    "paths": _Key('an array of whole paths, such as ["/data/imagenet"]', _paths),
    "numa_nodes": _Key("a number of NUMA nodes, 1 to 64", _whole(1, 64)),
    "mig": _Key(
        "an array of the indices of GPUs with MIG on",
        lambda value: isinstance(value, list) and all(_whole(0, MAX_GPUS_PER_NODE)(part) for part in value),
    ),
}
_FAULT = {
    "node": _Key("node names", _node_set, required=True),
    "gpu": _Key("the index of a GPU; left out: the whole node", _whole(0, MAX_GPUS_PER_NODE)),
    "kind": _Key("a kind of fault", _text, required=True),
    "code": _Key("the number of an Xid, 1 to 9999; of the kind xid", _whole(1, 9999)),
    "from": _Key("a duration since the cluster began", _duration),
    "until": _Key("a duration since the cluster began", _duration),
}


class _Check(Struct):
    """The problems found so far, and where each key stands."""

    file: Path
    origins: Mapping[str, Origin]
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, path: str, what: str, hint: str | None = None) -> None:
        """Note a problem of the key at `path`."""
        place = place_of(path, self.origins) or Origin(Source.FILE, str(self.file))
        self.problems.append(Problem(place, f"{path}: {what}" if path else what, hint))

    def table(self, path: str, table: object, keys: Mapping[str, _Key]) -> bool:
        """Whether the table has only known keys with fitting values."""
        before = len(self.problems)
        if not isinstance(table, dict):
            self.refuse(path, f"expected a table, found {shown(table)}")
            return False
        prefix = f"{path}." if path else ""
        for name in table:
            if name not in keys:
                near = get_close_matches(name, keys, 1)
                hint = f"did you mean {near[0]}?" if near else f"keys here: {', '.join(keys)}"
                self.refuse(prefix + name, "no such key", hint)
        for name, key in keys.items():
            if name in table and not key.accepts(table[name]):
                self.refuse(prefix + name, f"expected {key.expected}, found {shown(table[name])}")
            elif name not in table and key.required:
                self.refuse(prefix + name, f"expected {key.expected}, found nothing")
        return len(self.problems) == before

    def names(self, path: str, text: str) -> tuple[str, ...]:
        """The nodes of a node set; none when it is wrong."""
        try:
            return expand(text)
        except UsageError as error:
            self.refuse(path, error.message, error.hint)
            return ()


def load_cluster(file: Path) -> ClusterSpec:
    """The cluster that a file describes; its name is the file's, made unlike that of any other file.

    Raises:
        ConfigError: the file cannot be read, or names every wrong key and value with its line.
    """
    from gpualloc.config.document import parse
    from gpualloc.sim.cluster import ClusterSpec

    tree, origins = parse(file, read_file(file))

    check = _Check(file, origins)
    check.table("", tree, _FILE)
    hosts = _hosts(check, tree.get("nodes"))
    faults = _faults(check, tree.get("faults", []), hosts)
    if check.problems:
        raise refuse(check.problems)
    speed: Any = tree.get("speed", 1.0)
    seed: Any = tree.get("seed", 0)
    nodes = tuple(hosts[name] for name in sorted(hosts))
    return ClusterSpec(name=_name_of(file), speed=float(speed), seed=seed, nodes=nodes, faults=faults)


def _hosts(check: _Check, tables: object) -> dict[str, HostSpec]:
    """The hosts of all `[[nodes]]`, by name."""
    from gpualloc.sim.cluster import HostSpec

    hosts: dict[str, HostSpec] = {}
    for position, table in enumerate(tables if isinstance(tables, list) else ()):
        path = f"nodes.{position}"
        if not check.table(path, table, _NODE):
            continue
        keys = ("cpus", "memory_gib", "driver", "labels", "numa_nodes", "price_per_gpu_hour")
        given = {key: table[key] for key in keys if key in table} | {"paths": tuple(table.get("paths", ()))}
        models = table["gpus"]
        gpus = _gpus(check, path, [models] if isinstance(models, str) else models)
        mig = _mig(check, path, table.get("mig", ()), gpus)
        for name in check.names(f"{path}.name", table["name"]):
            if name in hosts:
                check.refuse(f"{path}.name", f"node {name} is described twice")
                break
            hosts[name] = HostSpec(name=name, gpus=gpus, mig=mig, **given)
    if len(hosts) > MAX_NODES:
        check.refuse("nodes", f"{len(hosts)} nodes are too many", f"at most {MAX_NODES}")
    return hosts


def _gpus(check: _Check, path: str, texts: Iterable[str]) -> tuple[str, ...]:
    """A model for each GPU, with `8xMODEL` written out."""
    from gpualloc.sim import catalog

    gpus: list[str] = []
    for position, text in enumerate(texts):
        counted = _COUNTED.fullmatch(text)
        count, name = (int(counted[1]), counted[2]) if counted else (1, text)
        try:
            catalog.find(name)
            gpus += [name] * count
        except ConfigError as error:
            check.refuse(f"{path}.gpus.{position}", error.message, error.hint)
    if len(gpus) > MAX_GPUS_PER_NODE:
        check.refuse(f"{path}.gpus", f"{len(gpus)} GPUs are too many", f"a node has at most {MAX_GPUS_PER_NODE}")
    return tuple(gpus)


def _mig(check: _Check, path: str, indices: Iterable[int], gpus: tuple[str, ...]) -> tuple[int, ...]:
    """The indices of GPUs with MIG on, each once."""
    from gpualloc.sim import catalog

    found = tuple(sorted(set(indices)))
    for index in found:
        if index >= len(gpus):
            check.refuse(f"{path}.mig", f"there is no GPU {index}", f"the node has {len(gpus)}, counted from 0")
            continue
        try:
            catalog.mig_table(catalog.find(gpus[index]))
        except ConfigError as error:
            check.refuse(f"{path}.mig", error.message, error.hint)
    return found


def _faults(check: _Check, tables: object, hosts: Mapping[str, HostSpec]) -> tuple[Fault, ...]:
    """The faults of all `[[faults]]`, one for each node named."""
    from gpualloc.sim.cluster import Fault
    from gpualloc.sim.gpu import FaultKind

    faults: list[Fault] = []
    for position, table in enumerate(tables if isinstance(tables, list) else ()):
        path = f"faults.{position}"
        if not check.table(path, table, _FAULT):
            continue
        kinds = [kind.value for kind in FaultKind]
        if table["kind"] not in kinds:
            check.refuse(f"{path}.kind", f"expected one of {', '.join(kinds)}, found {shown(table['kind'])}")
            continue
        kind, gpu = FaultKind(table["kind"]), table.get("gpu")
        if (kind is FaultKind.UNREACHABLE) != (gpu is None):
            check.refuse(path, "a fault has a gpu, but for unreachable, which is of the whole node")
        if (kind is FaultKind.XID) != ("code" in table):
            check.refuse(path, "a fault of the kind xid has a code, and only that")
        from_s, until_s = (_time(check, f"{path}.{key}", table.get(key)) for key in ("from", "until"))
        if until_s is not None and until_s <= (from_s or 0.0):
            check.refuse(f"{path}.until", "the fault ends before it begins")
        for name in check.names(f"{path}.node", table["node"]):
            if name not in hosts:
                check.refuse(f"{path}.node", f"no node is called {name}")
            elif gpu is not None and gpu >= len(hosts[name].gpus):
                check.refuse(f"{path}.gpu", f"{name} has no GPU {gpu}", f"it has {len(hosts[name].gpus)}")
            faults.append(Fault(name, kind, gpu, from_s or 0.0, until_s, table.get("code")))
    return tuple(faults)


def _time(check: _Check, path: str, value: object) -> float | None:
    if value is None or value == 0:
        return None
    try:
        return parse_duration_s(str(value))
    except UsageError as error:
        check.refuse(path, error.message, error.hint)
        return None


def _name_of(file: Path) -> str:
    """A folder name for the cluster's state: the file's own, and a part of the hash of where it lies."""
    stem = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:40] or "cluster"
    return f"{stem}-{hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:8]}"
