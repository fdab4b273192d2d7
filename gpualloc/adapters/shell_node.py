"""A node without a usable python3: requests of the wire, answered from what a shell program there tells.

Such a node is only looked at. What is asked of it are known words; what it answers is text that is read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gpualloc.adapters.link import Failure, Message
from gpualloc.adapters.shell_host import ShellHost
from gpualloc.adapters.shell_proc import Known, read_process
from gpualloc.adapters.shell_talk import Shell, Told
from gpualloc.adapters.smi_gpus import SmiGpus, Use
from gpualloc.adapters.smi_rows import inventory_row, sample_row
from gpualloc.adapters.stand_in import Talk
from gpualloc.model.inventory import NodeState
from gpualloc.node.wire import WIRE_VERSION, Refused, answer, refusal

LIMITED = (
    "it has no python3 of 3.6 or newer and is read through nvidia-smi: it is only looked at; its kernel log, claims, "
    "NVLink, PCIe traffic and energy, and the containers and jobs of its processes are not seen"
)
"""What is lost by it, for the operator."""

MAX_PROCESSES = 128
"""Most processes whose user and command are asked for."""

_HELLO = re.compile(r"(hostname|boot_id|user|ticks_per_s|nvidia_smi) (\S.{0,255})")
_MAX_TICKS_PER_S = 10_000


class ShellNode:
    """`StandIn` over the shell program: one connection's.

    Args:
        nonce: the connection's.
        detail: the unfit pythons that were found, for the reason of a node that has no nvidia-smi either.
    """

    def __init__(self, nonce: str, detail: str) -> None:
        self._shell = Shell(nonce)
        self._detail = detail
        self._facts: dict[str, str] = {}
        self._gpus = SmiGpus()
        self._host = ShellHost()
        self._told_state: str | None = None
        """How NVML stood when `hello` was answered."""

    @property
    def spent(self) -> bool:
        """Whether it told in its `hello` of a trouble that is over: who asks then needs another `hello`."""
        return self._told_state not in (None, "ok") and self._gpus.state == "ok"

    def begin(self, talk: Talk) -> Failure | None:
        """Send the program and learn what stays the same; the failure of a node that has nothing to be read with."""
        self._shell.begin(talk)
        (told,) = self._shell.ask(talk, "hello")
        self._facts = {match[1]: match[2] for match in map(_HELLO.fullmatch, told.lines) if match}
        if "nvidia_smi" in self._facts:
            return None
        tried = f"only {self._detail}, without json and ctypes or older than 3.6" if self._detail else "none found"
        reason = f"it needs python3, 3.6 or newer: {tried}; and it has no nvidia-smi to be read with instead"
        return Failure(NodeState.NO_PYTHON, reason, "install python3 there")

    def answer(self, talk: Talk, requests: Sequence[Message]) -> list[Message]:
        """The end records of the requests; GPUs and host are looked at once for all of them."""
        look = _Look(partial(self._shell.ask, talk), self._gpus, self._host, talk.left_s)
        return [self._end_record(request, talk, look) for request in requests]

    def _end_record(self, request: Message, talk: Talk, look: _Look) -> Message:
        verbs: dict[str, Callable[[], dict[str, Any]]] = {
            "hello": lambda: self._hello(look),
            "inventory": look.inventory,
            "sample": look.sample,
            "processes": lambda: {"processes": look.processes(self._ticks_per_s)},
            "kernel": lambda: {"messages": [], "reason": "the kernel log is not seen through nvidia-smi"},
            "claims": lambda: {"claims": [], "workloads": []},
            "cost": self._cost,
            "events": lambda: _wait(request["args"], talk),
        }
        try:
            if request["verb"] not in verbs:
                raise Refused("not-supported", "it has no python3, 3.6 or newer, so that it is only looked at")
            return answer(request["id"], verbs[request["verb"]]())
        except Refused as refused:
            return refusal(request["id"], refused.reason, refused.message)

    @property
    def _ticks_per_s(self) -> int:
        told = self._facts.get("ticks_per_s", "")
        ticks = int(told) if told.isascii() and told.isdigit() else 0
        return ticks if 1 <= ticks <= _MAX_TICKS_PER_S else 100

    def _hello(self, look: _Look) -> dict[str, Any]:
        look.gpus()
        self._told_state = self._gpus.state
        nvml = {
            "state": self._gpus.state,
            "reason": self._gpus.reason,
            "driver_version": self._gpus.driver_version,
            "library_version": None,
        }
        return {
            "wire": WIRE_VERSION,
            "hostname": self._facts.get("hostname", ""),
            "boot_id": self._facts.get("boot_id"),
            "user": self._facts.get("user"),
            "python": "none",
            "privileged": False,
            "state_dir": None,
            "nvml": nvml,
            "cgroup": {"mode": "none", "controllers": [], "writable": False, "isolation": None},
            "mps": False,
            "other_controllers": [],
            "limited": LIMITED,
        }

    def _cost(self) -> dict[str, Any]:
        groups = [
            {"group": cost.group, "every_s": None, "calls": cost.calls, "mean_s": cost.mean_s, "max_s": cost.max_s}
            for cost in self._shell.costs()
        ]
        return {"groups": groups}


class _Look:
    """One look at the GPUs and one at the host, made when they are first asked for."""

    def __init__(
        self, ask: Callable[..., list[Told]], gpus: SmiGpus, host: ShellHost, left_s: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._smi = gpus
        self._shell_host = host
        self._left_s = left_s
        self._looked = False
        self._host: tuple[dict[str, object], dict[str, object]] | None = None

    def gpus(self) -> SmiGpus:
        """The GPUs as of now."""
        if not self._looked:
            self._looked = True
            self._smi.look(self._ask, self._left_s)
        return self._smi

    def host(self) -> tuple[dict[str, object], dict[str, object]]:
        """Size and load of the host."""
        if self._host is None:
            self._host = self._shell_host.take(self._ask)
        return self._host

    def inventory(self) -> dict[str, Any]:
        """The answer to `inventory`."""
        return {"devices": [inventory_row(gpu) for gpu in self.gpus().gpus.values()], "host": self.host()[0]}

    def sample(self) -> dict[str, Any]:
        """The answer to `sample`."""
        devices = [sample_row(gpu) for gpu in self.gpus().gpus.values()]
        load = self.host()[1]
        clock = self._shell_host.clock
        return {"at_s": None if clock is None else clock.epoch_s, "devices": devices, "host": load}

    def processes(self, ticks_per_s: int) -> list[dict[str, Any]]:
        """The rows of `processes`."""
        uses = self.gpus().uses
        self.host()
        pids = list(dict.fromkeys(use.pid for use in uses))[:MAX_PROCESSES]
        told = self._ask(*(f"process {pid}" for pid in pids))
        known = {pid: read_process(each.lines) for pid, each in zip(pids, told, strict=True) if each.well}
        return [_process(use, known.get(use.pid), self._shell_host.booted_at_s, ticks_per_s) for use in uses]


def _process(use: Use, known: Known | None, booted_at_s: float | None, ticks_per_s: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "pid": use.pid,
        "device": use.device,
        "mig_instance": use.mig_instance,
        "gpu_memory_used_mib": use.memory_mib,
        "user": None,
        "command": None,
        "started_at_s": None,
        "workload": None,
    }
    if known is not None:
        row.update(user=known.user, command=known.command, parent=known.parent)
    if known is not None and booted_at_s is not None:
        row["started_at_s"] = booted_at_s + known.start_ticks / ticks_per_s
    return row


def _wait(args: Message, talk: Talk) -> dict[str, Any]:
    """No work runs there whose end could be told; the wait is for whoever asks again."""
    talk.rest(float(args.get("timeout_s", 0.0)))
    return {"changed": False}
