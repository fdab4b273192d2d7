"""What `submit` and `run` ask for: flags, a request file, or both (flags win)."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpualloc.cli.profile_file import read_profile
from gpualloc.cli.shared import chosen_nodes, given
from gpualloc.cli.values import number, whole_number
from gpualloc.errors import BrokenInputError, UsageError
from gpualloc.model.allocation import Share
from gpualloc.model.units import parse_duration_s, parse_memory_mib
from gpualloc.model.workload import Preemption, Request

if TYPE_CHECKING:
    from gpualloc.engine.context import Context

COMMAND_SETTINGS = {"allow_interspersed_args": False, "help_option_names": ["-h", "--help"]}
"""What follows the first word of the command belongs to the command, with or without `--`."""


def request_options(
    *,
    command: Annotated[list[str] | None, typer.Argument(metavar="[--] COMMAND...", help="What to run.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name; else that of the command.")] = None,
    gpus: Annotated[
        str | None,
        typer.Option(
            "--gpus", metavar="N", help="Devices or MIG instances, or a range as 2:8; 0 is CPU-only. [default: 1]"
        ),
    ] = None,
    gpu_memory: Annotated[
        str | None, typer.Option("--gpu-memory", metavar="SIZE", help="GPU memory needed on each device, as 20GiB.")
    ] = None,
    gpu_model: Annotated[
        str | None,
        typer.Option("--gpu-model", metavar="MODEL", help="Part of the product name, or a glob; or several: A|B."),
    ] = None,
    fraction: Annotated[
        str | None, typer.Option("--fraction", metavar="F", help="Share each device: its part, between 0 and 1.")
    ] = None,
    share: Annotated[
        str | None,
        typer.Option("--share", metavar="HOW", help="exclusive, mig, mps or time-slice; else as other options imply."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="PROFILE", help="MIG instances, such as 2g.20gb.")
    ] = None,
    sm: Annotated[
        str | None, typer.Option("--sm", metavar="N", help="With --share mig: multiprocessors needed.")
    ] = None,
    several_instances: Annotated[
        bool, typer.Option("--several-instances", help="One process takes several MIG instances (driver R570).")
    ] = False,
    cpus: Annotated[str | None, typer.Option("--cpus", metavar="N", help="CPU limit in cores, such as 2.5.")] = None,
    cpuset: Annotated[
        str | None,
        typer.Option("--cpuset", metavar="LIST", help="Only these CPUs: 0-3,8; or near: those near the GPUs."),
    ] = None,
    memory: Annotated[str | None, typer.Option("--memory", metavar="SIZE", help="Memory limit, as 16GiB.")] = None,
    pids: Annotated[str | None, typer.Option("--pids", metavar="N", help="Most processes and threads.")] = None,
    priority: Annotated[str | None, typer.Option("--priority", metavar="P", help="Higher goes first.")] = None,
    nodes: Annotated[list[str] | None, typer.Option("--nodes", metavar="SET", help="Only on these nodes.")] = None,
    cwd: Annotated[str | None, typer.Option("--cwd", metavar="DIR", help="Working directory on the node.")] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", metavar="K=V", help="Environment variable; its value stays secret.")
    ] = None,
    at_most: Annotated[
        str | None, typer.Option("--at-most", metavar="DURATION", help="Stop it after this time, such as 4h.")
    ] = None,
    require: Annotated[
        str | None,
        typer.Option("--require", metavar="hard", help="Do not start where the kernel cannot hold the limits."),
    ] = None,
    file: Annotated[
        str | None, typer.Option("-f", "--file", metavar="FILE", help="TOML file with the long option names as keys.")
    ] = None,
) -> None:
    """Declare what is asked for; `request_of` reads it."""


def constraint_options(
    *,
    gang: Annotated[
        bool, typer.Option("--gang", help="The GPUs may be of several nodes: the command runs once on each.")
    ] = False,
    per_node: Annotated[
        str | None, typer.Option("--per-node", metavar="N", help="With --gang: GPUs on each node; limits are a node's.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Only on nodes with this label.")
    ] = None,
    near: Annotated[
        list[str] | None, typer.Option("--near", metavar="PATH", help="Only where this data or mount is there.")
    ] = None,
    numa: Annotated[bool, typer.Option("--numa", help="All GPUs near one NUMA node.")] = False,
    profile_file: Annotated[
        str | None,
        typer.Option(
            "--profile-file", metavar="FILE", help="What it is expected to use over its run, as TOML or JSON."
        ),
    ] = None,
) -> None:
    """Declare what node and devices must be like, and what of them will be used; `request_of` reads it."""


def contention_options(
    *,
    cpu_weight: Annotated[
        str | None, typer.Option("--cpu-weight", metavar="N", help="Part of contended CPU time; others have 100.")
    ] = None,
    io_weight: Annotated[
        str | None, typer.Option("--io-weight", metavar="N", help="Part of contended disk time; others have 100.")
    ] = None,
    preempt: Annotated[
        str | None,
        typer.Option("--preempt", metavar="HOW", help="How it gives way: suspend, checkpoint, stop or never."),
    ] = None,
    checkpoint_signal: Annotated[
        str | None, typer.Option("--checkpoint-signal", metavar="SIGNAL", help="Signal on which it saves itself: USR1.")
    ] = None,
    checkpoint_command: Annotated[
        str | None,
        typer.Option("--checkpoint-command", metavar="COMMAND", help="Command that saves it; has GPUALLOC_PID."),
    ] = None,
    checkpoint_grace: Annotated[
        str | None, typer.Option("--checkpoint-grace", metavar="DURATION", help="Time to save itself. [default: 60s]")
    ] = None,
    resize_command: Annotated[
        str | None,
        typer.Option(
            "--resize-command",
            metavar="COMMAND",
            help="With --gpus MIN:MAX: command that tells it of its new GPUs; has GPUALLOC_DEVICES.",
        ),
    ] = None,
) -> None:
    """Declare how the work stands against other work; `request_of` reads it."""


OPTIONS = (request_options, constraint_options, contention_options)
"""What declares the options of a request."""


_LISTS = ("command", "nodes", "env", "label", "near")
_PAIRS = ("env", "label")
_TEXTS = (
    "name", "gpus", "gpu-memory", "gpu-model", "fraction", "share", "profile", "sm", "per-node", "cpus", "cpuset",
    "memory", "pids", "priority", "cwd", "at-most", "require", "cpu-weight", "io-weight", "preempt",
    "checkpoint-signal", "checkpoint-command", "checkpoint-grace", "resize-command", "profile-file",
)  # fmt: skip


def request_of(ctx: typer.Context, world: Context) -> tuple[str, Request]:
    """The name and the request that the command line and its request file describe.

    Raises:
        UsageError: a flag has a wrong value.
        BrokenInputError: the request file cannot be read or has a wrong key or value.
    """
    flags = given(ctx)
    asked: dict[str, Any] = _from_file(Path(flags["file"])) if flags["file"] else {}
    asked |= {key: flags[key] for key in _LISTS if flags[key]}
    asked |= {key: flags[key.replace("-", "_")] for key in _TEXTS if flags[key.replace("-", "_")] is not None}
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
        sm_count=_whole(asked, "sm") if "sm" in asked else None,
        share_asked=_share(asked.get("share")),
        several_instances=bool(flags["several_instances"]),
        gang=bool(flags["gang"]),
        per_node=_whole(asked, "per-node") if "per-node" in asked else None,
        cpus=_number(asked, "cpus"),
        cpuset=asked.get("cpuset"),
        memory_mib=_size(asked, "memory"),
        pids=_whole(asked, "pids") if "pids" in asked else None,
        priority=_whole(asked, "priority") if "priority" in asked else 0,
        nodes=chosen_nodes(world, asked.get("nodes")) or (),
        labels=tuple(_pair("--label", text) for text in asked.get("label", ())),
        near=tuple(asked.get("near", ())),
        numa=bool(flags["numa"]),
        cwd=asked.get("cwd"),
        env=tuple(_pair("--env", text) for text in asked.get("env", ())),
        at_most_s=parse_duration_s(asked["at-most"]) if "at-most" in asked else None,
        require=asked.get("require"),
        cpu_weight=_whole(asked, "cpu-weight") if "cpu-weight" in asked else None,
        io_weight=_whole(asked, "io-weight") if "io-weight" in asked else None,
        declared=read_profile(Path(asked["profile-file"])) if "profile-file" in asked else (),
        **_giving_way(asked),
    )
    return asked["name"] if "name" in asked else _default_name(command), request


def _giving_way(asked: Mapping[str, Any]) -> dict[str, Any]:
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
    return (Path(command[0]).name if command else "") or "unnamed"


def _range(text: str) -> tuple[int, int | None]:
    """The number of devices to start with, and the most of a range such as `2:8`."""
    least, mark, most = text.partition(":")
    return whole_number("--gpus", least), whole_number("--gpus", most) if mark else None


def _words(asked: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The words of a command, as a shell would split it; none when it was not given."""
    try:
        return tuple(shlex.split(asked.get(key, "")))
    except ValueError as error:
        raise UsageError(f"--{key}: {error}", hint="quote it as a shell would need it") from error


