"""A simulated node: its GPUs, the work on it, and the answers a node program would give."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from msgspec import Struct, field

from gpualloc.node.wire import Refused
from gpualloc.sim.cluster import HostSpec, Stranger
from gpualloc.sim.command import is_missing, is_notebook
from gpualloc.sim.gpu import FaultKind, GpuModel, GpuProcess
from gpualloc.sim.host_rows import host_load_row, host_size_row
from gpualloc.sim.ledger import SimulatedLedger
from gpualloc.sim.rows import hello_row, inventory_row, near_row, process_row, sample_row
from gpualloc.sim.use import Pattern, utilization
from gpualloc.sim.work import HostedWork

_FIRST_PID = 4000
_REMEMBERED = 500
"""Ended workloads a node remembers."""
_BASE_MEMORY_MIB = 2048
"""Host memory in use without any work."""
_LIMITS = ("cpus", "cpuset", "memory_mib", "pids", "cpu_weight", "io_weight")


class SimulatedSteps(Protocol):
    """Steps of one or two kinds on a simulated node; as `node.parts.StepHandler`, with the node as an argument."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse what `do` would refuse."""

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Carry the step out, or find it done."""

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """`holds` and the facts read back."""

    def undo(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Take the step back, if it is there."""


HANDLERS: dict[str, SimulatedSteps] = {}
"""What does the kinds of steps that are not about a start; modules of `sim` put themselves in."""

Faults = Mapping[int, tuple[FaultKind, float]]
"""What makes GPUs of a node sick now, by index, and since when."""

Milder = Mapping[int, frozenset[FaultKind]]
"""What is wrong with GPUs of a node that work all the same, by index."""


