"""`gpualloc top` beside nvitop and nvtop over one driver library, each on its own terminal, and alone over a fleet.

    python bench/top.py [--quick] [--repeats 3] [--nvtop PATH] [--no-fleet | --only-fleet] [--mute]
                        [--ahead]

Dashboards sit in front of the same GPUs turn by turn in every repeat, so that whatever else the machine does falls on
all of them alike. All look every 2 s, except where gpualloc chooses its own pace for a fleet. Readings of all GPUs
change once a second; every GPU has one process. The terminal answers what a terminal of today answers (device
attributes, cursor, synchronised output), unless `--mute`. What the figures mean: docs/bench-top.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

from peers import scene  # found beside this file
from top_fleet import fleet_scene
from top_pty import Setting, put_ahead
from top_scenes import Moving, Scene, begin_state, tools
from top_session import Manner, Sitting, Tool, sit

FILM_EVERY_S = 2.0
"""How far apart the readings of the nodes of the fleet lie."""
WIDE, NARROW = (200, 60), (80, 24)
WHOLE, QUICK = Manner(5.0, 20.0, 100), Manner(3.0, 8.0, 25)
FLEET_WHOLE, FLEET_QUICK = Manner(20.0, 40.0, 100), Manner(12.0, 20.0, 25)
"""A fleet is connected first, and may be looked at less often."""
GOALS = {
    "first paint": 0.5,
    "CPU x nvitop": 1.2,
    "CPU % of the fleet": 4.0,
    "kB/s": 10.0,
    "MB": 80.0,
    "MB of the fleet": 250.0,
    "key p99": 0.1,
    "quit": 1.0,
}


SCENES = (Scene(8, WIDE), Scene(8, NARROW), Scene(64, WIDE), Scene(8, WIDE, hangs=True))


@dataclass
class Row:
    """The sittings of one dashboard in one scene."""

    scene: str
    tool: str
    sittings: list[Sitting] = field(default_factory=list)

    @property
    def cpu_percent(self) -> float:
        return median(one.cpu_percent for one in self.sittings)

    def cells(self, nvitop: Row | None) -> list[str]:
        took = self.sittings
        ratio = "" if nvitop is None or not nvitop.cpu_percent else f"{self.cpu_percent / nvitop.cpu_percent:.1f}"
        below = median(one.below_cpu_percent for one in took), median(one.below_rss_bytes for one in took) / 1e6
        shared = (f", {below[0]:.1f} of it below", f", {below[1]:.0f} of it below") if below[1] else ("", "")
        return [
            self.scene,
            self.tool,
            spread([one.first_byte_s for one in took], 1000, 0),
            spread([one.first_paint_s for one in took], 1000, 0),
            spread([one.cpu_percent for one in took], 1, 1) + shared[0],
            ratio,
            spread([one.rss_bytes for one in took], 1e-6, 0) + shared[1],
            spread([one.bytes_per_s for one in took], 1e-3, 1),
            self._keys(),
            self._quits(),
        ]

    def _keys(self) -> str:
        pressed = [each for one in self.sittings for each in one.answers_s]
        answered = [each for each in pressed if each is not None]
        unanswered = f", {len(pressed) - len(answered)} of {len(pressed)} not answered"
        if not answered:
            return "none answered"
        text = f"{share(answered, 0.5) * 1000:.0f} / {share(answered, 0.99) * 1000:.0f}"
        return text + (unanswered if len(answered) < len(pressed) else "")

    def _quits(self) -> str:
        text = spread([one.quit_s for one in self.sittings], 1000, 0)
        left = max(one.left for one in self.sittings)
        return text + (f", left {left} processes" if left else "")

    def missed(self, nvitop: Row | None, fleet: bool) -> Iterator[str]:
        """Each goal that was not met, in words."""
        took = self.sittings
        keys = [math.inf if each is None else each for one in took for each in one.answers_s]
        seen = {
            "first paint": middle([one.first_paint_s for one in took]),
            "quit": middle([one.quit_s for one in took]),
            "key p99": share(keys, 0.99),
        }
        megabytes = median(one.rss_bytes for one in took) / 1e6
        if fleet:
            seen |= {"CPU % of the fleet": self.cpu_percent, "MB of the fleet": megabytes}
        elif self.scene.startswith("8 "):
            seen |= {"kB/s": median(one.bytes_per_s for one in took) / 1000, "MB": megabytes}
            if nvitop is not None and nvitop.cpu_percent:
                seen["CPU x nvitop"] = self.cpu_percent / nvitop.cpu_percent
        for name, value in seen.items():
            if value > GOALS[name]:
                yield f"{self.scene.replace(' |', ' GPUs,')}: {name} {value:.3g}, goal {GOALS[name]:g}"


def beside_each_other(asked: argparse.Namespace, manner: Manner) -> list[str]:
    """Print the rows of all scenes on one machine; the goals missed."""
    missed = []
    with tools(asked.nvtop) as found:
        for each in SCENES:
            rows = [Row(each.text, tool.name) for tool, _ in found]
            for _ in range(asked.repeats):
                for row, (tool, own) in zip(rows, found, strict=True):
                    row.sittings.append(one_sitting(each, tool, own, manner, setting(asked, each.size)))
            for row in rows:
                print(f"| {' | '.join(row.cells(rows[1] if row is not rows[1] else None))} |", flush=True)
            missed += rows[0].missed(rows[1], fleet=False)
    return missed


def one_sitting(each: Scene, tool: Tool, own: Mapping[str, str], manner: Manner, terminal: Setting) -> Sitting:
    with scene(each.gpus) as env:
        paths = [path for path in (own.get("LD_LIBRARY_PATH"), env["LD_LIBRARY_PATH"]) if path]
        begin_state(env)
        moving = Moving(Path(env["GPUALLOC_FAKE_NVML"]), each)
        try:
            whole = {**env, **own, "LD_LIBRARY_PATH": ":".join(paths)}
            return sit(tool, whole, terminal, manner, moving.let_go)
        finally:
            moving.stop()


def over_a_fleet(asked: argparse.Namespace, manner: Manner) -> list[str]:
    """Print the row of gpualloc over many nodes; the goals missed."""
    row = Row(f"{asked.nodes * 8:,} on {asked.nodes:,} nodes | {WIDE[0]}x{WIDE[1]}", "gpualloc top")
    pace = [] if asked.every is None else ["--every", asked.every]
    for _ in range(asked.repeats):
        with tempfile.TemporaryDirectory() as folder, fleet_scene(asked.nodes, FILM_EVERY_S, Path(folder)) as found:
            argv, env = found
            begin_state(env)
            tool = Tool(row.tool, [sys.executable, *argv, *pace], re.compile(rb"[0-9] ?%"))
            row.sittings.append(sit(tool, env, setting(asked, WIDE), manner))
    print(f"| {' | '.join(row.cells(None))} |", flush=True)
    return list(row.missed(None, fleet=True))


def setting(asked: argparse.Namespace, size: tuple[int, int]) -> Setting:
    """The terminal that was asked for."""
    return Setting(*size, answers=not asked.mute, ahead=asked.ahead)


def spread(values: Sequence[float | None], scale: float, digits: int) -> str:
    """Median, and from the least to the most; how many were never seen."""
    known = [value * scale for value in values if value is not None]
    if not known:
        return "never"
    reach = f" ({min(known):.{digits}f} to {max(known):.{digits}f})" if len(known) > 1 else ""
    never = f", {len(values) - len(known)} times never" if len(known) < len(values) else ""
    return f"{median(known):.{digits}f}{reach}{never}"


def middle(values: Sequence[float | None]) -> float:
    """The median, where what never happened is later than everything."""
    return median(math.inf if value is None else value for value in values)


def share(values: Sequence[float], part: float) -> float:
    """The value that this part of them does not exceed."""
    return sorted(values)[min(len(values) - 1, math.ceil(part * len(values)) - 1)] if values else math.nan


_COLUMNS = (
    "GPUs",
    "terminal",
    "dashboard",
    "first byte ms",
    "first paint ms",
    "CPU, % of a core",
    "x nvitop",
    "RSS MB",
    "kB/s to the terminal",
    "key to paint ms, p50 / p99",
    "quit ms",
)


def main() -> int:
    """Measure, print; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short sitting each: a look, no measurement")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--nvtop", default=shutil.which("nvtop"), help="where it is; else it is left out")
    parser.add_argument("--nodes", type=int, default=1000, help="of the fleet")
    parser.add_argument("--every", help="period of the looks at the fleet; left out, gpualloc chooses")
    parser.add_argument("--mute", action="store_true", help="the terminal answers nothing")
    parser.add_argument("--ahead", action="store_true", help="before all other programs of a busy machine; needs root")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--no-fleet", action="store_true")
    only.add_argument("--only-fleet", action="store_true")
    asked = parser.parse_args()
    asked.repeats = asked.repeats or (1 if asked.quick else 3)
    manner = QUICK if asked.quick else WHOLE
    if asked.ahead:
        put_ahead(os.getpid())
    print(_machine(asked, manner))
    print(f"\n| {' | '.join(_COLUMNS)} |\n|{' --- |' * len(_COLUMNS)}")
    missed = [] if asked.only_fleet else beside_each_other(asked, manner)
    missed += [] if asked.no_fleet else over_a_fleet(asked, FLEET_QUICK if asked.quick else FLEET_WHOLE)
    print("\nAll goals met." if not missed else "\nMissed:\n- " + "\n- ".join(missed))
    return 1 if missed else 0


def _machine(asked: argparse.Namespace, manner: Manner) -> str:
    nvtop = "nvtop not had (Debian: apt-get install nvtop, in contrib)"
    if asked.nvtop is not None:
        said = subprocess.run([asked.nvtop, "--version"], capture_output=True, text=True, check=True)
        nvtop = said.stdout.strip()
    return (
        f"{asked.repeats} sittings each, {manner.window_s:g} s and {manner.presses} keys; {platform.machine()},"
        f" {os.cpu_count()} CPUs, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}, Python"
        f" {platform.python_version()}, textual {version('textual')}, nvitop {version('nvitop')}, {nvtop}"
    )


if __name__ == "__main__":
    sys.exit(main())
