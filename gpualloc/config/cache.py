"""The validated configuration kept as JSON, so that the next command imports neither pydantic nor a TOML parser.

One file per configuration file, private to its owner, replaced whole. Whatever is wrong with it, it is only ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from gpualloc import __version__
from gpualloc.config.alerts import settings_from
from gpualloc.config.settings import ApplySettings, Config, HookSettings, Origin, Pool, Source, SshSettings, specs_of
from gpualloc.model.desired import Repartition
from gpualloc.model.enforcement import EnforceMode, Rules
from gpualloc.model.health import HealthRules
from gpualloc.model.objective import Objective
from gpualloc.model.rebalancing import FreezeWindow, RebalanceRules
from gpualloc.model.scaling import Hours, ScalingName, ScalingSettings, SpotRules

MAX_BYTES = 16 * 1024 * 1024


def key_of(text: bytes, given: object, host: str) -> str:
    """SHA-256 over everything a validated configuration depends on."""
    rest = json.dumps([__version__, host, given], sort_keys=True)
    return hashlib.sha256(rest.encode() + b"\0" + text).hexdigest()


def file_of(directory: Path, source: Path | None) -> Path:
    """Where the result for one configuration file is kept."""
    name = hashlib.sha256(os.fsencode(os.path.abspath(source) if source else "")).hexdigest()[:16]
    return directory / f"config-{name}.json"


def read(file: Path, key: str, host: str) -> tuple[Config, Mapping[str, Origin]] | None:
    """The configuration kept under this key; None when there is none, it is another's, or it is broken."""
    try:
        with file.open("rb") as stream:
            if os.fstat(stream.fileno()).st_uid != os.geteuid():
                return None
            document = json.loads(stream.read(MAX_BYTES))
        if document["key"] != key:
            return None
        config = _config(document["config"], host)
        origins = {path: Origin(Source(source), *place) for path, (source, *place) in document["origins"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return config, origins


def write(file: Path, key: str, config: Config, origins: Mapping[str, Origin]) -> None:
    """Keep a configuration; where that is not possible, the next command validates again."""
    body = asdict(config)
    del body["nodes"]
    document = {
        "key": key,
        "config": body,
        "origins": {path: [origin.source.value, origin.where, origin.line] for path, origin in origins.items()},
    }
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            json.dump(document, stream, default=_jsonable)
        draft.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()


def _config(body: dict[str, Any], host: str) -> Config:
    pools = tuple(_pool(pool) for pool in body["pools"])
    return Config(
        pools=pools,
        nodes=specs_of(pools, host),
        policy=str(body["policy"]),
        policy_profile=str(body["policy_profile"]),
        objective=Objective(body["objective"]),
        forecaster=str(body["forecaster"]),
        sample_every_s=float(body["sample_every_s"]),
        history_retention_s=float(body["history_retention_s"]),
        history_minutes_s=float(body["history_minutes_s"]),
        history_hours_s=float(body["history_hours_s"]),
        apply=ApplySettings(**body["apply"]),
        repartition=Repartition(body["repartition"]),
        hooks=_hooks(body["hooks"]),
        enforce=_rules(body["enforce"]),
        gang_ports=_ports(body["gang_ports"]),
        rebalance=_rebalance(body["rebalance"]),
        rebalance_deadline_s=float(body["rebalance_deadline_s"]),
        health=HealthRules(**body["health"]),
        alerts=settings_from(body["alerts"]),
    )


def _rebalance(body: dict[str, Any]) -> RebalanceRules:
    windows = (FreezeWindow(frozenset(one["days"]), one["from_s"], one["until_s"]) for one in body.pop("freeze"))
    return RebalanceRules(**body, freeze=tuple(windows))


def _jsonable(value: object) -> list[object]:
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not kept")


def _hooks(body: dict[str, Any]) -> HookSettings:
    timeout_s, burnin_s = float(body.pop("timeout_s")), float(body.pop("burnin_timeout_s"))
    commands = {name: tuple(str(word) for word in words) for name, words in body.items()}
    return HookSettings(**commands, timeout_s=timeout_s, burnin_timeout_s=burnin_s)


def _ports(body: list[Any]) -> tuple[int, int]:
    first, last = map(int, body)
    return first, last


def _rules(body: dict[str, Any]) -> Rules:
    exempt = {name: tuple(map(str, body.pop(name))) for name in list(body) if name.startswith("exempt_")}
    return Rules(EnforceMode(body["mode"]), int(body["after_sightings"]), float(body["grace_s"]), **exempt)


def _pool(body: dict[str, Any]) -> Pool:
    ssh = body.pop("ssh")
    options = tuple((str(key), str(value)) for key, value in ssh["options"])
    scaling = body.pop("scaling")
    return Pool(
        ssh=SshSettings(
            ssh["user"], ssh["port"], options, engine=str(ssh["engine"]), command=tuple(map(str, ssh["command"]))
        ),
        nodes=tuple(body.pop("nodes")),
        scaling=None if scaling is None else _scaling(scaling),
        **body,
    )


def _scaling(body: dict[str, Any]) -> ScalingSettings:
    spot = body.pop("spot")
    hours = body.pop("hours")
    return ScalingSettings(
        policy=ScalingName(body.pop("policy")),
        steps=tuple((float(load), int(nodes)) for load, nodes in body.pop("steps")),
        hours=tuple(Hours(tuple(each.pop("days")), **each) for each in hours),
        up_hook=tuple(str(word) for word in body.pop("up_hook")),
        down_hook=tuple(str(word) for word in body.pop("down_hook")),
        spot=None if spot is None else SpotRules(**spot),
        **body,
    )
