"""How long commands take from nothing to the end, beside nvitop and gpustat over the same driver library.

    python bench/startup.py [rounds]

Eight GPUs of a library compiled from tests/fakes; all commands in one run, one after the other in every round, so that
whatever else the machine does falls on all of them alike. Wall time is what an operator waits; CPU time counts all
processes that a command starts, and hardly moves when the machine is busy. Prints the table of docs/bench-startup.md.
"""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

from peers import Command, scene, spread  # found beside this file

GPUS = 8
NODES = ["gpualloc", "nodes", "--json"]
COMMANDS = [
    Command("nvitop --version", ["nvitop", "--version"]),
    Command("gpualloc --version", ["gpualloc", "--version"]),
    Command("gpustat --version", ["gpustat", "--version"]),
    Command("nvitop --help", ["nvitop", "--help"]),
    Command("gpualloc --help", ["gpualloc", "--help"]),
    Command("gpustat --help", ["gpustat", "--help"]),
    Command("nvitop -1", ["nvitop", "-1"]),
    Command("gpualloc nodes --json", NODES),
    Command("gpualloc nodes --json, first", NODES, first=True),
    Command("gpustat", ["gpustat", "--no-color"]),
]
AGAINST = {
    "gpualloc --version": ("nvitop --version", 1.0),
    "gpualloc --help": ("nvitop --help", 1.7),
    "gpualloc nodes --json": ("nvitop -1", 1.5),
    "gpualloc nodes --json, first": ("nvitop -1", None),
}
"""What a command is measured against, and the ratio of the wall times that is the goal."""


def main(rounds: int) -> int:
    with scene(GPUS) as env:
        for command in COMMANDS:
            command.run(env, limit_s=120)
        for _ in range(rounds):
            for command in COMMANDS:
                command.measure(env)
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
        if command.name in AGAINST:
            name, goal = AGAINST[command.name]
            anchor = anchors[name]
            wall, cpu = (
                median(ours) / median(theirs)
                for ours, theirs in ((command.wall_s, anchor.wall_s), (command.cpu_s, anchor.cpu_s))
            )
            cells[3:5] = [f"{wall:.2f} x {anchor.name}", f"{cpu:.2f}"]
            if goal is not None:
                missed = missed or wall > goal
                cells[5] = f"{goal:g}: {'met' if wall <= goal else 'MISSED'}"
        print(f"| {' | '.join(cells)} |")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
