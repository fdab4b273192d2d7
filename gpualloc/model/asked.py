"""A request as people write it: texts by the long names of the options, from flags, a file or a form."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from gpualloc.errors import UsageError
from gpualloc.model.allocation import Share
from gpualloc.model.declared import DeclaredPhase
from gpualloc.model.units import number, parse_duration_s, parse_memory_mib, whole_number
from gpualloc.model.workload import Preemption, Request

Asked = Mapping[str, Any]
"""Texts by option (`gpu-memory`), lists of texts of `command`, `env`, `label` and `near`, and switches as bools.

What is not asked for is not there.
"""


def request_asked(
    asked: Asked, *, nodes: tuple[str, ...] = (), declared: tuple[DeclaredPhase, ...] = ()
) -> tuple[str, Request]:
    """The name and the request that the texts mean.

    Args:
        asked: the texts.
        nodes: names of the nodes that are allowed; none: all.
        declared: what the work is expected to use.

    Raises:
        UsageError: a text has no meaning; names its option.
    """
    command = tuple(asked.get("command", ()))
    gpus, gpus_max = _range(asked["gpus"]) if "gpus" in asked else (1, None)
    request = Request(
        command=command,
        gpus=gpus,
        gpus_max=gpus_max,
        resize_command=_words(asked, "resize-command"),
        gpu_memory_mib=_size(asked, "gpu-memory"),
        gpu_model=asked.get("gpu-model"),
        fraction=_number(asked, "fraction"),
        mig_profile=asked.get("profile"),
        sm_count=_whole(asked, "sm"),
        share_asked=_share(asked.get("share")),
        several_instances=bool(asked.get("several-instances")),
        gang=bool(asked.get("gang")),
        per_node=_whole(asked, "per-node"),
        cpus=_number(asked, "cpus"),
        cpuset=asked.get("cpuset"),
        memory_mib=_size(asked, "memory"),
        pids=_whole(asked, "pids"),
        priority=_whole(asked, "priority") or 0,
        nodes=nodes,
        labels=tuple(_pair("--label", text) for text in asked.get("label", ())),
        near=tuple(asked.get("near", ())),
        numa=bool(asked.get("numa")),
        cwd=asked.get("cwd"),
        env=tuple(_pair("--env", text) for text in asked.get("env", ())),
        at_most_s=parse_duration_s(asked["at-most"]) if "at-most" in asked else None,
        require=asked.get("require"),
        cpu_weight=_whole(asked, "cpu-weight"),
        io_weight=_whole(asked, "io-weight"),
        declared=declared,
        **_giving_way(asked),
    )
    return asked["name"] if "name" in asked else _default_name(command), request


def _giving_way(asked: Asked) -> dict[str, Any]:
    """How the work makes room for other work: the fields of `Request` about preemption that are asked for."""
    fields: dict[str, Any] = {}
    if "preempt" in asked:
        if asked["preempt"] not in list(Preemption):
            raise UsageError(f"--preempt {asked['preempt']!r} is not known", hint=f"it takes {', '.join(Preemption)}")
        fields["preempt"] = Preemption(asked["preempt"])
    if "checkpoint-signal" in asked:
        fields["checkpoint_signal"] = asked["checkpoint-signal"].removeprefix("SIG")
    if "checkpoint-command" in asked:
        fields["checkpoint_command"] = _words(asked, "checkpoint-command")
    if "checkpoint-grace" in asked:
        fields["checkpoint_grace_s"] = parse_duration_s(asked["checkpoint-grace"])
    return fields


def _share(text: str | None) -> Share | None:
    if text is None:
        return None
    try:
        return Share(text)
    except ValueError:
        raise UsageError(f"--share {text!r} is not known", hint=f"it takes {', '.join(Share)}") from None


def _default_name(command: tuple[str, ...]) -> str:
    return (PurePath(command[0]).name if command else "") or "unnamed"


def _range(text: str) -> tuple[int, int | None]:
    """The number of devices to start with, and the most of a range such as `2:8`."""
    least, mark, most = text.partition(":")
    return whole_number("--gpus", least), whole_number("--gpus", most) if mark else None


def _words(asked: Asked, key: str) -> tuple[str, ...]:
    return words(f"--{key}", asked.get(key, ""))


def words(flag: str, text: str) -> tuple[str, ...]:
    """The words of a command, as a shell would split it; none of an empty text.

    Raises:
        UsageError: a quote is not closed; names the flag.
    """
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{flag}: {error}", hint="quote it as a shell would need it") from error


def _whole(asked: Asked, key: str) -> int | None:
    return whole_number(f"--{key}", asked[key]) if key in asked else None


def _number(asked: Asked, key: str) -> float | None:
    return number(f"--{key}", asked[key]) if key in asked else None


def _size(asked: Asked, key: str) -> int | None:
    if key not in asked:
        return None
    try:
        return parse_memory_mib(asked[key])
    except UsageError as error:
        raise UsageError(f"--{key}: {error.message}", hint=error.hint) from error


def _pair(flag: str, text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not mark:
        # The text may be a secret that was meant as the value, so it is not repeated.
        raise UsageError(f"{flag} was given a text without '='", hint=f"write {flag} KEY=VALUE")
    return key, value