class SimulatedHost(Struct):
    """State of one simulated node; answers as a `node.server.Machine`, but for waiting.

    `advance` must be called with the time before anything is asked; it ends what is due.
    """

    spec: HostSpec
    boot_id: str
    gpus: list[GpuModel]
    faults: Faults = field(default_factory=dict)
    troubles: Milder = field(default_factory=dict)
    booted_s: float | None = None
    """When it was rebooted last, epoch seconds; None: not since the simulation began."""
    now_s: float = 0.0
    next_pid: int = _FIRST_PID
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Limits by workload."""
    work: dict[str, HostedWork] = field(default_factory=dict)
    """The latest start of each workload."""
    ledger: SimulatedLedger = field(default_factory=SimulatedLedger)
    mps: dict[str, list[str]] = field(default_factory=dict)
    """Devices by workload whose MPS daemon it needs."""
    saves: dict[str, float] = field(default_factory=dict)
    """How far work was that saved itself, in seconds of it, by workload; the same on all nodes of the cluster."""
    signals: dict[str, str] = field(default_factory=dict)
    """How processes stood after each signal that was sent, by the order to send it."""

    # ---- time

    def advance(self, now_s: float, faults: Faults, troubles: Milder = MappingProxyType({})) -> None:
        """Let time pass until `now_s`: what is due ends, and what it held is free."""
        self.now_s = max(self.now_s, now_s)
        self.faults, self.troubles = faults, troubles
        for gpu in self.gpus:
            gpu.let_pass(self.now_s)
        for work in self.work.values():
            if work.advance(self.now_s):
                self._clear(work)
                self.saves.pop(work.workload, None)

    def ended(self) -> frozenset[tuple[str, int]]:
        """Workload and attempt of all remembered work that ended."""
        return frozenset((work.workload, work.attempt) for work in self.work.values() if work.end is not None)

    def next_end_s(self) -> float | None:
        """When the next workload ends by itself; None when none does."""
        due = [work.due_at_s for work in self.work.values() if work.end is None]
        return min((at_s for at_s in due if at_s is not None), default=None)

    def add_stranger(self, stranger: Stranger) -> None:
        """Let somebody else's process use GPUs of this node."""
        pid = self._take_pid()
        for index in stranger.gpus:
            gpu = self.gpus[index]
            matching = [each.uuid for each in gpu.instances if each.profile.name == stranger.profile]
            gpu.processes.append(
                GpuProcess(
                    pid=pid,
                    user=stranger.user,
                    command=stranger.command,
                    started_at_s=self.now_s - stranger.age_s,
                    memory_mib=stranger.memory_mib,
                    pattern=stranger.pattern,
                    instance=matching[0] if matching else None,
                )
            )

    # ---- readings

    def hello(self) -> dict[str, Any]:
        """Who and what this node is."""
        return hello_row(self.spec, self.boot_id)

    def inventory(self) -> dict[str, Any]:
        """Devices and host, without their readings."""
        return {
            "devices": [
                inventory_row(gpu, self.faults.get(gpu.index), near_row(self.spec, gpu, self.gpus))
                for gpu in self._listed
            ],
            "host": host_size_row(self.spec),
        }

    def present(self, paths: Iterable[str]) -> dict[str, bool | None]:
        """For each path whether it is there."""
        return {
            path: any(f"{there}/".startswith(f"{path.rstrip('/')}/") for there in self.spec.paths) for path in paths
        }

    def sample(self) -> dict[str, Any]:
        """Devices and host as they stand now."""
        running = [work for work in self.work.values() if work.end is None]
        busy = sum(work.busy_cpus for work in running) + sum(len(gpu.processes) for gpu in self.gpus)
        wobble = utilization(Pattern.STEADY, len(self.spec.name), self.now_s)
        used_mib = _BASE_MEMORY_MIB + sum(work.host_memory_mib for work in running)
        return {
            "at_s": self.now_s,
            "devices": [
                sample_row(
                    gpu, self.faults.get(gpu.index), self.now_s, self.gpus, self.troubles.get(gpu.index, frozenset())
                )
                for gpu in self._listed
            ],
            "host": host_load_row(self.spec, busy=busy, wobble=wobble, used_mib=used_mib, running=len(running)),
        }

    def processes(self) -> dict[str, Any]:
        """Processes on the devices that answer."""
        healthy = [gpu for gpu in self.gpus if gpu.index not in self.faults]
        rows = [process_row(gpu, process, self.now_s) for gpu in healthy for process in gpu.processes]
        return {"processes": rows}

    def process(self, pid: int) -> dict[str, Any]:
        """One process on the devices; nothing else runs here, and nothing below it."""
        rows = [row for row in self.processes()["processes"] if row["pid"] == pid]
        if not rows:
            raise Refused("gone", f"there is no process {pid} on {self.spec.name}")
        told = {name: rows[0][name] for name in ("pid", "user", "command", "started_at_s", "workload")}
        uses = [{"device": row["device"], "mig_instance": row["mig_instance"]} for row in rows]
        return {**told, "pids": [pid], "count": 1, "uses": uses, "memory_mib": 0}

    def records(self) -> list[dict[str, Any]]:
        """A record of each workload this node remembers."""
        return [
            {**work.record(), "bound": self._bound(work), "progress": work.progress(self.now_s)}
            for work in self.work.values()
        ]

    def logs(self, workload: str, offset: int, limit: int) -> dict[str, Any]:
        """A piece of what a workload wrote; refuses one that is not known."""
        work = self.work.get(workload)
        if work is None:
            raise Refused("gone", f"workload {workload} never ran on {self.spec.name}")
        log = work.log()
        piece = log[offset : offset + limit]
        next_offset = min(offset, len(log)) + len(piece)
        return {
            "data": base64.b64encode(piece).decode("ascii"),
            "next_offset": next_offset,
            "ended": work.end is not None and next_offset >= len(log),
        }

    # ---- steps

    def preflight(self, step: dict[str, Any]) -> None:
        """Refuse what `do` would refuse."""
        if step["kind"] == "limit":
            self._check_limits(step)
        elif step["kind"] == "start":
            self._check_start(step)
        elif step["kind"] in HANDLERS:
            HANDLERS[step["kind"]].preflight(self, step)

    def do(self, step: dict[str, Any]) -> dict[str, Any]:
        """Carry out a step, or find it done."""
        facts = self._do(step)
        self._set_pace()
        return facts

    def undo(self, step: dict[str, Any]) -> dict[str, Any]:
        """Take a step back, if it is there."""
        facts = self._undo(step)
        self._set_pace()
        return facts

    def _do(self, step: dict[str, Any]) -> dict[str, Any]:
        match step["kind"]:
            case "limit":
                return self._limit(step)
            case "start":
                return self._start(step)
            case "stop":
                return self._stop(step["workload"], save=bool(step.get("checkpoint")))
            case "unlimit":
                self.groups.pop(step["workload"], None)
                return {}
        return _handler(step).do(self, step)

    def verify(self, step: dict[str, Any]) -> dict[str, Any]:
        """Whether the effect of the step is in force, with the facts read back."""
        workload = step["workload"]
        work = self.work.get(workload)
        match step["kind"]:
            case "limit":
                holds = self.groups.get(workload) == _limits(step)
                return {"holds": holds, **(_limit_facts(step) if holds else {})}
            case "start":
                started = work is not None and work.attempt == step["attempt"]
                return {"holds": started, **(work.facts() if work is not None and started else {})}
            case "stop":
                return {"holds": work is None or work.end is not None, "end": work.end if work else None}
            case "unlimit":
                return {"holds": workload not in self.groups}
        return _handler(step).verify(self, step)

    def _undo(self, step: dict[str, Any]) -> dict[str, Any]:
        if step["kind"] == "start":
            return self._stop(step["workload"])
        if step["kind"] != "limit":
            return _handler(step).undo(self, step)
        self.groups.pop(step["workload"], None)
        return {}

    # ---- plain JSON

    def to_plain(self) -> dict[str, Any]:
        """The state as plain JSON; the spec and the faults are the cluster's."""
        return {
            "boot_id": self.boot_id,
            "gpus": [gpu.to_plain() for gpu in self.gpus],
            "next_pid": self.next_pid,
            "groups": dict(self.groups),
            "work": [work.to_plain() for work in self.work.values()],
            "fences": dict(self.ledger.fences),
            "claims": self.ledger.claims(),
            "mps": dict(self.mps),
            "booted_s": self.booted_s,
            "signals": dict(self.signals),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any], spec: HostSpec) -> SimulatedHost:
        """From plain JSON; raises KeyError, TypeError, ValueError, ConfigError."""
        work = [HostedWork.from_plain(each) for each in plain["work"]]
        return cls(
            spec=spec,
            boot_id=plain["boot_id"],
            gpus=[GpuModel.from_plain(gpu) for gpu in plain["gpus"]],
            next_pid=plain["next_pid"],
            groups=plain["groups"],
            work={each.workload: each for each in work},
            ledger=SimulatedLedger(plain["fences"], plain["claims"]),
            mps=plain.get("mps", {}),
            booted_s=plain.get("booted_s"),
            signals=plain.get("signals", {}),
        )

    # ---- inside

    @property
    def _listed(self) -> list[GpuModel]:
        """The GPUs that the driver tells of."""
        kinds = {index: kind for index, (kind, _since_s) in self.faults.items()}
        return [gpu for gpu in self.gpus if kinds.get(gpu.index) is not FaultKind.MISSING]

    def _bound(self, work: HostedWork) -> dict[str, Any] | None:
        """Limits in force on running work; nothing here keeps it from devices."""
        if work.end is not None:
            return None
        return {**dict.fromkeys(_LIMITS), **self.groups.get(work.workload, {}), "rule": None}

    def _check_limits(self, step: dict[str, Any]) -> None:
        if step["cpuset"] is not None and max(_cpus(step["cpuset"])) >= self.spec.cpus:
            raise Refused("no-cgroup", f"CPUs {step['cpuset']}: {self.spec.name} has only 0-{self.spec.cpus - 1}")

    def _check_start(self, step: dict[str, Any]) -> None:
        for what, path in (("command", step["command"][0]), ("working directory", step["cwd"])):
            if path is not None and is_missing(path):
                raise Refused("no-command", f"the {what} {path!r} does not exist on {self.spec.name}")
        for grant in step["grants"]:
            gpu = self.gpu(grant["device"])
            if gpu.index in self.faults:
                raise Refused("unhealthy", f"GPU {gpu.index} of {self.spec.name} does not work")
            if not gpu.can_run(grant["mig_instance"]):
                raise Refused("gone", f"GPU {gpu.index} of {self.spec.name} has no such MIG instance or is in MIG mode")

    def _limit(self, step: dict[str, Any]) -> dict[str, Any]:
        self._check_limits(step)
        self.groups[step["workload"]] = _limits(step)
        return _limit_facts(step)

    def _start(self, step: dict[str, Any]) -> dict[str, Any]:
        before = self.work.get(step["workload"])
        if before is not None and before.attempt == step["attempt"]:
            return before.facts()
        if before is not None and before.end is None:
            raise Refused("failed", f"attempt {before.attempt} of workload {before.workload} still runs")
        self._check_start(step)
        work = self._work(step)
        self.work.pop(work.workload, None)
        self.work[work.workload] = work
        self.use_gpus(work, step["grants"])
        if work.advance(self.now_s):
            self._clear(work)
        self._forget_oldest()
        return work.facts()

    def _work(self, step: dict[str, Any]) -> HostedWork:
        grants = step["grants"]
        return HostedWork(
            workload=step["workload"],
            controller=step["controller"],
            attempt=step["attempt"],
            pid=self._take_pid(),
            user=step["user"] or "root",
            command=tuple(step["command"]),
            started_at_s=self.now_s,
            at_most_s=step["at_most_s"],
            visible=",".join(grant["mig_instance"] or grant["device"] for grant in grants),
            held_by={"gpu": "soft" if grants else None, **_held_by(step)},
            paced_at_s=self.now_s,
            saved_s=self.saves.get(step["workload"], 0.0),
            saves=_saves(step.get("checkpoint")),
            cpus=step["cpus"] or 1.0 + len(grants),
            memory_mib=step["memory_mib"] or 1024,
        )

    def use_gpus(self, work: HostedWork, grants: Iterable[dict[str, Any]]) -> None:
        """Let the work use the GPUs of the grants."""
        for grant in grants:
            gpu = self.gpu(grant["device"])
            gpu.processes.append(
                GpuProcess(
                    pid=work.pid,
                    user=work.user,
                    command=" ".join(work.command),
                    started_at_s=work.started_at_s,
                    memory_mib=grant["memory_mib"] or _default_memory_mib(gpu, grant, work.pid),
                    pattern=_pattern(work),
                    instance=grant["mig_instance"],
                    workload=work.workload,
                    intensity=grant["fraction"],
                )
            )

    def _set_pace(self) -> None:
        """Work goes on as fast as the slowest of its devices."""
        paces: dict[str, float] = {}
        for gpu in self.gpus:
            pace = gpu.pace
            for process in gpu.processes:
                if process.workload is not None:
                    paces[process.workload] = min(pace, paces.get(process.workload, 1.0))
        for workload, pace in paces.items():
            if workload in self.work:
                self.work[workload].go_on_at(pace, self.now_s)

    def _stop(self, workload: str, *, save: bool = False) -> dict[str, Any]:
        work = self.work.get(workload)
        if work is None:
            self.groups.pop(workload, None)
            return {"end": None}
        if work.end is None:
            if save and work.saves:
                self.saves[workload] = work.done_s(self.now_s)
            work.stop(self.now_s)
            self._clear(work)
        return {"end": work.end}

    def _clear(self, work: HostedWork) -> None:
        """What ended work held: its group, its claims, and its place on the GPUs."""
        self.groups.pop(work.workload, None)
        self.mps.pop(work.workload, None)
        self.ledger.remove_claims(work.workload, up_to_attempt=work.attempt)
        for gpu in self.gpus:
            gpu.processes = [process for process in gpu.processes if process.workload != work.workload]

    def _forget_oldest(self) -> None:
        ended = [workload for workload, work in self.work.items() if work.end is not None]
        for workload in ended[: max(0, len(ended) - _REMEMBERED)]:
            del self.work[workload]

    def gpu(self, device: str) -> GpuModel:
        """The GPU of that UUID; refuses one that is not there."""
        for gpu in self.gpus:
            if gpu.uuid == device:
                return gpu
        raise Refused("gone", f"device {device} does not exist on {self.spec.name}")

    def _take_pid(self) -> int:
        self.next_pid += 1
        return self.next_pid


