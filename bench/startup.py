"""How long commands take from nothing to the end, beside nvitop and gpustat over the same driver library.

    python bench/startup.py [rounds]

Eight GPUs of a library compiled from tests/fakes; all commands in one run, one after the other in every round, so that
whatever else the machine does falls on all of them alike. Wall time is what an operator waits; CPU time counts all
processes that a command starts, and hardly moves when the machine is busy. Prints the table of docs/bench-startup.md.
"""

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.nvml_stub import FakeGpu, environment, write_state  # noqa: E402  found beside the tests

GPUS = 8


@dataclass
class Command:
    """A command line, the one it is measured against, and the ratio that is the goal."""

    name: str
    arguments: list[str]
    against: str | None = None
    goal: float | None = None
    first: bool = False
    """Whether it always finds an empty state directory."""
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def run(self, env: dict[str, str]) -> None:
        with tempfile.TemporaryDirectory() as empty:
            own = {**env, "GPUALLOC_STATE_DIR": empty} if self.first else env
            cpu_s, start_s = children_cpu_s(), time.perf_counter()
            ended = subprocess.run(
                [sys.executable, "-m", *self.arguments], check=False, env=own, capture_output=True, timeout=120
            )
            self.wall_s.append(time.perf_counter() - start_s)
            self.cpu_s.append(children_cpu_s() - cpu_s)
        if ended.returncode != 0:
            raise SystemExit(f"{self.name} failed ({ended.returncode}): {ended.stderr.decode(errors='replace')}")


def children_cpu_s() -> float:
    """CPU time of all processes that were started from here and have ended, those they started included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


NODES = ["gpualloc", "nodes", "--json"]
COMMANDS = [
    Command("nvitop --version", ["nvitop", "--version"]),
    Command("gpualloc --version", ["gpualloc", "--version"], "nvitop --version", 1.0),
    Command("gpustat --version", ["gpustat", "--version"]),
    Command("nvitop --help", ["nvitop", "--help"]),
    Command("gpualloc --help", ["gpualloc", "--help"], "nvitop --help", 1.7),
    Command("gpustat --help", ["gpustat", "--help"]),
    Command("nvitop -1", ["nvitop", "-1"]),
    Command("gpualloc nodes --json", NODES, "nvitop -1", 1.5),
    Command("gpualloc nodes --json, first", NODES, "nvitop -1", first=True),
    Command("gpustat", ["gpustat", "--no-color"]),
]


def main(rounds: int) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch) / "nvml"
        gpus = [FakeGpu(i, memory_used_mib=1000 * i, processes=((os.getpid(), 1000 * i),)) for i in range(GPUS)]
        write_state(state, gpus)
        # An installed program has its byte code; without it every start would compile the checkout anew.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env = {**inherited, **environment(state), "GPUALLOC_STATE_DIR": f"{scratch}/state", "HOME": scratch}
        for command in COMMANDS:
            command.run(env)
            command.wall_s.clear()
            command.cpu_s.clear()
        for _ in range(rounds):
            for command in COMMANDS:
                command.run(env)
    return report(rounds)


def report(rounds: int) -> int:
    """Print medians, spread and ratios; 1 when a goal is missed."""
    anchors = {command.name: command for command in COMMANDS}
    print(
        f"{rounds} rounds, {GPUS} GPUs; {platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()},"
        f" Python {platform.python_version()}, nvitop {version('nvitop')}, gpustat {version('gpustat')}"
    )
    print(
        "\n| command | wall ms, median (middle half) | CPU ms, median (middle half) | wall ratio | CPU ratio | goal |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    missed = False
    for command in COMMANDS:
        cells = [command.name, spread(command.wall_s), spread(command.cpu_s), "", "", ""]
        if command.against is not None:
            anchor = anchors[command.against]
            wall, cpu = (
                median(ours) / median(theirs)
                for ours, theirs in ((command.wall_s, anchor.wall_s), (command.cpu_s, anchor.cpu_s))
            )
            cells[3:5] = [f"{wall:.2f} x {anchor.name}", f"{cpu:.2f}"]
            if command.goal is not None:
                missed = missed or wall > command.goal
                cells[5] = f"{command.goal:g}: {'met' if wall <= command.goal else 'MISSED'}"
        print(f"| {' | '.join(cells)} |")
    return 1 if missed else 0


def spread(seconds: list[float]) -> str:
    """Median and middle half, in milliseconds."""
    low, _, high = quantiles(seconds, n=4)
    return f"{median(seconds) * 1000:.0f} ({low * 1000:.0f} to {high * 1000:.0f})"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
