"""What a node says, turned into the model's nouns. Everything remote is untrusted until it passed here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from gpualloc.adapters.decode_device import DEVICE_UUID, MIG_UUID, KnownDevices, decode_devices
from gpualloc.adapters.decode_processes import DecodedProcesses
from gpualloc.adapters.decode_readings import decode_host, decode_kernel
from gpualloc.adapters.fields import MAX_NAME, Fields, MalformedError, clean
from gpualloc.model.allocation import Claim, HeldBy, Hold, Limits, Share, WorkloadEnd, WorkloadRecord
from gpualloc.model.inventory import CgroupSupport, Node, NodeSpec, NodeState, RunningProcess
from gpualloc.model.progress import Progress
from gpualloc.model.workload import CPUSET, ID_PATTERN
from gpualloc.ports import LogChunk, StepResult

OBSERVED = ("inventory", "sample", "processes", "claims", "kernel")
"""The verbs that make up one look at a node, beside `hello`."""

_T = TypeVar("_T")
_MAX_FACT_DEPTH = 4
_MAX_FACT_ITEMS = 1024
_CONTROLLER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_PID = 4_194_304
_MAX_MIB = 1 << 40
_MAX_POINTS = 64
_LEAST_STEPS, _MAX_STEPS = 1e-9, 1e15
_MAX_LOSS = 1e30
_NVML_WORDS = {
    "absent": "no NVIDIA driver library was found",
    "mismatch": "the NVIDIA driver and its library have different versions",
    "hung": "the NVIDIA driver does not answer",
}


class Hello(Struct, frozen=True):
    """What stays the same as long as a node program runs."""

    hostname: str
    boot_id: str | None
    user: str | None
    python: str
    privileged: bool
    state_dir: str | None
    driver_version: str | None
    nvml_reason: str | None
    """None when NVML works."""
    nvml_state: str
    cgroup: CgroupSupport
    mps: bool
    """Whether the control program of MPS is there."""
    other_controllers: tuple[str, ...]
    limited: str | None = None
    """As `Node.limited`."""


def decode_hello(result: object) -> Hello:
    """The answer to `hello`; raises MalformedError."""
    fields = Fields(result, "hello")
    nvml = fields.record("nvml")
    cgroup = fields.record("cgroup")
    return Hello(
        hostname=fields.text("hostname"),
        boot_id=fields.text_or_none("boot_id"),
        user=fields.text_or_none("user"),
        python=fields.text("python"),
        privileged=fields.flag("privileged"),
        state_dir=fields.text_or_none("state_dir"),
        driver_version=nvml.text_or_none("driver_version"),
        nvml_reason=_nvml_reason(nvml),
        nvml_state=nvml.text("state"),
        cgroup=CgroupSupport(
            cgroup.text("mode"), cgroup.texts("controllers"), cgroup.flag("writable"), cgroup.text_or_none("isolation")
        ),
        mps=fields.flag("mps") if fields.has("mps") else True,
        other_controllers=fields.texts("other_controllers"),
        limited=fields.text_or_none("limited"),
    )


def decode_node(
    spec: NodeSpec, at_s: float, hello: Hello, results: Mapping[str, object], near: Sequence[str] = ()
) -> Node:
    """A node that answered.

    Args:
        spec: the node as configured.
        at_s: when it answered, by our own clock.
        hello: what it said of itself on this connection.
        results: its answer to each verb of `OBSERVED`.
        near: the paths it was asked for.

    Raises:
        MalformedError: the node sent nonsense.
    """
    return NodeDecoder(spec).join(at_s, hello, results, near)


class NodeDecoder:
    """Decodes what one node says, again and again; what is the same object as before is not decoded again.

    Args:
        spec: the node as configured.
    """

    def __init__(self, spec: NodeSpec) -> None:
        self._spec = spec
        self._kept: dict[str, tuple[object, Any]] = {}
        self._devices: KnownDevices = {}
        self._processes = DecodedProcesses()

    def decode(self, at_s: float, hello: object, results: Mapping[str, object]) -> Node:
        """As `decode_node`, with the answer to `hello` as it came."""
        return self.join(at_s, self._part("hello", hello, decode_hello), results, ())

    def join(self, at_s: float, hello: Hello, results: Mapping[str, object], near: Sequence[str]) -> Node:
        """As `decode_node`."""
        inventory = Fields(results["inventory"], "inventory")
        sample = Fields(results["sample"], "sample")
        claims, workloads = self._part("claims", results["claims"], _decode_claims)
        kernel_messages, kernel_log_reason = self._part("kernel", results["kernel"], decode_kernel)
        return Node(
            spec=self._spec,
            state=NodeState.OK,
            at_s=at_s,
            clock_offset_s=sample.number("at_s") - at_s if sample.has("at_s") else None,
            boot_id=hello.boot_id,
            hostname=hello.hostname,
            driver_version=hello.driver_version,
            nvml_reason=hello.nvml_reason,
            nvml_state=hello.nvml_state,
            python_version=hello.python,
            user=hello.user,
            privileged=hello.privileged,
            state_dir=hello.state_dir,
            cgroup=hello.cgroup,
            mps=hello.mps,
            other_controllers=hello.other_controllers,
            host=decode_host(inventory.record("host"), sample.record("host")),
            devices=decode_devices(inventory, sample, self._devices),
            processes=self._part("processes", results["processes"], self._processes.of),
            claims=claims,
            workloads=workloads,
            kernel_messages=kernel_messages,
            kernel_log_reason=kernel_log_reason,
            limited=hello.limited,
            near=_near(inventory, near),
        )

    def _part(self, name: str, told: object, decode: Callable[[object], _T]) -> _T:
        kept = self._kept.get(name)
        if kept is None or kept[0] is not told:
            kept = self._kept[name] = (told, decode(told))
        value: _T = kept[1]
        return value


def _decode_claims(result: object) -> tuple[tuple[Claim, ...], tuple[WorkloadRecord, ...]]:
    fields = Fields(result, "claims")
    return tuple(map(_claim, fields.records("claims"))), tuple(map(_workload, fields.records("workloads")))


def decode_process(result: object) -> RunningProcess:
    """The answer to `process`."""
    fields = Fields(result, "process")
    return RunningProcess(
        pid=fields.integer("pid", 1, _MAX_PID),
        started_at_s=fields.number("started_at_s"),
        user=fields.text_or_none("user"),
        command=fields.text_or_none("command"),
        workload=fields.text_or_none("workload", ID_PATTERN),
        count=fields.integer("count", 1, _MAX_PID),
        memory_mib=fields.integer("memory_mib", 0, _MAX_MIB),
        uses=tuple(
            (use.text("device", DEVICE_UUID), use.text_or_none("mig_instance", MIG_UUID))
            for use in fields.records("uses")
        ),
    )


def decode_step(result: object) -> StepResult:
    """The answer to do, verify or undo: facts in bounded texts, numbers, and records and lists of them."""
    fields = Fields(result, "step")
    holds = fields.flag("holds") if fields.has("holds") else True
    facts = _fact(result, "step")
    assert isinstance(facts, dict)
    return StepResult(holds, {name: fact for name, fact in facts.items() if name != "holds"})


def decode_logs(result: object, limit: int) -> LogChunk:
    """The answer to `logs`."""
    fields = Fields(result, "logs")
    return LogChunk(fields.blob("data", limit), fields.integer("next_offset"), fields.flag("ended"))


def decode_changed(result: object) -> bool:
    """The answer to `events`."""
    return Fields(result, "events").flag("changed")


def _near(inventory: Fields, asked: Sequence[str]) -> dict[str, bool | None]:
    """Whether each path is there; an older node program does not tell."""
    told = inventory.record("near") if inventory.has("near") else Fields({}, "inventory.near")
    return {path: told.flag_or_none(path) for path in asked}


def _nvml_reason(nvml: Fields) -> str | None:
    state = nvml.text("state")
    if state == "ok":
        return None
    return nvml.text_or_none("reason") or _NVML_WORDS.get(state, f"NVML: {state[:100]}")


def _claim(fields: Fields) -> Claim:
    return Claim(
        device=fields.text("device", DEVICE_UUID),
        workload=fields.text("workload", ID_PATTERN),
        controller=fields.text("controller", _CONTROLLER),
        share=fields.word("share", Share),
        mig_instance=fields.text_or_none("mig_instance", MIG_UUID),
        fraction=fields.number("fraction", 0, 1),
        memory_mib=fields.integer_or_none("memory_mib", 0, _MAX_MIB),
        at_s=fields.number("at_s"),
    )


def _workload(fields: Fields) -> WorkloadRecord:
    return WorkloadRecord(
        workload=fields.text("workload", ID_PATTERN),
        controller=fields.text("controller", _CONTROLLER),
        attempt=fields.integer("attempt"),
        pid=fields.integer_or_none("pid", 0, _MAX_PID),
        started_at_s=fields.number_or_none("started_at_s"),
        end=_end(fields.record("end")) if fields.has("end") else None,
        held_by=_held_by(fields.record("held_by")) if fields.has("held_by") else HeldBy(),
        log_bytes=fields.integer("log_bytes"),
        bound=_bound(fields.record("bound")) if fields.has("bound") else None,
        progress=_progress(fields.record("progress")) if fields.has("progress") else None,
    )


def _progress(fields: Fields) -> Progress:
    points = fields.records("points")[-_MAX_POINTS:]
    return Progress(
        step=fields.number_or_none("step", 0, _MAX_STEPS),
        of=fields.number_or_none("of", _LEAST_STEPS, _MAX_STEPS),
        loss=fields.number_or_none("loss", -_MAX_LOSS, _MAX_LOSS),
        phase=fields.text_or_none("phase"),
        age_s=fields.number("age_s"),
        points=tuple((point.number("age_s"), point.number("step", 0, _MAX_STEPS)) for point in points),
    )


def _bound(fields: Fields) -> Limits:
    return Limits(
        cpus=fields.number_or_none("cpus", 0, 1 << 20),
        cpuset=fields.text_or_none("cpuset", CPUSET),
        memory_mib=fields.integer_or_none("memory_mib", 0, _MAX_MIB),
        pids=fields.integer_or_none("pids", 0, _MAX_PID),
        cpu_weight=fields.integer_or_none("cpu_weight", 0, 10_000),
        io_weight=fields.integer_or_none("io_weight", 0, 10_000),
        rule=fields.flag_or_none("rule"),
    )


def _end(fields: Fields) -> WorkloadEnd:
    return WorkloadEnd(
        exit_code=fields.integer("exit_code", 0, 255),
        at_s=fields.number("at_s"),
        signal=fields.integer_or_none("signal", 1, 64),
        oom=fields.flag("oom"),
        reason=fields.text_or_none("reason"),
    )


def _held_by(fields: Fields) -> HeldBy:
    holds = {
        name: fields.word(name, Hold) if fields.has(name) else None for name in ("gpu", "cpu", "memory", "pids", "io")
    }
    return HeldBy(**holds)


def _fact(value: object, where: str, depth: int = 0) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise MalformedError(f"{where} holds a number that is none")
    if isinstance(value, list | dict) and (depth > _MAX_FACT_DEPTH or len(value) > _MAX_FACT_ITEMS):
        raise MalformedError(f"{where} is nested too deep or too long")
    if isinstance(value, list):
        return [_fact(item, where, depth + 1) for item in value]
    if isinstance(value, dict):
        return {clean(name, MAX_NAME): _fact(item, where, depth + 1) for name, item in value.items()}
    return value
