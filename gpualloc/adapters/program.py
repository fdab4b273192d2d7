"""A program of the operator, run without a shell: something on its stdin, bounded time and output."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

MAX_OUTPUT_BYTES = 4096
"""What is kept of what it prints; the rest is read and dropped."""
_POLL_S = 0.05


def run_program(
    command: Sequence[str],
    told: bytes,
    env: Mapping[str, str],
    timeout_s: float,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[str | None, bytes]:
    """Run it to its end; one that takes too long is killed with all it started.

    Args:
        command: program and arguments.
        told: what it reads on stdin.
        env: its whole environment.
        timeout_s: how long it may take.
        stopped: asked while it runs; once True it is killed.

    Returns:
        the problem (None when it ended with 0), and the beginning of stdout and stderr together.
    """
    try:
        with begun(command, told, stderr=subprocess.STDOUT, env=env) as process:
            return _watch(process, timeout_s, stopped)
    except OSError as error:
        return f"{command[0]} cannot be run: {error.strerror}", b""


@contextmanager
def begun(
    command: Sequence[str], told: bytes, *, stderr: int, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs, with what it is told on its stdin and a pipe for its stdout; waited for at the end.

    Args:
        command: program and arguments.
        told: what it reads on stdin.
        stderr: where that goes, as `subprocess.Popen` takes it.
        env: its whole environment; None is ours.

    Raises:
        OSError: it cannot be run.
    """
    facts = os.memfd_create("gpualloc-program")
    try:
        with os.fdopen(os.dup(facts), "wb") as stream:
            stream.write(told)
        os.lseek(facts, 0, os.SEEK_SET)
        # A session of its own: Ctrl-C in the terminal is gpualloc's to answer.
        with subprocess.Popen(
            list(command),
            stdin=facts,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            env=env,
            start_new_session=True,
        ) as process:
            yield process
    finally:
        os.close(facts)


def _watch(process: subprocess.Popen[bytes], timeout_s: float, stopped: Callable[[], bool]) -> tuple[str | None, bytes]:
    assert process.stdout
    output, deadline = bytearray(), time.monotonic() + timeout_s
    ended = False
    while not ended and time.monotonic() < deadline and not stopped():
        # What it left running may hold the pipe open for ever.
        ended = process.poll() is not None
        while select.select([process.stdout], [], [], 0 if ended else _POLL_S)[0]:
            data = os.read(process.stdout.fileno(), 65536)
            output += data[: MAX_OUTPUT_BYTES - len(output)]
            if not data:
                ended = _wait(process, deadline)
                break
            if time.monotonic() > deadline or stopped():
                break
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
        return f"no answer in {timeout_s:g} s" if time.monotonic() >= deadline else "gpualloc was stopped", bytes(
            output
        )
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
