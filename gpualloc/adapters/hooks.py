"""Hooks as programs of the operator: argument list, facts in the environment and on stdin, bounded time and output."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from gpualloc.adapters.fields import clean
from gpualloc.model.codec import to_plain
from gpualloc.ports import HookEvent, HookOutcome

MAX_OUTPUT_BYTES = 4096
"""What is kept of what a hook prints; the rest is read and dropped."""
_POLL_S = 0.05


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
        try:
            problem, output = self._run(command, name, event)
        except OSError as error:
            problem, output = f"{command[0]} cannot be run: {error.strerror}", b""
        return HookOutcome(problem, clean(output.decode("utf-8", "replace")), time.monotonic() - began)

    def _run(self, command: Sequence[str], name: str, event: HookEvent) -> tuple[str | None, bytes]:
        """The problem, if there was one, and the beginning of the output; raises OSError."""
        facts = os.memfd_create("gpualloc-hook")
        try:
            os.write(facts, json.dumps(to_plain(event.step)).encode())
            os.lseek(facts, 0, os.SEEK_SET)
            # A session of its own: Ctrl-C in the terminal is gpualloc's to answer.
            with subprocess.Popen(
                list(command),
                stdin=facts,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                env={**os.environ, **_environment(name, event)},
                start_new_session=True,
            ) as process:
                return self._watch(process)
        finally:
            os.close(facts)

    def _watch(self, process: subprocess.Popen[bytes]) -> tuple[str | None, bytes]:
        assert process.stdout
        output, deadline = bytearray(), time.monotonic() + self._timeout_s
        ended = False
        while not ended and time.monotonic() < deadline:
            # What the hook left running may hold the pipe open for ever.
            ended = process.poll() is not None
            while select.select([process.stdout], [], [], 0 if ended else _POLL_S)[0]:
                data = os.read(process.stdout.fileno(), 65536)
                output += data[: MAX_OUTPUT_BYTES - len(output)]
                if not data:
                    ended = _wait(process, deadline)
                    break
        if not ended:
            os.killpg(process.pid, signal.SIGKILL)
            return f"no answer in {self._timeout_s:g} s", bytes(output)
        status = process.returncode
        problem = f"exit code {status}" if status > 0 else f"ended by signal {-status}"
        return None if status == 0 else problem, bytes(output)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Whether the process ends in time; its output has ended already."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


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