def _handler(step: dict[str, Any]) -> SimulatedSteps:
    if step["kind"] not in HANDLERS:
        raise Refused("bad-request", f"a simulated node cannot do {step['kind']!r}")
    return HANDLERS[step["kind"]]


def _held_by(step: dict[str, Any]) -> dict[str, str | None]:
    cpu = any(step[name] is not None for name in ("cpus", "cpuset", "cpu_weight"))
    return {
        "cpu": "hard" if cpu else None,
        "memory": "hard" if step["memory_mib"] is not None else None,
        "pids": "hard" if step["pids"] is not None else None,
        "io": "hard" if step["io_weight"] is not None else None,
    }


def _limits(step: dict[str, Any]) -> dict[str, Any]:
    return {name: step[name] for name in _LIMITS}


def _limit_facts(step: dict[str, Any]) -> dict[str, Any]:
    return {"held_by": _held_by(step), "group": f"simulated/{step['workload']}"}


def _cpus(cpuset: str) -> list[int]:
    return [int(number) for part in cpuset.split(",") for number in part.split("-")]


def _default_memory_mib(gpu: GpuModel, grant: dict[str, Any], pid: int) -> int:
    """Memory of work that did not say how much it needs: 40 to 79 % of what it was given."""
    instance = gpu.instance(grant["mig_instance"])
    given_mib = gpu.kind.memory_total_mib if instance is None else instance.profile.memory_mib
    return int(given_mib * grant["fraction"] * (40 + pid % 40) / 100)


def _saves(hook: dict[str, Any] | None) -> bool:
    return bool(hook and (hook["signal"] or hook["command"]))


def _pattern(work: HostedWork) -> Pattern:
    if work.pattern is not None:
        return work.pattern
    if is_notebook(work.command):
        return Pattern.IDLE
    return (Pattern.TRAINING, Pattern.STEADY, Pattern.INFERENCE)[work.pid % 3]
