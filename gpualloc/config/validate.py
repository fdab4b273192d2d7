"""From the text of a configuration file to a `Config`, or one error that tells everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from pydantic import ValidationError

from gpualloc.config import keys
from gpualloc.config.alerts import alert_settings
from gpualloc.config.alerts_table import unknown_names
from gpualloc.config.document import Tree, dotted, parse
from gpualloc.config.fleet import expand_pools
from gpualloc.config.overrides import Override
from gpualloc.config.problem import Problem, place_of, refuse, shown
from gpualloc.config.schema import File
from gpualloc.config.settings import Config, Origin, local_pools
from gpualloc.model.alert import AlertSettings


class Checked(Struct, frozen=True):
    """A configuration and where each of its keys comes from."""

    config: Config
    origins: Mapping[str, Origin]


def validate(
    file: Path | None, text: bytes, overrides: Sequence[Override], problems: Sequence[Problem], host: str
) -> Checked:
    """Check a file's text with what variables and flags put over it.

    Args:
        file: where the text is from, for messages; None when there is no file.
        text: the file's bytes.
        overrides: weakest first.
        problems: what was found wrong before, told together with the rest.
        host: what the kernel calls this machine.

    Raises:
        ConfigError: every wrong key and value, each with file, line, what was expected and the nearest right key.
    """
    tree: Tree = {}
    origins: dict[str, Origin] = {}
    if file is not None:
        tree, origins = parse(file, text)
    lay_over(tree, overrides, origins)
    found = list(problems)
    model: File | None = None
    try:
        model = File.model_validate(tree)
    except ValidationError as error:
        found += [_told(item["type"], item["loc"], item["input"], item["msg"], origins) for item in error.errors()]
    raw_pools = tree.get("pools")
    pool_nodes = expand_pools(raw_pools if isinstance(raw_pools, dict) else {}, host)
    found += [Problem(place_of(key, origins), f"{key}: {what}", hint) for key, what, hint in pool_nodes.problems]
    if found or model is None:
        raise refuse(found)
    alerts = _alerts(model, pool_nodes.nodes or {"default": ()}, origins)
    pools = tuple(
        model.pools[name].pool(name, pool_nodes.nodes[name], pool_nodes.labels.get(name, {}))
        for name in sorted(model.pools)
    )
    return Checked(model.config(pools or local_pools(host), host, alerts), origins)


def _alerts(model: File, pools: Mapping[str, Sequence[str]], origins: Mapping[str, Origin]) -> AlertSettings:
    """The rules and channels; raises ConfigError when they name what is not there."""
    settings, wrong = alert_settings(model.alerts, model.channels, pools)
    wrong += unknown_names(model.alerts, model.channels)
    if wrong:
        raise refuse([Problem(place_of(key, origins), f"{key}: {what}", hint) for key, what, hint in wrong])
    return settings


def lay_over(tree: Tree, overrides: Sequence[Override], origins: dict[str, Origin]) -> None:
    """Put the overrides into the tree; where the file has something else than a table, the file is told about."""
    for override in overrides:
        *above, last = override.path.split(".")
        table: object = tree
        for name in above:
            table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[last] = override.text
            origins[override.path] = override.origin


def _told(kind: str, loc: tuple[str | int, ...], value: object, detail: str, origins: Mapping[str, Origin]) -> Problem:
    """One complaint of the schema in our words."""
    path = dotted(part for part in loc if part != "[key]")
    origin = place_of(path, origins)
    if kind == "extra_forbidden":
        near = keys.nearest(path)
        known = sorted(keys.names_below(path.rpartition(".")[0]))
        hint = f"did you mean {near}?" if near else f"keys here: {', '.join(known)}"
        return Problem(origin, f"{path}: no such key", hint)
    key = keys.matching(path)
    expected = key.expected if key else "a table"
    got = "nothing" if kind == "missing" else "another value" if key and key.secret else shown(value)
    why = detail.removeprefix("Value error, ") if kind == "value_error" else None
    return Problem(origin, f"{path}: expected {expected}, found {got}", why)
