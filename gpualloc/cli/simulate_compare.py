"""`gpualloc simulate compare`: policies against each other, each on several orders of arrival."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated

import typer

from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import counted
from gpualloc.cli.simulate_options import Arrivals, Load, Nodes, Tasks
from gpualloc.cli.trace_files import OrderWanted, Trace, opened, read_trace, read_wanted
from gpualloc.cli.whole_file import whole_files
from gpualloc.engine.compare import Contest, Draw, Played, matches, play, standings
from gpualloc.errors import BrokenInputError, UsageError
from gpualloc.model.units import number, whole_number
from gpualloc.policies import registry
from gpualloc.sim.traces.arrivals import arrival_keys
from gpualloc.sim.traces.comparison import Entry, published_entries
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.published import read_published
from gpualloc.views.comparison import comparison_csv, comparison_data, comparison_text
from gpualloc.views.comparison_page import comparison_page

MAX_ORDERS = 1000
MAX_JOBS = 256
_KEY = re.compile(r"(.+)_([0-9]{1,18})\Z")
"""Name of an order of arrival: trace and seed."""


def compare(
    *,
    nodes: Nodes,
    tasks: Tasks,
    policy: Annotated[str, typer.Option("--policy", metavar="POLICY", help="Policies, with commas between them.")],
    arrivals: Arrivals = None,
    keys: Annotated[
        str | None, typer.Option("--keys", metavar="GLOB", help="Which orders of the archive, such as 'default_*'.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="SEEDS", help="Draw an order from each, such as 0-9 or 1,3,5.")
    ] = None,
    load: Load = "1.3",
    jobs: Annotated[
        str | None, typer.Option("--jobs", metavar="N", help="Processes beside each other. [default: one per CPU]")
    ] = None,
    published: Annotated[
        str | None, typer.Option("--published", metavar="FILE", help="Published figures to show beside (docs).")
    ] = None,
    bound: Annotated[
        bool, typer.Option("--bound", help="Also what no policy can go below, at load 100. Needs the extra `lp`.")
    ] = False,
    csv: Annotated[str | None, typer.Option("--csv", metavar="FILE", help="Write all figures as CSV.")] = None,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a page with curves.")] = None,
) -> Answer:
    """Let policies place the same arrivals, in processes beside each other, and show mean and spread."""
    policies, width = _policies(policy), _jobs(jobs)
    wanted = _wanted(arrivals, keys, seeds, number("--load", load))
    others = _published(published, [one.key for one in wanted if one.key is not None])
    with whole_files(csv, html) as (put_csv, put_html):
        trace = read_trace(nodes, tasks)
        contest = Contest(trace.nodes, trace.tasks, _draws(trace, wanted))
        labels = [draw.label for draw in contest.draws]
        entries = (*_played(contest, policies, width, bound=bound), *others)
        if put_csv is not None:
            put_csv(comparison_csv(entries))
        if put_html is not None:
            put_html(comparison_page(entries, labels, tasks))
    return Answer(
        comparison_data(entries, labels),
        lambda look: comparison_text(entries, labels, look),
        messages=trace.messages,
    )


def seeds_of(text: str) -> tuple[int, ...]:
    """Numbers and ranges such as `0-9,12`, each once, in their order.

    Raises:
        UsageError: it is something else, or too many.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        low = whole_number("--seeds", first)
        high = whole_number("--seeds", last) if dash else low
        if not 0 <= low <= high < 1 << 64 or high - low >= MAX_ORDERS:
            raise UsageError(f"--seeds {text!r} is out of range", hint=f"such as 0-9; at most {MAX_ORDERS}")
        found.update(dict.fromkeys(range(low, high + 1)))
    return tuple(found)


def _policies(text: str) -> tuple[str, ...]:
    """The names, each once; whether they are there and can be loaded is found out before anything is played."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError("--policy names no policy", hint="such as --policy pack,best-fit")
    for name in names:
        registry.load(name)
    return names


def _jobs(text: str | None) -> int:
    if text is None:
        return len(os.sched_getaffinity(0))
    jobs = whole_number("--jobs", text)
    if not 1 <= jobs <= MAX_JOBS:
        raise UsageError(f"--jobs {jobs} is out of range", hint=f"1 to {MAX_JOBS}")
    return jobs


def _wanted(arrivals: str | None, keys: str | None, seeds: str | None, load: float) -> tuple[OrderWanted, ...]:
    if (arrivals is None) != (keys is None):
        raise UsageError("--arrivals and --keys belong together", hint="--keys names orders of the archive by a glob")
    if (arrivals is None) == (seeds is None):
        raise UsageError("one of two tells the orders of arrival", hint="--arrivals FILE --keys GLOB, or --seeds 0-9")
    if seeds is not None:
        return tuple(OrderWanted(seed=seed, load=load) for seed in seeds_of(seeds))
    assert arrivals is not None
    with opened(arrivals) as stream:
        known = arrival_keys(stream, arrivals)
    chosen = sorted((key for key in known if fnmatchcase(key, keys or "")), key=_by_trace_and_seed)
    if not 0 < len(chosen) <= MAX_ORDERS:
        raise BrokenInputError(
            f"{arrivals}: {len(chosen)} of its {len(known)} orders match {keys!r}",
            hint=f"1 to {MAX_ORDERS} are expected; the first is called {known[0]}" if known else "it has none",
        )
    return tuple(OrderWanted(arrivals=arrivals, key=key) for key in chosen)


def _by_trace_and_seed(key: str) -> tuple[str, int]:
    match = _KEY.match(key)
    return (match[1], int(match[2])) if match else (key, 0)


def _draws(trace: Trace, wanted: Sequence[OrderWanted]) -> tuple[Draw, ...]:
    return tuple(
        Draw(one.label, read_wanted(trace, one), _by_trace_and_seed(one.key)[1] if one.key else one.seed or 0)
        for one in wanted
    )


def _published(path: str | None, keys: Sequence[str]) -> tuple[Entry, ...]:
    if path is None:
        return ()
    chosen = [_by_trace_and_seed(key) for key in keys]
    traces = {trace for trace, _ in chosen}
    if len(traces) != 1:
        raise UsageError(
            "--published needs orders of one published trace", hint="such as --arrivals FILE --keys 'default_*'"
        )
    (trace,) = traces
    with opened(path) as stream:
        return published_entries(read_published(text_lines(stream, path), path, trace, {seed for _, seed in chosen}))


def _played(contest: Contest, policies: Sequence[str], width: int, *, bound: bool) -> tuple[Entry, ...]:
    from gpualloc.wiring import workers

    wanted = matches(contest, policies, bound=bound)
    played: list[Played] = []
    work = partial(play, contest, time.perf_counter)
    with workers(work, min(width, len(wanted))) as play_all, counted(len(wanted), "runs") as progress:
        for _, one in play_all(wanted):
            played.append(one)
            if progress is not None:
                progress(len(played))
    return standings(contest, played)
