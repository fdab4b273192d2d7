"""What `submit` and `run` ask for: flags, a request file, or both (flags win)."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpualloc.cli.profile_file import read_profile
from gpualloc.cli.shared import chosen_nodes, given
from gpualloc.errors import BrokenInputError
from gpualloc.model.asked import request_asked

if TYPE_CHECKING:
    from gpualloc.engine.context import Context
    from gpualloc.model.workload import Request

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
_SWITCHES = ("several-instances", "gang", "numa")
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
    asked |= {key: True for key in _SWITCHES if flags[key.replace("-", "_")]}
    return request_asked(
        asked,
        nodes=chosen_nodes(world, asked.get("nodes")) or (),
        declared=read_profile(Path(asked["profile-file"])) if "profile-file" in asked else (),
    )


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
