"""What is asked for, and what became of it."""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct, field

from gpualloc.errors import UsageError
from gpualloc.model.allocation import Allocation, HeldBy, Share
from gpualloc.model.cpus import NEAR
from gpualloc.model.declared import DeclaredPhase, check_declared

MAX_NAME_CHARS = 200
MAX_GPUS = 65_536
MAX_CPUS = 65_536.0
MAX_PIDS = 4_194_304
"""The kernel's own ceiling for process ids."""
ID_PATTERN = re.compile(r"w[0-9a-hjkmnp-tv-z]{8}")
"""Workload ids enter paths and group names on nodes, so their shape is checked wherever they arrive."""
CHECKPOINT_SIGNALS = frozenset({"HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "CONT", "URG", "WINCH", "IO", "PWR"})
"""Signals, without SIG, that a process may catch to save itself; TERM comes after them anyway."""
MAX_CHECKPOINT_GRACE_S = 86_400.0
CPUSET = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
"""A CPU list as the kernel writes it, such as `0-3,8`."""

LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
MAX_LABEL_CHARS = 200
MAX_PATH_CHARS = 4096
MAX_NEAR = 32
"""Most paths that one request may ask for."""


class WorkloadState(StrEnum):
    """Where a workload stands; the words are part of the JSON contract."""

    PENDING = "pending"
    RUNNING = "running"
    SUSPENDED = "suspended"
    FINISHED = "finished"
    FAILED = "failed"
    LOST = "lost"
    RELEASED = "released"

    @property
    def ended(self) -> bool:
        """Whether it will never run again."""
        return self not in (WorkloadState.PENDING, WorkloadState.RUNNING, WorkloadState.SUSPENDED)


class Preemption(StrEnum):
    """How work may be made to give way; each word allows those after it when it is not possible, but for `never`."""

    SUSPEND = "suspend"
    """GPU memory moves to host memory, the process lives on."""
    CHECKPOINT = "checkpoint"
    """Its checkpoint hook, then TERM and KILL; it waits again."""
    STOP = "stop"
    """TERM and KILL; it waits again."""
    NEVER = "never"
    """Only a release ends it."""


class Request(Struct, frozen=True):
    """What a workload asks for. Limits that are None are not asked for."""

    command: tuple[str, ...]
    gpus: int = 1
    """Devices (or MIG instances) wanted; 0 is CPU-only work."""
    gpu_memory_mib: int | None = None
    """GPU memory needed on each device, MiB."""
    gpu_model: str | None = None
    """Case-insensitive part of the product name, or a glob; `|` stands between alternatives."""
    fraction: float | None = None
    """Part of each device's compute, in (0, 1); None is the whole device."""
    mig_profile: str | None = None
    """Wanted MIG profile, on an instance that is free or can be made."""
    sm_count: int | None = None
    """Streaming multiprocessors needed; with `share_asked` MIG the smallest sufficient profile is chosen."""
    share_asked: Share | None = None
    """How the devices are to be shared; None: as the other fields imply."""
    cpus: float | None = None
    cpuset: str | None = None
    """CPU list, or `near`: the CPUs near the devices that are given."""
    memory_mib: int | None = None
    pids: int | None = None
    priority: int = 0
    """Higher goes first."""
    nodes: tuple[str, ...] = ()
    """Allowed node names; empty is any."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels that the node must have, each with that value."""
    near: tuple[str, ...] = ()
    """Whole paths (of data, or mounts) that must be there on the node."""
    numa: bool = False
    """Whether all devices must be near one NUMA node."""
    cwd: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    """Extra environment; the values are secrets and are never shown, logged or planned."""
    at_most_s: float | None = None
    """Longest run time in seconds; None is no limit."""
    require: str | None = None
    """`hard`: do not start where kernel and driver cannot hold what is asked; None: start anyway."""
    cpu_weight: int | None = None
    io_weight: int | None = None
    preempt: Preemption = Preemption.SUSPEND
    checkpoint_signal: str | None = None
    """Signal that makes the work save itself, such as `USR1`; None when it cannot."""
    checkpoint_command: tuple[str, ...] = ()
    """Command run as the owner that makes the work save itself, with GPUALLOC_PID set; empty when there is none."""
    checkpoint_grace_s: float = 60.0
    """How long the work may take to save itself before it gets TERM, and to take the news of other devices."""
    several_instances: bool = False
    """Whether one process may be given several MIG instances (driver 570 and newer)."""
    gang: bool = False
    """Whether `gpus` may be spread over nodes, with one member on each; `cpus`, `memory_mib` and `pids` are a
    member's."""
    per_node: int | None = None
    """Devices on each member of a gang; None is as they are free."""
    gpus_max: int | None = None
    """Most devices that it can make use of when its number is changed while it runs; it starts with `gpus`. None: its
    number is never changed."""
    resize_command: tuple[str, ...] = ()
    """Command run as the owner that tells running work its new devices, in `checkpoint_grace_s`; empty when there is
    none."""
    declared: tuple[DeclaredPhase, ...] = ()
    """What its owner expects it to use, from its start on; empty is not declared."""

    @property
    def share(self) -> Share:
        """How the devices would be shared."""
        if self.share_asked is not None:
            return self.share_asked
        if self.mig_profile is not None:
            return Share.MIG
        return Share.TIME_SLICE if self.fraction is not None else Share.EXCLUSIVE


class Workload(Struct, frozen=True):
    """What runs, waits or ended, as gpualloc's own state knows it."""

    id: str
    name: str
    owner: str
    """Unix account that submitted it; the command runs as this account."""
    request: Request
    state: WorkloadState
    submitted_at_s: float
    revision: int = 1
    """Raised at every change of state; a plan made on an older one is stale."""
    attempt: int = 0
    """How many times a start was decided; names the start on the node, so that none happens twice."""
    reason: str | None = None
    """Why it waits or how it ended; None when there is nothing to tell."""
    allocation: Allocation | None = None
    """None while it waits; of a gang that is being started what its members have that were started so far."""
    pid: int | None = None
    started_at_s: float | None = None
    ended_at_s: float | None = None
    exit_code: int | None = None
    held_by: HeldBy = field(default_factory=HeldBy)
    state_dir: str | None = None
    """Folder of the node program that started it: only a program with that folder knows what became of it."""
    adopted: bool = False
    """Whether it ran before gpualloc took it in: its command is shown and never started."""


def check_name(name: str) -> str:
    """Accept any non-empty name of at most 200 characters without NUL, unchanged.

    Raises:
        UsageError: empty, too long, a NUL, or not encodable as UTF-8.
    """
    if not name or len(name) > MAX_NAME_CHARS or "\0" in name:
        raise UsageError(f"a workload name has 1 to {MAX_NAME_CHARS} characters and no NUL; this one has {len(name)}")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the workload name is not valid UTF-8") from error
    return name


def check_request(request: Request) -> Request:
    """Refuse sizes that have no meaning, whatever the fleet looks like.

    Raises:
        UsageError: names the field, the value and the accepted range.
    """
    if not request.command or not request.command[0]:
        raise UsageError("no command was given", hint="put the command after --, such as: -- python train.py")
    _in_range("--gpus", request.gpus, 0, MAX_GPUS)
    _in_range("--cpus", request.cpus, 0.001, MAX_CPUS)
    _in_range("--pids", request.pids, 1, MAX_PIDS)
    _in_range("--priority", request.priority, -1_000_000, 1_000_000)
    if request.fraction is not None and not 0 < request.fraction < 1:
        raise UsageError(f"--fraction {request.fraction:g} is not between 0 and 1", hint="leave it out for a whole GPU")
    if request.fraction is not None and round(request.fraction, 3) != request.fraction:
        raise UsageError(
            f"--fraction {request.fraction:g} is finer than a thousandth", hint=f"--fraction {request.fraction:.3f}"
        )
    _check_share(request)
    _check_constraints(request)
    _check_gang(request)
    _check_range(request)
    if request.require not in (None, "hard"):
        raise UsageError(f"--require {request.require!r} is not known", hint="--require hard is the one there is")
    if request.cpuset is not None and request.cpuset != NEAR and not CPUSET.fullmatch(request.cpuset):
        raise UsageError(
            f"--cpuset {request.cpuset!r} is not a CPU list", hint="write it as the kernel does: 0-3,8; or near"
        )
    if request.cpuset == NEAR and request.gpus == 0:
        raise UsageError("--cpuset near means near the GPUs, and --gpus 0 asks for none")
    if request.cwd is not None and not request.cwd.startswith("/"):
        raise UsageError(
            f"--cwd {request.cwd!r} is not a whole path", hint="write it as the node has it, beginning with /"
        )
    for text in (*request.command, *(part for pair in request.env for part in pair), request.cwd or ""):
        if "\0" in text:
            raise UsageError("a NUL character cannot be passed to a process")
    for key, _ in request.env:
        if not key or "=" in key:
            raise UsageError(f"{key!r} is not the name of an environment variable", hint="write --env KEY=VALUE")
    _check_giving_way(request)
    check_declared(
        request.declared, gpus=request.gpus, gpu_memory_mib=request.gpu_memory_mib, fraction=request.fraction
    )
    return request


def _check_constraints(request: Request) -> None:
    """Refuse constraints on nodes and devices without meaning."""
    if request.gpu_model is not None and not all(part.strip() for part in request.gpu_model.split("|")):
        raise UsageError(f"--gpu-model {request.gpu_model!r} has an empty alternative", hint="as in 'A100|H100'")
    for label, value in request.labels:
        if not LABEL_NAME.fullmatch(label) or len(value) > MAX_LABEL_CHARS or not value.isprintable():
            raise UsageError(f"--label {f'{label}={value}'!r} is no label", hint="write --label KEY=VALUE")
    if len({label for label, _ in request.labels}) < len(request.labels):
        raise UsageError("--label asks for two values of one label, and a node has one")
    for path in request.near:
        if not path.startswith("/") or not path.isprintable() or len(path) > MAX_PATH_CHARS:
            raise UsageError(f"--near {path[:80]!r} is not a whole path", hint="write it as nodes have it: /data/set")
    if len(request.near) > MAX_NEAR:
        raise UsageError(f"--near is given {len(request.near)} times", hint=f"at most {MAX_NEAR}")
    if request.numa and request.gpus == 0:
        raise UsageError("--numa means GPUs near one NUMA node, and --gpus 0 asks for none")


def _check_share(request: Request) -> None:
    part = request.fraction is not None
    if request.gpus == 0 and any(
        (part, request.gpu_memory_mib, request.gpu_model, request.mig_profile, request.sm_count, request.share_asked)
    ):
        raise UsageError("--gpus 0 asks for no GPU, so nothing of one can be asked for")
    if request.mig_profile is not None and (part or request.share is not Share.MIG):
        raise UsageError("--profile asks for MIG instances, which excludes --fraction and any other --share")
    if request.share is Share.MIG:
        _check_mig(request)
    elif request.sm_count is not None or request.several_instances:
        raise UsageError("--sm and --several-instances are about MIG instances", hint="add --share mig")
    if request.share is Share.EXCLUSIVE and part:
        raise UsageError("--share exclusive gives whole devices", hint="leave out --fraction")
    if request.share is Share.MPS and request.gpus > 1:
        raise UsageError("a process reaches one MPS daemon, and each device has its own", hint="--gpus 1")
    if request.share in (Share.MPS, Share.TIME_SLICE) and not part:
        raise UsageError(f"--share {request.share} needs the part of each device", hint="add --fraction 0.5")


def _check_mig(request: Request) -> None:
    _in_range("--sm", request.sm_count, 1, 100_000)
    if request.mig_profile is None and request.gpu_memory_mib is None and request.sm_count is None:
        raise UsageError("--share mig does not say what is needed", hint="add --profile, --gpu-memory or --sm")
    if request.fraction is not None:
        raise UsageError("--share mig gives whole instances", hint="leave out --fraction")
    if request.gpus > 1 and not request.several_instances:
        raise UsageError(
            f"{request.gpus} MIG instances are of no use to a process that does not expect them",
            hint="--several-instances says that it does (driver R570 or newer, all on one GPU)",
        )


def _check_gang(request: Request) -> None:
    if request.per_node is not None and not request.gang:
        raise UsageError("--per-node is about the members of a gang", hint="add --gang")
    if not request.gang:
        return
    _in_range("--per-node", request.per_node, 1, MAX_GPUS)
    if request.gpus == 0 or request.share is not Share.EXCLUSIVE:
        raise UsageError("a gang is given whole GPUs", hint="--gang goes with --gpus N, and no part of a GPU")
    if request.per_node is not None and request.gpus % request.per_node:
        raise UsageError(f"--gpus {request.gpus} cannot be had as {request.per_node} on each node")


def _check_range(request: Request) -> None:
    """Refuse a range of devices, or a way to tell of them, without meaning."""
    most, command = request.gpus_max, request.resize_command
    if any("\0" in word for word in command):
        raise UsageError("a NUL character cannot be passed to a process")
    if most is None:
        if command:
            raise UsageError("--resize-command tells of a change in number", hint="add a range, such as --gpus 2:8")
        return
    _in_range("--gpus", most, 0, MAX_GPUS)
    if not 1 <= request.gpus < most:
        raise UsageError(
            f"--gpus {request.gpus}:{most} is no range", hint="write the least, from 1 on, and the most: --gpus 2:8"
        )
    if request.gang or request.share is not Share.EXCLUSIVE:
        raise UsageError("a range is of whole GPUs on one node", hint="leave out the range, or the other way to share")
    if not command or not command[0]:
        raise UsageError(
            f"nothing tells the work when it gets more or fewer than {request.gpus} GPUs",
            hint="add --resize-command; it is run with GPUALLOC_PID and GPUALLOC_DEVICES",
        )


def _check_giving_way(request: Request) -> None:
    """Refuse weights and checkpoint hooks without meaning."""
    _in_range("--cpu-weight", request.cpu_weight, 1, 10_000)
    _in_range("--io-weight", request.io_weight, 1, 10_000)
    _in_range("--checkpoint-grace", request.checkpoint_grace_s, 0, MAX_CHECKPOINT_GRACE_S)
    signal, command = request.checkpoint_signal, request.checkpoint_command
    if signal is not None and signal not in CHECKPOINT_SIGNALS:
        raise UsageError(
            f"--checkpoint-signal {signal!r} is none that work can save itself on",
            hint=f"it takes {', '.join(sorted(CHECKPOINT_SIGNALS))}",
        )
    if signal is not None and command:
        raise UsageError("--checkpoint-signal and --checkpoint-command exclude each other")
    if any("\0" in word for word in command):
        raise UsageError("a NUL character cannot be passed to a process")
    if request.preempt is Preemption.CHECKPOINT and signal is None and not command:
        raise UsageError(
            "--preempt checkpoint needs a way to save itself", hint="give --checkpoint-signal or --checkpoint-command"
        )


def _in_range(flag: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise UsageError(f"{flag} {value} is out of range", hint=f"{flag} takes {low} to {high}")
