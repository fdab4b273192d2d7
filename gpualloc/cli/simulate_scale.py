"""`gpualloc simulate scale`: how the size of pools would have followed a recorded demand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from msgspec.structs import replace

from gpualloc.cli.demand_file import read_demand
from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import counted
from gpualloc.cli.trace_files import opened, seed_of
from gpualloc.engine.simulate_scale import ScaleTrial, simulate_scale
from gpualloc.errors import UsageError
from gpualloc.model.scaling import ScalingName, ScalingSettings, SpotRules
from gpualloc.model.spot import PriceHistory
from gpualloc.model.units import number, parse_duration_s, whole_number
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.prices import read_prices
from gpualloc.views.scale_simulation import scale_data, scale_text

REACTIVE = "reactive"
"""The shipped preset."""
MAX_NODES = 100_000
MAX_GPUS_PER_NODE = 1024
_POLICIES = {
    REACTIVE: ScalingName.THRESHOLD,
    **{name.value: name for name in ScalingName if name is not ScalingName.SCHEDULED},
}

Demand = Annotated[
    str, typer.Option("--demand", metavar="FILE", help="GPUs in use and waited for over time (docs/scaling.md).")
]
Policies = Annotated[
    list[str],
    typer.Option(
        "--policy",
        metavar="POLICY",
        help="reactive, predictive, threshold, step or target-tracking; several are compared.",
    ),
]
Provision = Annotated[
    str,
    typer.Option("--provision", metavar="DURATION", help="From the order of a node until it serves. [default: 300s]"),
]
GpusPerNode = Annotated[str, typer.Option("--gpus-per-node", metavar="N", help="GPUs of a node. [default: 8]")]
Fewest = Annotated[str, typer.Option("--min", metavar="NODES", help="Fewest nodes of a pool. [default: 1]")]
Most = Annotated[
    str | None,
    typer.Option("--max", metavar="NODES", help="Most nodes of a pool; left out: 10, or what its demand takes."),
]
Risk = Annotated[
    str | None,
    typer.Option(
        "--risk",
        metavar="PART",
        help="Chance of a shortfall that predictive takes; left out: as much as spends what reactive would.",
    ),
]
Summed = Annotated[bool, typer.Option("--sum", help="One pool for the sum of all series, not one for each.")]
Slo = Annotated[
    str, typer.Option("--slo", metavar="DURATION", help="Longest time to capacity that is no miss. [default: 300s]")
]
Prices = Annotated[
    str | None, typer.Option("--prices", metavar="FILE", help="History of spot prices: buy spot nodes by it.")
]
OnDemand = Annotated[
    str | None, typer.Option("--price", metavar="NUMBER", help="Price of one GPU that stays for an hour.")
]
Seed = Annotated[str | None, typer.Option("--seed", metavar="N", help="Draw the interruptions from this.")]


def scale(
    *,
    demand: Demand,
    policy: Policies,
    provision: Provision = "300s",
    gpus_per_node: GpusPerNode = "8",
    low: Fewest = "1",
    high: Most = None,
    risk: Risk = None,
    summed: Summed = False,
    slo: Slo = "300s",
    prices: Prices = None,
    price: OnDemand = None,
    seed: Seed = None,
) -> Answer:
    """Let pools follow a recorded demand, and measure how soon there is capacity and what it takes."""
    settings = _settings(provision, low, high, risk, spot=prices is not None)
    trial = ScaleTrial(
        read_demand(demand, summed=summed),
        settings,
        gpus_per_node=_in_range("--gpus-per-node", gpus_per_node, 1, MAX_GPUS_PER_NODE),
        bounded=high is not None,
        prices=_prices(prices),
        per_gpu_hour=None if price is None else _price(price),
        seed=seed_of(seed) or 0,
        slo_s=parse_duration_s(slo),
    )
    results = []
    for name in _names(policy):
        with counted(len(trial.demand.names), f"pools, {name}") as progress:
            result = simulate_scale(_with_policy(trial, _POLICIES[name], matched=risk is None), progress)
        results.append(replace(result, policy=name, spends_as=result.spends_as and REACTIVE))
    return Answer(scale_data(results), lambda look: scale_text(results, look))


def _with_policy(trial: ScaleTrial, name: ScalingName, *, matched: bool) -> ScaleTrial:
    reactive = replace(trial.settings, policy=ScalingName.THRESHOLD)
    match = reactive if matched and name is ScalingName.PREDICTIVE else None
    return replace(trial, settings=replace(trial.settings, policy=name), match=match)


def _names(given: Sequence[str]) -> list[str]:
    unknown = [name for name in given if name not in _POLICIES]
    if unknown:
        raise UsageError(f"--policy {unknown[0]!r} cannot be simulated", hint=f"one of {', '.join(_POLICIES)}")
    return list(dict.fromkeys(given))


def _settings(provision: str, low: str, high: str | None, risk: str | None, *, spot: bool) -> ScalingSettings:
    preset = ScalingSettings()
    least = _in_range("--min", low, 0, MAX_NODES)
    most = max(preset.max_nodes, least) if high is None else _in_range("--max", high, 1, MAX_NODES)
    if least > most:
        raise UsageError(f"--min {least} is above --max {most}")
    taken = preset.risk if risk is None else number("--risk", risk)
    if not 0 < taken < 1:
        raise UsageError(f"--risk {taken:g} is out of range", hint="a chance above 0 and below 1, such as 0.01")
    return replace(
        preset,
        min_nodes=least,
        max_nodes=most,
        warmup_s=parse_duration_s(provision),
        risk=taken,
        spot=SpotRules() if spot else None,
    )


def _in_range(flag: str, text: str, least: int, most: int) -> int:
    value = whole_number(flag, text)
    if not least <= value <= most:
        raise UsageError(f"{flag} {value} is out of range", hint=f"{least} to {most}")
    return value


def _price(text: str) -> float:
    value = number("--price", text)
    if value < 0:
        raise UsageError(f"--price {value:g} is below 0")
    return value


def _prices(path: str | None) -> PriceHistory:
    if path is None:
        return PriceHistory()
    with opened(path) as stream:
        return read_prices(text_lines(stream, path), path)
