"""How long commands take from nothing to the end, beside nvitop and gpustat over the same driver library.

    python bench/startup.py [rounds]

Eight GPUs of a library compiled from tests/fakes; all commands in one run, one after the other in every round, so that
whatever else the machine does falls on all of them alike.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
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
    seconds: list[float] = field(default_factory=list)

    def run(self, env: dict[str, str]) -> None:
        start = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, "-m", *self.arguments], check=False, env=env, capture_output=True, timeout=120
        )
        self.seconds.append(time.perf_counter() - start)
        if ended.returncode != 0:
            raise SystemExit(f"{self.name} failed ({ended.returncode}): {ended.stderr.decode(errors='replace')}")


COMMANDS = [
    Command("nvitop --version", ["nvitop", "--version"]),
    Command("gpualloc --version", ["gpualloc", "--version"], "nvitop --version", 1.0),
    Command("gpustat --version", ["gpustat", "--version"]),
    Command("nvitop --help", ["nvitop", "--help"]),
    Command("gpualloc --help", ["gpualloc", "--help"], "nvitop --help", 1.7),
    Command("gpustat --help", ["gpustat", "--help"]),
    Command("nvitop -1", ["nvitop", "-1"]),
    Command("gpualloc nodes --json", ["gpualloc", "nodes", "--json"], "nvitop -1", 1.5),
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
            command.seconds.clear()
        for _ in range(rounds):
            for command in COMMANDS:
                command.run(env)
    return report(rounds)


def report(rounds: int) -> int:
    """Print medians, spread and ratios; 1 when a goal is missed."""
    medians = {command.name: median(command.seconds) for command in COMMANDS}
    print(f"{rounds} rounds, {GPUS} GPUs, wall time in ms: median (middle half)")
    missed = False
    for command in COMMANDS:
        low, _, high = quantiles(command.seconds, n=4)
        line = f"{command.name:24} {medians[command.name] * 1000:7.0f}  ({low * 1000:.0f} to {high * 1000:.0f})"
        if command.against is not None and command.goal is not None:
            ratio = medians[command.name] / medians[command.against]
            missed = missed or ratio > command.goal
            met = "met" if ratio <= command.goal else "MISSED"
            line += f"   {ratio:.2f} x {command.against}, goal {command.goal:g}: {met}"
        print(line)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
