"""A week of mixed work on 64 simulated GPUs: static shares, reactive and predictive rebalance, side by side.

    python bench/week.py [--days 7] [--seeds 3 4 5 6 7] [--jobs 2] [--json FILE] [--svg docs/images/week.svg]

Everything but the hardware and the clock is real: the engine, its books and its plans. Rules were chosen on the seeds 1
and 2. What is played and what the figures mean: docs/foresight-week.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import fmean, stdev

from msgspec import to_builtins

sys.path.insert(0, str(Path(__file__).parent))

from week_chart import picture
from week_run import Figures, play
from week_work import Class, arrivals, offered_gpus
from week_world import ARMS, cluster

SHOWN = {
    "held %": 1, "in use %": 1, "mean wait, min": 0, "p95 wait, min": 0, "mean JCT, h": 2, "mean slowdown": 2,
    "SLO missed %": 1, "GPU-hours done": 0, "energy, MWh": 3, "kWh per GPU-hour": 3, "cost": 0, "cost per GPU-hour": 3,
    "moves": 0, "stalled, h": 1, "ended": 0,
}  # fmt: skip
"""Rows of the table, and digits behind the point."""


def main() -> None:
    """Play, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5, 6, 7])
    parser.add_argument("--arms", nargs="+", default=[arm.name for arm in ARMS], choices=[arm.name for arm in ARMS])
    parser.add_argument("--jobs", type=int, default=2, help="weeks played at once")
    parser.add_argument("--json", type=Path, help="write everything that was counted")
    parser.add_argument("--svg", type=Path, help="draw the first seed")
    parser.add_argument("--from-json", type=Path, nargs="+", help="what was counted before, instead of playing")
    given = parser.parse_args()
    found = _read(given.from_json) if given.from_json else _played(given.arms, given.seeds, given.days, given.jobs)
    if given.json:
        given.json.write_text(json.dumps([to_builtins(each) for each in found]))
    if given.svg:
        first = [each for each in found if each.seed == min(one.seed for one in found)]
        given.svg.write_text(picture(first))
    _print(found, given.days)
    if any(each.broken for each in found):
        sys.exit(1)


def _read(files: Iterable[Path]) -> list[Figures]:
    return _in_order(Figures(**each) for file in files for each in json.loads(file.read_text()))


def _in_order(found: Iterable[Figures]) -> list[Figures]:
    names = [arm.name for arm in ARMS]
    return sorted(found, key=lambda each: (names.index(each.arm), each.seed))


def _play(name: str, seed: int, days: float) -> Figures:
    arm = next(arm for arm in ARMS if arm.name == name)
    begun = time.process_time(), time.perf_counter()
    figures = play(arm, cluster(), arrivals(seed, days), days, seed)
    figures.values["CPU, s"] = time.process_time() - begun[0]
    figures.values["real time, s"] = time.perf_counter() - begun[1]
    return figures


def _played(names: Sequence[str], seeds: Sequence[int], days: float, jobs: int) -> list[Figures]:
    found = []
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_play, name, seed, days) for seed in seeds for name in names]
        for done in as_completed(waiting):
            found.append(done.result())
            _progress(len(found), len(waiting))
    return _in_order(found)


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(
            f"\r[{'#' * done}{'.' * (of - done)}] {done} of {of} weeks", end="\n" if done == of else "", file=sys.stderr
        )


def _print(found: Sequence[Figures], days: float) -> None:
    seeds, names = sorted({each.seed for each in found}), list(dict.fromkeys(each.arm for each in found))
    by_arm = {name: [each for each in found if each.arm == name] for name in names}
    offered = ", ".join(f"{offered_gpus(arrivals(seed, days), days):.1f}" for seed in seeds)
    print(f"{days:g} days, seeds {', '.join(map(str, seeds))}; GPUs wanted in the mean: {offered}\n")
    print("| | " + " | ".join(names) + " |\n| --- |" + " ---: |" * len(names))
    for row, digits in SHOWN.items():
        cells = [_spread([each.values[row] for each in by_arm[name]], digits) for name in names]
        print(f"| {row} | " + " | ".join(cells) + " |")
    print("\n| SLO missed %, p95 wait in min | " + " | ".join(names) + " |\n| --- |" + " ---: |" * len(names))
    for kind in Class:
        cells = [_of_class(by_arm[name], kind.value) for name in names]
        print(f"| {kind.value} | " + " | ".join(cells) + " |")
    _print_ratios(by_arm)
    _print_rest(by_arm)


def _of_class(found: Sequence[Figures], kind: str) -> str:
    told = [each.by_class[kind] for each in found if kind in each.by_class]
    if not told:
        return "-"
    return f"{fmean(each['SLO missed %'] for each in told):.1f}, {fmean(each['p95 wait, min'] for each in told):.0f}"


def _print_ratios(by_arm: dict[str, list[Figures]]) -> None:
    """Seed by seed, what one arm has of the other."""
    print("\n| ratio, seed by seed | " + " | ".join(f"{one}/{other}" for one, other in _pairs(by_arm)) + " |")
    print("| --- |" + " ---: |" * len(_pairs(by_arm)))
    for row in (
        "mean wait, min",
        "mean JCT, h",
        "mean slowdown",
        "SLO missed %",
        "GPU-hours done",
        "kWh per GPU-hour",
        "cost per GPU-hour",
    ):
        cells = []
        for one, other in _pairs(by_arm):
            ratios = [
                a.values[row] / b.values[row] for a, b in zip(by_arm[one], by_arm[other], strict=True) if b.values[row]
            ]
            cells.append(_spread(ratios, 3) if ratios else "-")
        print(f"| {row} | " + " | ".join(cells) + " |")


def _pairs(by_arm: dict[str, list[Figures]]) -> list[tuple[str, str]]:
    pairs = [("reactive", "static"), ("predictive", "static"), ("predictive", "reactive")]
    return [pair for pair in pairs if set(pair) <= by_arm.keys()]


def _print_rest(by_arm: dict[str, list[Figures]]) -> None:
    print()
    for arm, found in by_arm.items():
        cycles = sorted(ms for each in found for ms in each.cycle_ms)
        real = max(each.values.get("real time, s", 0.0) for each in found)
        cpu = max(each.values.get("CPU, s", 0.0) for each in found)
        moves, held_back = (_total(getattr(each, name) for each in found) for name in ("moves", "held_back"))
        failed, broken, restless = (
            sum(len(getattr(each, name)) for each in found) for name in ("failed", "broken", "restless")
        )
        print(
            f"{arm}: moves: {moves}; held back: {held_back}; {failed} steps failed; {broken} promises broken; "
            f"{restless} runs would have been followed by another at once; "
            f"a cycle takes {cycles[len(cycles) // 2]:.0f} ms, 95 of 100 at most "
            f"{cycles[int(0.95 * len(cycles))]:.0f} ms; a week at most {real:.0f} s, {cpu:.0f} s on a processor"
        )
        for trouble in [line for each in found for line in (*each.broken, *each.failed, *each.restless)][:10]:
            print(f"  {trouble}")


def _total(counts: Iterable[dict[str, int]]) -> str:
    told: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            told[name] = told.get(name, 0) + count
    return ", ".join(f"{count} {name}" for name, count in sorted(told.items())) or "none"


def _spread(values: Sequence[float], digits: int) -> str:
    around = f" ± {stdev(values):,.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):,.{digits}f}{around}"


if __name__ == "__main__":
    main()