def _whole(asked: Mapping[str, Any], key: str) -> int:
    return whole_number(f"--{key}", asked[key])


def _number(asked: Mapping[str, Any], key: str) -> float | None:
    return number(f"--{key}", asked[key]) if key in asked else None


def _size(asked: Mapping[str, Any], key: str) -> int | None:
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


def _from_file(path: Path) -> dict[str, Any]:
    """The keys of a request file, every value as the text a flag would carry."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BrokenInputError(f"the request file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BrokenInputError(f"the request file {path} is not TOML: {error}") from error
    return {key: _file_value(path, key, value) for key, value in document.items()}


def _file_value(path: Path, key: str, value: object) -> str | list[str]:
    if key in _TEXTS and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if key in _PAIRS and isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return [f"{name}={text}" for name, text in value.items()]
    if key in _LISTS and isinstance(value, list) and all(isinstance(text, str) for text in value):
        return list(value)
    if key == "nodes" and isinstance(value, str):
        return [value]
    if key in _TEXTS or key in _LISTS:
        expected = "an array of texts" if key in _LISTS else "a text or a number"
        raise BrokenInputError(f"{path}: the key {key!r} is not {expected}")
    near = get_close_matches(key, (*_TEXTS, *_LISTS), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "the keys are the long option names of `gpualloc submit`"
    raise BrokenInputError(f"{path}: {key!r} is not a key of a request", hint=hint)
