"""A workload on a simulated node: when it ends, how, and what it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from gpualloc.sim.command import Behaviour, behaviour, shown
from gpualloc.sim.use import Pattern

_TERM = 15
_STEPS = 100
"""Steps of a command that ends by itself."""
_POINTS = 8
"""Steps of which it tells when they were."""


class HostedWork(Struct):
    """One start of a workload."""

    workload: str
    controller: str
    attempt: int
    pid: int
    user: str
    command: tuple[str, ...]
    started_at_s: float
    at_most_s: float | None
    visible: str
    """CUDA_VISIBLE_DEVICES as the process has it."""
    held_by: Mapping[str, str | None]
    cpus: float
    """CPUs it keeps busy."""
    memory_mib: int
    """Host memory it uses."""
    end: dict[str, Any] | None = field(default=None)
    """As in a record of the wire; None while it runs."""
    suspended_at_s: float | None = None
    """Since when it stands still; None while it does not."""
    stood_still_s: float = 0.0
    """How long it stood still before that, and what slow devices cost it until `paced_at_s`."""
    pace: float = 1.0
    """How fast it goes on, in (0, 1]."""
    paced_at_s: float = 0.0
    """Since when at that pace."""
    saved_s: float = 0.0
    """How much of its work an earlier start had done and saved, in seconds of it."""
    saves: bool = False
    """Whether it has a checkpoint hook."""
    parked: list[dict[str, Any]] = field(default_factory=list)
    """Its processes on GPUs while it stands still: `place` among its grants, `device` and `product`
    it was on, and the `process` in plain form."""

    @property
    def due_at_s(self) -> float | None:
        """When it ends if nobody stops it; None is never."""
        at_most_s = None if self.at_most_s is None else self.started_at_s + self.at_most_s
        return min((at_s for at_s in (self._done_at_s, at_most_s) if at_s is not None), default=None)

    @property
    def busy_cpus(self) -> float:
        """CPUs it keeps busy now."""
        return self.cpus if self.suspended_at_s is None else 0.0

    @property
    def host_memory_mib(self) -> int:
        """Host memory it uses now, with the GPU memory that was moved there."""
        return self.memory_mib + self.parked_mib

    @property
    def parked_mib(self) -> int:
        """GPU memory that lies on the host."""
        return sum(int(one["process"]["memory_mib"]) for one in self.parked)

    def advance(self, now_s: float) -> bool:
        """End it if its time has come; whether it ended just now."""
        if self.end is not None:
            return False
        due_s, done_s = self.due_at_s, self._done_at_s
        if due_s is None or due_s > now_s:
            return False
        if done_s is not None and done_s <= due_s:
            self.end = _end(self._behaviour.exit_code, due_s)
        else:
            self.end = _end(128 + _TERM, due_s, signal=_TERM, reason="at-most")
        return True

    def stop(self, now_s: float) -> None:
        """End it by TERM, as asked by an operator, unless it ended already."""
        if self.end is None:
            self.end = _end(128 + _TERM, now_s, signal=_TERM, reason="released")

    def go_on_at(self, pace: float, now_s: float) -> None:
        """Go on at that pace; work that does not compute all the time takes no notice."""
        if not self._behaviour.bound or pace == self.pace:
            return
        self.stood_still_s += (now_s - self.paced_at_s) * (1.0 - self.pace)
        self.pace, self.paced_at_s = pace, now_s

    def done_s(self, now_s: float) -> float:
        """How much of its work is done, in seconds of it; 0 when it has no end."""
        duration_s = self._behaviour.duration_s
        if duration_s is None:
            return 0.0
        at_s = now_s if self.suspended_at_s is None else self.suspended_at_s
        slow_s = (at_s - self.paced_at_s) * (1.0 - self.pace)
        return max(0.0, min(duration_s, self.saved_s + at_s - self.started_at_s - self.stood_still_s - slow_s))

    def log(self) -> bytes:
        """What it wrote so far."""
        text = f"simulated: {shown(self.command)}\n"
        if self.end is not None:
            output = f"{self._behaviour.output}\n" if self._behaviour.output and self.end["reason"] is None else ""
            text += f"{output}simulated: ended with exit code {self.end['exit_code']}\n"
        return text.encode("ascii")

    def facts(self) -> dict[str, Any]:
        """What a start answers."""
        return {
            "pid": self.pid,
            "started_at_s": self.started_at_s,
            "held_by": dict(self.held_by),
            "visible": self.visible,
        }

    def record(self) -> dict[str, Any]:
        """The record of the wire."""
        return {
            "workload": self.workload,
            "controller": self.controller,
            "attempt": self.attempt,
            "pid": self.pid,
            "started_at_s": self.started_at_s,
            "held_by": dict(self.held_by),
            "log_bytes": len(self.log()),
            "end": self.end,
        }

    def progress(self, now_s: float) -> dict[str, Any] | None:
        """How far it would say it is, as in a record of the wire: the part of its work that is done, in steps.

        None for a command without an end, and once it ended.
        """
        duration_s = self._behaviour.duration_s
        if self.end is not None or not duration_s:
            return None
        stood_s = 0.0 if self.suspended_at_s is None else now_s - self.suspended_at_s
        step_s = duration_s / _STEPS
        passed_s = self.done_s(now_s)
        step = min(_STEPS, int(passed_s / step_s))
        steps = range(max(0, step - _POINTS + 1), step + 1)
        told = [{"age_s": max(0.0, passed_s - one * step_s), "step": one} for one in steps]
        return {
            "step": step,
            "of": _STEPS,
            "loss": None,
            "phase": None,
            "age_s": told[-1]["age_s"] + stood_s,
            "points": told if self.suspended_at_s is None else [],
        }

    def to_plain(self) -> dict[str, Any]:
        """As plain JSON."""
        return {name: getattr(self, name) for name in HostedWork.__struct_fields__}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> HostedWork:
        """From plain JSON; raises TypeError."""
        return cls(**{**plain, "command": tuple(plain["command"])})

    @property
    def _done_at_s(self) -> float | None:
        """When its command has done its work; None while it stands still, or when it never has."""
        duration_s = self._behaviour.duration_s
        if duration_s is None or self.suspended_at_s is not None:
            return None
        at_full_pace_s = self.started_at_s + duration_s - self.saved_s + self.stood_still_s
        if self.pace == 1.0:
            return at_full_pace_s
        return self.paced_at_s + (at_full_pace_s - self.paced_at_s) / self.pace

    @property
    def pattern(self) -> Pattern | None:
        """How it uses its GPUs; None is left to the node."""
        return self._behaviour.pattern

    @property
    def _behaviour(self) -> Behaviour:
        return behaviour(self.command)


def _end(exit_code: int, at_s: float, signal: int | None = None, reason: str | None = None) -> dict[str, Any]:
    return {"exit_code": exit_code, "signal": signal, "oom": False, "at_s": at_s, "reason": reason}
