"""One look at all GPUs, beside nvitop and gpustat over the same driver library, also when one GPU hangs.

    python bench/look.py [--rounds 7] [--gpus 8 16 64] [--delays-ms 0 0.2] [--limit-s 12]

Commands run turn by turn in every round, so that whatever else the machine does falls on all of them alike. Calls and
memory come from a run of their own, with a library that counts. What the figures mean: docs/bench-look.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

from peers import Command, scene  # found beside this file

HUNG = 3
"""Index of the GPU that hangs."""
ANSWER_S = 2.0
"""Goal: with one GPU hung, the others are told within this time."""


def commands() -> list[Command]:
    """The one to be measured first."""
    return [
        Command("gpualloc nodes --json", ["gpualloc", "nodes", "--json"]),
        Command("nvitop -1", ["nvitop", "-1"]),
        Command("gpustat --json", ["gpustat", "--json"]),
    ]


def main() -> int:
    """Measure, print; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 16, 64])
    parser.add_argument("--delays-ms", type=float, nargs="+", default=[0.0, 0.2])
    parser.add_argument("--limit-s", type=float, default=12.0, help="for what may not answer with a GPU hung")
    asked = parser.parse_args()
    print(
        f"{asked.rounds} rounds; {platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, load"
        f" {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, nvitop {version('nvitop')},"
        f" gpustat {version('gpustat')}\n"
    )
    print(
        "| GPUs | ms per call | command | wall ms, median (range) | x gpualloc | CPU ms | peak RSS MiB | NVML calls |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    healthy = [side_by_side(gpus, delay, asked.rounds) for gpus in asked.gpus for delay in asked.delays_ms]
    print(f"\nOne GPU hangs (index {HUNG}):\n")
    print("| GPUs | command | wall s, median (range) | GPUs with readings | CPU ms |")
    print("| --- | --- | --- | --- | --- |")
    hung = [one_hangs(gpus, asked.rounds, asked.limit_s) for gpus in asked.gpus]
    return 0 if all(healthy) and all(hung) else 1


def side_by_side(gpus: int, delay_ms: float, rounds: int) -> bool:
    """Print the rows of one number of GPUs; whether gpualloc is not slower than nvitop."""
    measured = commands()
    with scene(gpus, delay_ms) as env:
        asked = [command.inspect(env) for command in measured]
        for _ in range(rounds):
            for command in measured:
                command.measure(env)
    own = median(measured[0].wall_s)
    for command, (calls, peak_bytes) in zip(measured, asked, strict=True):
        wall = median(command.wall_s)
        cells = [str(gpus), f"{delay_ms:g}", command.name, f"{wall * 1000:.0f} {reach(command.wall_s, 1000, 0)}"]
        cells += [f"{wall / own:.2f}", f"{median(command.cpu_s) * 1000:.0f}", f"{peak_bytes / 2**20:.0f}", str(calls)]
        print(f"| {' | '.join(cells)} |", flush=True)
    return own <= median(measured[1].wall_s)


def one_hangs(gpus: int, rounds: int, limit_s: float) -> bool:
    """Print the rows of one GPU that hangs; whether gpualloc tells of all the others in time, in every round."""
    well = True
    with scene(gpus, hung=HUNG) as env:
        for command in commands():
            gpualloc = command.name.startswith("gpualloc")
            # What never answers need not be waited for again and again.
            taken = [command.run(env, limit_s) for _ in range(rounds if gpualloc else 2)]
            walls, read = [each.wall_s for each in taken], [readings(each.output) for each in taken if each.answered]
            if gpualloc:
                well = well and max(walls) <= ANSWER_S and read == [gpus - 1] * rounds
            if read:
                cells = [f"{median(walls):.2f} {reach(walls, 1, 2)}", " ".join(map(str, sorted(set(read))))]
                cells.append(f"{median(each.cpu_s for each in taken) * 1000:.0f}")
            else:
                cells = [f"no answer in {limit_s:g} s", "none", ""]
            print(f"| {gpus} | {command.name} | {' | '.join(cells)} |", flush=True)
    return well


def readings(output: bytes) -> int:
    """How many devices an answer of gpualloc tells the memory in use of."""
    answer: Mapping[str, Sequence[Mapping[str, Sequence[Mapping[str, object]]]]] = json.loads(output)["data"]
    return sum(device["memory_used_mib"] is not None for node in answer["nodes"] for device in node["devices"])


def reach(seconds: Sequence[float], scale: float, digits: int) -> str:
    """From the least to the most."""
    return f"({min(seconds) * scale:.{digits}f} to {max(seconds) * scale:.{digits}f})"


if __name__ == "__main__":
    sys.exit(main())
