"""Hooks as programs of the operator: argument list, facts in the environment and on stdin, bounded time and output."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence

from gpualloc.adapters.fields import clean
from gpualloc.adapters.program import run_program
from gpualloc.model.codec import to_plain
from gpualloc.ports import HookEvent, HookOutcome


class ProgramHooks:
    """`ports.Hooks` that runs a program for each.

    Args:
        commands: hook name to program and arguments; hooks not in it do nothing.
        timeout_s: how long one may take before it is killed with all it started.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], timeout_s: float) -> None:
        self._commands = commands
        self._timeout_s = timeout_s

    def run(self, name: str, event: HookEvent) -> HookOutcome | None:
        """Run the program configured under that name; None when none is."""
        command = self._commands.get(name)
        if not command:
            return None
        began = time.monotonic()
        told = to_plain(event.step) if event.document is None else event.document
        env = {**os.environ, **_environment(name, event)}
        problem, output = run_program(command, json.dumps(told).encode(), env, self._timeout_s)
        return HookOutcome(problem, clean(output.decode("utf-8", "replace")), time.monotonic() - began)


def _environment(name: str, event: HookEvent) -> dict[str, str]:
    step = event.step
    facts = {
        "HOOK": name,
        "RUN": event.run,
        "PLAN": event.plan,
        "NODE": event.node,
        "STEP": None if step is None else str(step.seq),
        "STEP_KIND": None if step is None else step.kind.value,
        "WORKLOAD": None if step is None else step.workload,
        "DEVICE": None if step is None else step.device,
        "STATE": event.state,
        "ERROR": event.error,
        "USERS": " ".join(event.users),
        "WORKLOADS": " ".join(event.workloads),
    }
    return {f"GPUALLOC_{fact}": (value or "").replace("\0", "") for fact, value in facts.items()}
