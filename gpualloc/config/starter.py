"""The commented configuration file that `gpualloc init` writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from msgspec import Struct

from gpualloc.config.keys import KEYS, Key
from gpualloc.config.nodeset import fold

_ALERTS = """\
# What gpualloc sample tells of, and whom; docs/alerts.md tells more:
#[alerts.hot]
#metric = "temperature_c"
#above = 85
#for = "2m"
#clear = 80
#deliver = ["log", "pager"]

#[alerts.fallen]
#trouble = "xid"
#code = 79
#severity = "critical"
#deliver = ["log", "pager"]

#[channels.pager]
#webhook = "https://alerts.example.org/gpualloc"
#secret_file = "/etc/gpualloc/pager.secret\""""


class Surroundings(Struct, frozen=True):
    """What a look round found."""

    node: str
    """Name for this machine."""
    gpus: tuple[str, ...]
    """Product names of its GPUs; may be empty."""
    no_gpus: str | None
    """Why it shows no GPUs; None when it does."""
    ssh_hosts: tuple[str, ...]
    """Names in the ssh configuration of the account."""
    controllers: tuple[str, ...]
    """Other controllers found on this machine, such as Slurm."""


def starter_file(found: Surroundings) -> str:
    """TOML with this machine as the fleet, every key explained, and what else was seen as comments."""
    lines = [
        "# Configuration of gpualloc; docs/configuration.md tells more.",
        "# A line that begins with #KEY shows what holds without it; in a pool it is an example.",
        "",
    ]
    lines += _section([key for key in KEYS if "." not in key.path])
    for section in dict.fromkeys(key.path.split(".")[0] for key in KEYS if "." in key.path and key.variable):
        lines += [f"[{section}]", *_section([key for key in KEYS if key.path.startswith(section + ".")])]
    lines += [_about_this_machine(found), "[pools.default]"]
    lines += [f"nodes = {json.dumps(found.node)}", 'transport = "local"']
    lines += [f"# {name} was found on this machine: gpualloc only looks at it." for name in found.controllers]
    lines += _pool_comments(found.node)
    lines += _ssh_comments(found)
    lines += ["", _ALERTS]
    return "\n".join(lines).rstrip() + "\n"


def _about_this_machine(found: Surroundings) -> str:
    if found.gpus:
        counts = {model: found.gpus.count(model) for model in dict.fromkeys(found.gpus)}
        return "# This machine has " + ", ".join(f"{count} × {_plain(model)}" for model, count in counts.items()) + "."
    return f"# This machine shows no GPUs: {_plain(found.no_gpus or 'there are none')}."


def _section(keys: list[Key]) -> list[str]:
    lines = []
    for key in keys:
        lines += [f"# {key.about} ({key.expected})", f"#{key.path.rpartition('.')[2]} = {key.default}"]
    return [*lines, ""]


def _pool_comments(node: str) -> Iterator[str]:
    """Every key a pool takes, in the form it is written."""
    examples = {
        "ssh.user": '"ops"',
        "ssh.port": "22",
        "ssh.options": '["ServerAliveInterval=5"]',
        "ssh.engine": '"auto"',
        "ssh.command": '["ssh"]',
        "labels": '{ room = "b2" }',
        "node_labels": f'{{ {json.dumps(node)} = {{ rack = "r1" }} }}',
        "gpus": "8",
        "price_per_gpu_hour": "2.5",
        "reserved.cpus": "2",
        "reserved.memory": '"8GiB"',
        "power_budget_w": "12000",
        "interface": '"ib0"',
        "keep": '"15m"',
        "addresses": '{ gpu01 = "10.0.0.1" }',
        "scaling.schedule": '["Mon-Fri 08:00-20:00 = 6"]',
        "scaling.up_hook": '["/usr/local/bin/add-nodes"]',
        "scaling.down_hook": '["/usr/local/bin/take-nodes-away"]',
        "scaling.max_interruptions_per_hour": "0.1",
        "scaling.spread": "1",
        "scaling.prices": '"/var/lib/gpualloc/prices.csv"',
        "manage": "true",
    }
    for key in KEYS:
        name = key.path.removeprefix("pools.*.")
        example = examples.get(name, key.default if name.startswith("scaling.") else None)
        if example is not None:
            yield f"# {key.about} ({key.expected})"
            yield f"#{name} = {example}"
    yield ""


def _ssh_comments(found: Surroundings) -> Iterator[str]:
    """A pool of the hosts in the ssh configuration, to be cut down to those with GPUs."""
    others = [name for name in found.ssh_hosts if name != found.node]
    if others:
        yield "# Hosts of your ssh configuration; keep those with GPUs and take the # away:"
        nodes = json.dumps(fold(others))
    else:
        yield "# More nodes, reached with your own ssh:"
        nodes = '"gpu[01-04]"'
    yield "#[pools.gpu]"
    yield f"#nodes = {nodes}"


def _plain(text: str) -> str:
    """Text of a driver without what would end a comment."""
    return re.sub(r"[^ -~]", "?", text)[:200]
