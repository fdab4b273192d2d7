"""Commands beside each other over one made-up driver library: their time, their memory and what they ask of it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes import nvml_stub

_POLL_S = 0.002

# Every function the library exports is entered at depth 0, whatever it calls in turn.


@dataclass
class Taken:
    """What one run of a command took."""

    wall_s: float
    cpu_s: float
    """Of all processes that it started and that ended."""
    output: bytes
    answered: bool
    """Whether it ended by itself, and well, within its limit."""


@dataclass
class Command:
    """A command line of this Python, as `python -m ...`."""

    name: str
    arguments: Sequence[str]
    first: bool = False
    """Whether it always finds an empty state directory."""
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def measure(self, env: Mapping[str, str]) -> None:
        """Run it and keep its times.

        Raises:
            SystemExit: it failed.
        """
        taken = self.run(env, limit_s=120)
        if not taken.answered:
            raise SystemExit(f"{self.name} failed: {taken.output.decode(errors='replace')[-2000:]}")
        self.wall_s.append(taken.wall_s)
        self.cpu_s.append(taken.cpu_s)

    def run(self, env: Mapping[str, str], limit_s: float) -> Taken:
        """Run it once; what takes longer than the limit is killed."""
        with tempfile.TemporaryDirectory() as empty:
            own = {**env, "GPUALLOC_STATE_DIR": empty} if self.first else env
            before_s, start_s = _children_cpu_s(), time.perf_counter()
            with self._started(own, subprocess.PIPE) as process:
                try:
                    output, _ = process.communicate(timeout=limit_s)
                except subprocess.TimeoutExpired:
                    return Taken(time.perf_counter() - start_s, 0.0, b"", answered=False)
            wall_s, cpu_s = time.perf_counter() - start_s, _children_cpu_s() - before_s
            return Taken(wall_s, cpu_s, output, answered=process.returncode == 0)

    def inspect(self, env: Mapping[str, str]) -> tuple[int, int]:
        """NVML calls it makes, and the most memory that each of its processes had resident, in bytes together.

        A run of its own, with a library that counts, looked at all the time: its times would tell nothing.
        """
        highest: dict[int, int] = {}
        with (
            counted_calls() as (counting, read_calls),
            self._started({**env, **counting}, subprocess.DEVNULL) as process,
        ):
            while process.poll() is None:
                for pid in (process.pid, *below(process.pid)):
                    highest[pid] = max(highest.get(pid, 0), _peak_bytes(pid))
                time.sleep(_POLL_S)
            return read_calls(), sum(highest.values())

    @contextmanager
    def _started(self, env: Mapping[str, str], output: int) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, "-m", *self.arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output == subprocess.PIPE else output,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                for pid in (*below(process.pid), process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.communicate()


@contextmanager
def scene(gpus: int, call_delay_ms: float = 0.0, hung: int | None = None) -> Iterator[dict[str, str]]:
    """The environment of commands that see this many GPUs with one process each.

    Args:
        gpus: how many; the library has room for 64.
        call_delay_ms: how long the driver takes for each reading.
        hung: index of a GPU whose readings never return.
    """
    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch) / "nvml"
        made = [
            nvml_stub.FakeGpu(
                index,
                memory_used_mib=400 * index,
                processes=((os.getpid(), 400 * index),),
                call_delay_ms=call_delay_ms,
                fault="hang" if index == hung else None,
            )
            for index in range(gpus)
        ]
        nvml_stub.write_state(state, made)
        # An installed program has its byte code; without it every start would compile the checkout anew.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        own = {"GPUALLOC_STATE_DIR": f"{scratch}/state", "HOME": scratch}
        yield {**inherited, **nvml_stub.environment(state), **own}


@contextmanager
def counted_calls() -> Iterator[tuple[dict[str, str], Callable[[], int]]]:
    """Variables that make the library name the functions that are called, and a function that counts them."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "calls"
        log.touch()
        yield {"GPUALLOC_FAKE_NVML_CALLS": str(log)}, lambda: log.read_bytes().count(b"\n")


def spread(seconds: Sequence[float]) -> str:
    """Median and middle half, in milliseconds."""
    low, _, high = quantiles(seconds, n=4)
    return f"{median(seconds) * 1000:.0f} ({low * 1000:.0f} to {high * 1000:.0f})"


def _children_cpu_s() -> float:
    """CPU time of all processes that were started from here and have ended, those they started included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def below(pid: int) -> list[int]:
    """Pids of all processes below this one."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found + [deeper for child in found for deeper in below(child)]


def _peak_bytes(pid: int) -> int:
    with suppress(OSError, IndexError, ValueError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return 0
