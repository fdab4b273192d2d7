"""What looking ahead gains when pools follow the demand of a real cluster (docs/scaling.md).

The demand (GPUs in use and waited for, every 5 minutes of May 2020) of each virtual cluster is a pool of its own. Every
policy goes through the whole month and knows at each moment only what came before; figures are of a part of the days.

    python bench/scale.py                    the tables of docs/scaling.md
    python bench/scale.py --choose           how the outlook's own numbers were chosen: days 8 to 21, half of the pools
    python bench/scale.py --bands            against the bands of the forecaster `auto`, fitted once a day (minutes)
"""

from __future__ import annotations

import argparse
import math
import statistics
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gpualloc.cli.demand_file import read_demand
from gpualloc.engine import scale_pilots
from gpualloc.engine.scale_pilots import Reacting
from gpualloc.engine.simulate_scale import ScaleTrial, simulate_scale
from gpualloc.forecast.auto import Auto
from gpualloc.model.forecast import Grid
from gpualloc.model.scaling import ScalingName, ScalingSettings
from gpualloc.policies.scaling import outlook
from gpualloc.policies.scaling.pool import Standing
from gpualloc.sim.scaling import PoolState, PoolTrial, play
from gpualloc.sim.scaling_figures import ScaleFigures, figures, together
from gpualloc.sim.scaling_result import PoolResult, ScaleResult

DATA = Path(__file__).parent / "data" / "helios-earth" / "demand_5min.csv.gz"
DAY = 288
WHOLE = (0, 31 * DAY)
CHOSEN_ON = (7 * DAY, 21 * DAY)
SHOWN_ON = (21 * DAY, 31 * DAY)
GPUS = 8
LEADS_S = (300.0, 900.0, 1800.0)
RISKS = (0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.002, 0.001)
LOADS = (1.0, 0.97, 0.95, 0.93, 0.9, 0.87, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4)
PRESET = ScalingSettings()


class Point(Struct, frozen=True):
    """What a policy spends and how long rises wait."""

    label: str
    gpu_hours: float
    wait_s: float
    unmet: float


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--bands", action="store_true")
    parser.add_argument("--data", default=str(DATA), metavar="FILE", help="another file of demand")
    given = parser.parse_args()
    demand = read_demand(given.data)
    if given.choose:
        choose(demand)
    elif given.bands:
        bands(demand)
    else:
        for lead_s in LEADS_S:
            tables(demand, lead_s)


