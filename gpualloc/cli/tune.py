"""`gpualloc tune`: search for a profile that packs better, and save it under a name. Nothing uses it by itself."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from gpualloc import __version__
from gpualloc.cli import shared
from gpualloc.cli.outcome import INTERRUPTED, Answer, say
from gpualloc.cli.stopping import as_interrupt
from gpualloc.cli.tune_inputs import Inputs, counting, from_files, from_history, seeds
from gpualloc.cli.tune_progress import Watch, watched
from gpualloc.engine.measure import Measure, check_load
from gpualloc.engine.tune import Bounds, Search, Tuning
from gpualloc.errors import GpuallocError, UsageError
from gpualloc.model.units import number, whole_number
from gpualloc.policies import registry
from gpualloc.policies.evolved import AS_PACK, content_of_expressions
from gpualloc.policies.expression_search import ExpressionSearch
from gpualloc.policies.profile import Profile
from gpualloc.policies.tuned import Tuned
from gpualloc.policies.weight_search import WeightSearch
from gpualloc.policies.weights import DEFAULT, weights_of
from gpualloc.views.tuning import Searched, scores_of, tuning_data, tuning_text

app = shared.verb_app(no_args_is_help=True)

MOST_JOBS = 1024
MOST_CANDIDATES = 10_000_000


Name = Annotated[str, typer.Option("--name", metavar="NAME", help="What the profile is to be called.")]
NodeFile = Annotated[str | None, typer.Option("--nodes", metavar="FILE", help="Nodes of the traces.")]
TaskFiles = Annotated[
    list[str] | None, typer.Option("--tasks", metavar="FILE", help="Tasks of a trace; may be given again.")
]
FromHistory = Annotated[bool, typer.Option("--from-history", help="Use past work on today's nodes in place of traces.")]
Method = Annotated[str, typer.Option("--method", metavar="METHOD", help="What to search: weights or expressions.")]
Budget = Annotated[str, typer.Option("--budget", metavar="N", help="How many candidates to measure.")]
Patience = Annotated[
    str,
    typer.Option("--patience", metavar="N", help="End after so many generations without a better one."),
]
Minutes = Annotated[
    str | None, typer.Option("--minutes", metavar="N", help="End after the generation in which these have passed.")
]
Seed = Annotated[str, typer.Option("--seed", metavar="N", help="What the search draws from.")]
TrainSeeds = Annotated[
    str,
    typer.Option("--train-seeds", metavar="SEEDS", help="Orders that candidates are measured on."),
]
ValidationSeeds = Annotated[
    str,
    typer.Option("--validation-seeds", metavar="SEEDS", help="Orders that decide which is kept."),
]
Load = Annotated[str, typer.Option("--load", metavar="PART", help="GPU demand of an order, of all GPUs.")]
Reference = Annotated[
    str, typer.Option("--reference", metavar="POLICY", help="The policy that scores are relative to.")
]
Jobs = Annotated[str | None, typer.Option("--jobs", metavar="N", help="Processes; one for each CPU when not given.")]
Keep = Annotated[bool, typer.Option("--keep", help="Save what was found when interrupted, too.")]
Force = Annotated[bool, typer.Option("--force", help="Save even what is no better, and over a profile of that name.")]


class Wanted(Struct, frozen=True):
    """What the command line asks for."""

    name: str
    method: str
    nodes: str | None
    tasks: tuple[str, ...]
    history: bool
    bounds: Bounds
    seed: int
    load: float
    minutes: float | None

    @property
    def command(self) -> str:
        """The command that searches in the same way; `--minutes` apart, to the same end."""
        from_files = [word for path in self.tasks for word in ("--tasks", path)]
        source = ["--from-history"] if self.history else ["--nodes", self.nodes or "", *from_files]
        words = ["gpualloc", "tune", "--name", self.name, *source, "--method", self.method]
        words += ["--reference", self.bounds.reference, "--load", f"{self.load:g}", "--seed", str(self.seed)]
        words += ["--train-seeds", _listed(self.bounds.training), "--validation-seeds", _listed(self.bounds.validation)]
        words += ["--budget", str(self.bounds.budget), "--patience", str(self.bounds.patience)]
        return shlex.join(words)

    def search(self) -> Search:
        """The search, at its beginning."""
        if self.method == "weights":
            return WeightSearch(Profile(self.name, "pack", weights_of(DEFAULT)), self.seed)
        return ExpressionSearch(Profile(self.name, "evolved", expressions=content_of_expressions(AS_PACK)), self.seed)


@app.command()
def tune(
    ctx: typer.Context,
    *,
    name: Name,
    nodes: NodeFile = None,
    tasks: TaskFiles = None,
    from_history: FromHistory = False,
    method: Method = "weights",
    budget: Budget = "300",
    patience: Patience = "10",
    minutes: Minutes = None,
    seed: Seed = "0",
    train_seeds: TrainSeeds = "0-3",
    validation_seeds: ValidationSeeds = "100-103",
    load: Load = "1.3",
    reference: Reference = "fgd",
    jobs: Jobs = None,
    keep: Keep = False,
    force: Force = False,
) -> Answer:
    """Search for a profile that packs better, on orders of arrival drawn for it and judged on others, and save it."""
    from gpualloc.wiring import saved_profiles

    count = 1 if from_history else len(tasks or ())
    bounds = Bounds(
        reference=reference,
        traces=count,
        training=seeds("--train-seeds", train_seeds),
        validation=seeds("--validation-seeds", validation_seeds),
        budget=counting("--budget", budget, MOST_CANDIDATES),
        patience=counting("--patience", patience, MOST_CANDIDATES),
    )
    wanted = _checked(
        Wanted(
            name=name,
            method=method,
            nodes=nodes,
            tasks=tuple(tasks or ()),
            history=from_history,
            bounds=bounds,
            seed=whole_number("--seed", seed),
            load=check_load(number("--load", load)),
            minutes=None if minutes is None else number("--minutes", minutes),
        )
    )
    width = counting("--jobs", jobs, MOST_JOBS) if jobs else len(os.sched_getaffinity(0))
    profiles = saved_profiles(shared.options(ctx))
    profiles.check_free(name, replace=force)
    inputs = _inputs(ctx, wanted)
    tuned = _searched(wanted, inputs, width, keep=keep)
    return _answer(wanted, inputs, tuned, lambda profile: profiles.save(profile, replace=force), force=force)


def _checked(wanted: Wanted) -> Wanted:
    """Refuse what has no meaning together."""
    if wanted.history == bool(wanted.tasks) or wanted.history == (wanted.nodes is not None):
        raise UsageError("nothing says what to tune for", hint="give --nodes FILE and --tasks FILE, or --from-history")
    if wanted.method not in ("weights", "expressions"):
        raise UsageError(f"--method {wanted.method!r} is not known", hint="weights or expressions")
    both = sorted(set(wanted.bounds.training) & set(wanted.bounds.validation))
    if both:
        raise UsageError(
            f"seed {both[0]} is for training and for validation", hint="what was trained on judges nothing"
        )
    if wanted.minutes is not None and wanted.minutes <= 0:
        raise UsageError(f"--minutes {wanted.minutes:g} is out of range", hint="above 0")
    registry.load(wanted.bounds.reference)
    return wanted


def _inputs(ctx: typer.Context, wanted: Wanted) -> Inputs:
    if wanted.nodes is not None:
        return from_files(wanted.nodes, wanted.tasks)
    with shared.open_world(ctx) as world:
        return from_history(world)


def _searched(wanted: Wanted, inputs: Inputs, jobs: int, *, keep: bool) -> Tuned:
    from gpualloc.wiring import workers

    end_s = None if wanted.minutes is None else time.monotonic() + wanted.minutes * 60
    measure = Measure(inputs.nodes, inputs.traces, wanted.load)
    with (
        as_interrupt(signal.SIGTERM),
        watched(wanted.bounds.budget) as watch,
        workers(measure, jobs) as spread,
    ):
        try:
            tuning = Tuning(wanted.search(), wanted.bounds, watch.spread(spread))
            return tuning.tuned(_run(tuning, watch, end_s, keep=keep))
        except KeyboardInterrupt:
            watch.clear()
            say("nothing was saved; with --keep an interrupted search saves what it found")
            raise


def _run(tuning: Tuning, watch: Watch, end_s: float | None, *, keep: bool) -> str:
    """Search; returns why it ended."""
    try:
        return tuning.run(watch.tell, lambda: end_s is not None and time.monotonic() >= end_s)
    except KeyboardInterrupt:
        if not keep:
            raise
        return "interrupted"


def _answer(wanted: Wanted, inputs: Inputs, tuned: Tuned, save: Callable[[Profile], Path], *, force: bool) -> Answer:
    policy = wanted.search().start.policy
    saved: str | None = None
    errors: tuple[GpuallocError, ...] = ()
    if tuned.profile is not None and (tuned.better or force):
        saved = str(save(replace(tuned.profile, made=_made(wanted, inputs, tuned))))
    else:
        errors = (
            GpuallocError(
                f"nothing better than {policy} as it is was found on the validation orders; nothing is saved",
                hint="a larger --budget, more --train-seeds, or --force to save it all the same",
            ),
        )
    known = Searched(wanted.name, policy, wanted.bounds.reference, saved)
    code = INTERRUPTED if tuned.ended == "interrupted" else 1 if errors else 0
    return Answer(
        tuning_data(tuned, known),
        lambda look: tuning_text(tuned, known, look),
        messages=inputs.messages,
        errors=errors,
        exit_code=code,
    )


def _made(wanted: Wanted, inputs: Inputs, tuned: Tuned) -> dict[str, object]:
    """How it came to be, for whoever wonders later."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "gpualloc": __version__,
        "command": wanted.command,
        "traces": [
            {"name": name, "tasks": len(tasks)} for name, tasks in zip(inputs.names, inputs.traces, strict=True)
        ],
        "nodes": len(inputs.nodes),
        "seed": wanted.seed,
        "train_seeds": list(wanted.bounds.training),
        "validation_seeds": list(wanted.bounds.validation),
        "candidates": tuned.candidates,
        "generations": tuned.generations,
        "ended": tuned.ended,
        "scores": scores_of(tuned),
    }


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