def tables(demand: Grid, lead_s: float) -> None:
    """The policies beside each other, at equal GPU-hours, and pool by pool."""
    settings = replace(PRESET, warmup_s=lead_s)
    results = {
        "reactive (preset)": simulate_scale(ScaleTrial(demand, settings)),
        "step": simulate_scale(ScaleTrial(demand, replace(settings, policy=ScalingName.STEP))),
        "predictive, spends as reactive": predicted(demand, settings),
        "predictive, risk 0.01": predicted(demand, settings, 0.01),
    }
    print(f"\n## {lead_s:.0f} s until a node serves, the last 10 days (whole month)\n")
    print("| policy | GPU-hours | time to capacity, mean s | unmet GPU-hours | late | shortfalls, mean s | up |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, result in results.items():
        one, whole = part(result, SHOWN_ON), part(result, WHOLE)
        short, all_short = one.shortfall, whole.shortfall
        print(
            f"| {name} | {one.gpu_hours:.0f} ({whole.gpu_hours:.0f}) | {wait(one):.1f} ({wait(whole):.1f})"
            f" | {one.unmet_gpu_hours:.1f} ({whole.unmet_gpu_hours:.1f}) | {one.misses(300)} ({whole.misses(300)})"
            f" | {short.count}, {short.mean_s:.0f} ({all_short.count}, {all_short.mean_s:.0f})"
            f" | ({result.ups}) |"
        )
    at_equal_spending(demand, settings, results["reactive (preset)"])
    by_pool(results["reactive (preset)"], results["predictive, spends as reactive"])


def at_equal_spending(demand: Grid, settings: ScalingSettings, reactive: ScaleResult) -> None:
    """Curves of predictive and of target tracking, and what predictive saves where both spend the same."""
    ahead = [point(f"risk {risk:g}", predicted(demand, settings, risk), SHOWN_ON) for risk in RISKS]
    tracking = tracked(demand, settings, SHOWN_ON)
    print("\n| predictive | GPU-hours | mean s | target tracking for as many | sooner | unmet less |")
    print("| --- | --- | --- | --- | --- | --- |")
    for one in ahead:
        if tracking[0].gpu_hours <= one.gpu_hours <= tracking[-1].gpu_hours:
            other_s, unmet = at(tracking, one.gpu_hours)
            print(
                f"| {one.label} | {one.gpu_hours:.0f} | {one.wait_s:.1f} | {other_s:.1f} |"
                f" {less(other_s, one.wait_s)} | {less(unmet, one.unmet)} |"
            )
    spent = part(reactive, SHOWN_ON)
    reached = [one for one in ahead if one.wait_s <= wait(spent)]
    if reached:
        saved = 1 - reached[0].gpu_hours / spent.gpu_hours
        print(f"\nAs soon as the preset with {100 * saved:.0f} % fewer GPU-hours ({reached[0].label}).")


def by_pool(reactive: ScaleResult, ahead: ScaleResult) -> None:
    """How each pool does, and the spread; a pool in which no rise waited under the preset cannot gain."""
    print("\n| pool | rises | reactive, mean s | predictive | GPU-hours | predictive |")
    print("| --- | --- | --- | --- | --- | --- |")
    gains = []
    for one, two in zip(reactive.pools, ahead.pools, strict=True):
        before, after = cut(one, WHOLE), cut(two, WHOLE)
        gains += [1 - wait(after) / wait(before)] if wait(before) else []
        print(
            f"| {one.name} | {len(before.rises)} | {wait(before):.1f} | {wait(after):.1f}"
            f" | {before.gpu_hours:.0f} | {after.gpu_hours:.0f} |"
        )
    shown = [f"{100 * gain:.0f} %" for gain in (min(gains), statistics.median(gains), max(gains))]
    print(f"\nSooner by pool, whole month: least {shown[0]}, median {shown[1]}, most {shown[2]}.")


def choose(demand: Grid) -> None:
    """The outlook's numbers on days 8 to 21 of four pools, and the same on the last 10 days of the three others."""
    fitted, held = take(demand, range(0, len(demand.names), 2)), take(demand, range(1, len(demand.names), 2))
    parts = [(fitted, CHOSEN_ON), (held, SHOWN_ON)]
    print(f"fitted on {', '.join(fitted.names)}; looked at on {', '.join(held.names)}")
    print("\n| level width | hour width | floor | look back | sooner than target tracking, fitted | held back |")
    print("| --- | --- | --- | --- | --- | --- |")
    curves = [
        [(lead_s, tracked(one, replace(PRESET, warmup_s=lead_s), days)) for lead_s in (LEADS_S[0], LEADS_S[-1])]
        for one, days in parts
    ]
    was = outlook.LEVEL_WIDTH, outlook.HOUR_WIDTH, outlook.FLOOR, scale_pilots.LOOK_BACK_S
    tried = [was, (9.0, 99.0, 0.0, was[3]), (9.0, *was[1:]), (was[0], 99.0, *was[2:])]
    tried += [(0.3, *was[1:]), (*was[:2], 0.2, was[3]), (*was[:3], 7 * 86_400.0)]
    for numbers in tried:
        with_numbers(*numbers)
        gains = [gain_over(curve, *part) for curve, part in zip(curves, parts, strict=True)]
        print(f"| {numbers[0]:g} | {numbers[1]:g} | {numbers[2]:g} | {numbers[3] / 86_400:g} d |", end="")
        print(" | ".join(f" {100 * gain:.0f} %" for gain in gains), "|")
    with_numbers(*was)


def gain_over(curves: Sequence[tuple[float, list[Point]]], demand: Grid, days: tuple[int, int]) -> float:
    """How much sooner than curves at equal GPU-hours, with the preset's risk; a mean over times until one serves."""
    gains = []
    for lead_s, curve in curves:
        one = point("", predicted(demand, replace(PRESET, warmup_s=lead_s), PRESET.risk), days)
        gains.append(1 - one.wait_s / max(at(curve, one.gpu_hours)[0], 1e-9))
    return statistics.mean(gains)


def with_numbers(level: float, hour: float, floor: float, back_s: float) -> None:
    """Let the outlook reckon with other numbers than its own."""
    outlook.LEVEL_WIDTH, outlook.HOUR_WIDTH, outlook.FLOOR = level, hour, floor
    outlook._BY_LEVEL = outlook._near(outlook.LEVELS, level * outlook.LEVELS)
    outlook._BY_HOUR = outlook._near(24, hour, 24)
    scale_pilots.LOOK_BACK_S = back_s


class Banded(Reacting):
    """Ready for the last value and so many times the upper half of a forecaster's band around it."""

    def __init__(self, *given: object, widths: Sequence[float], stretch: float) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self._widths = widths
        self._stretch = stretch

    def _standing(self, state: PoolState) -> Standing:
        standing = super()._standing(state)
        width = self._widths[state.tick // DAY] * self._stretch
        if standing.demand_gpus is None or math.isnan(width):
            return standing
        return replace(standing, soon_gpus=standing.demand_gpus + width, later_gpus=standing.demand_gpus + width)


def bands(demand: Grid) -> None:
    """What comes of the 95 % quantile of `auto`, stretched, in place of the outlook."""
    horizons = (1, 3, 6, 12)
    widths = [_widths(demand, day, horizons) for day in range(demand.ticks // DAY)]
    print("| until a node serves | band of | stretched | GPU-hours | mean s | outlook for as many | outlook sooner |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for lead_s in (LEADS_S[0], LEADS_S[-1]):
        settings = replace(PRESET, warmup_s=lead_s, policy=ScalingName.PREDICTIVE)
        seen = [point("", predicted(demand, settings, risk), SHOWN_ON) for risk in RISKS]
        for place, horizon in ((horizons.index(int(lead_s // 300)), int(lead_s // 300)), (3, 12)):
            for stretch in (1.0, 4.0, 8.0):
                one = _banded(demand, settings, [day[place] for day in widths], stretch)
                known = seen[0].gpu_hours <= one.gpu_hours <= seen[-1].gpu_hours
                other = at(seen, one.gpu_hours)[0] if known else math.nan
                print(
                    f"| {lead_s:.0f} s | {5 * horizon} min | {stretch:g} | {one.gpu_hours:.0f} | {one.wait_s:.1f}"
                    + (f" | {other:.1f} | {less(one.wait_s, other)} |" if known else " | - | - |")
                )


def _widths(demand: Grid, day: int, horizons: Sequence[int]) -> list[list[float]]:
    """By horizon and series: the band's upper edge above the last value, told at the beginning of a day."""
    if day < SHOWN_ON[0] // DAY - 1:
        return [[math.nan] * len(demand.names)] * len(horizons)
    known = until(demand, day * DAY)
    told = Auto().forecast(known, horizons)
    last = [known.values[(series + 1) * known.ticks - 1] for series in range(len(known.names))]
    found = []
    for place in range(len(horizons)):
        edges = [told.band(series, place) for series in range(len(known.names))]
        found.append([math.nan if e is None else max(0.0, e.high - v) for e, v in zip(edges, last, strict=True)])
    return found


def _banded(demand: Grid, settings: ScalingSettings, widths: Sequence[Sequence[float]], stretch: float) -> Point:
    pools = []
    for number, name in enumerate(demand.names):
        base = simulate_scale(ScaleTrial(take(demand, [number]), settings)).pools[0]
        trial = trial_of(demand, base)
        own = [day[number] for day in widths]
        pilot = Banded(base.settings, trial, widths=own, stretch=stretch)
        played = play(trial, pilot)
        pools.append(replace(base, name=name, played=played))
    spent = together(cut(pool, SHOWN_ON) for pool in pools)
    return Point("", spent.gpu_hours, wait(spent), spent.unmet_gpu_hours)


def trial_of(demand: Grid, base: PoolResult) -> PoolTrial:
    """What the pool of a result went through."""
    lead_s, step_s = base.settings.warmup_s, demand.step_s
    return PoolTrial(base.demand, demand.start_s, step_s, GPUS, lead_s, base.played.nodes[0])


def predicted(demand: Grid, settings: ScalingSettings, risk: float | None = None) -> ScaleResult:
    """The predictive policy, with a risk or spending as much as the preset."""
    ahead = replace(settings, policy=ScalingName.PREDICTIVE, risk=risk or settings.risk)
    return simulate_scale(ScaleTrial(demand, ahead, match=settings if risk is None else None))


def tracked(demand: Grid, settings: ScalingSettings, days: tuple[int, int]) -> list[Point]:
    """The curve of target tracking, by ascending GPU-hours."""
    found = []
    for load in LOADS:
        track = replace(settings, policy=ScalingName.TARGET, up_ratio=load)
        found.append(point(f"load {load:g}", simulate_scale(ScaleTrial(demand, track)), days))
    return sorted(found, key=lambda one: one.gpu_hours)


def point(label: str, result: ScaleResult, days: tuple[int, int]) -> Point:
    """A policy on some days."""
    one = part(result, days)
    return Point(label, one.gpu_hours, wait(one), one.unmet_gpu_hours)


def at(curve: Sequence[Point], gpu_hours: float) -> tuple[float, float]:
    """Time to capacity and unmet GPU-hours on a curve where it spends as much, between its points."""
    spent = [one.gpu_hours for one in curve]
    waits = np.interp(gpu_hours, spent, [one.wait_s for one in curve])
    return float(waits), float(np.interp(gpu_hours, spent, [one.unmet for one in curve]))


def part(result: ScaleResult, days: tuple[int, int]) -> ScaleFigures:
    """The figures of some days."""
    return together(cut(pool, days) for pool in result.pools)


def cut(pool: PoolResult, days: tuple[int, int]) -> ScaleFigures:
    """The figures of some days of a pool."""
    first, last = days
    return figures(pool.demand[first:last], pool.played.nodes[first:last], GPUS, 300.0)


def wait(found: ScaleFigures) -> float:
    """Mean time to capacity."""
    return found.time_to_capacity.mean_s


def less(before: float, after: float) -> str:
    """How much less, in percent."""
    return f"{100 * (1 - after / before):.0f} %" if before else "-"


def take(demand: Grid, places: Sequence[int]) -> Grid:
    """Some of the series."""
    values: array[float] = array("d")
    for place in places:
        values.extend(demand.values[place * demand.ticks : (place + 1) * demand.ticks])
    return replace(demand, names=tuple(demand.names[place] for place in places), values=values, capacity=())


def until(demand: Grid, tick: int) -> Grid:
    """What was known before a tick."""
    values: array[float] = array("d")
    for place in range(len(demand.names)):
        values.extend(demand.values[place * demand.ticks : place * demand.ticks + tick])
    return replace(demand, ticks=tick, values=values)


if __name__ == "__main__":
    main()
