"""`gpualloc recover`: runs that were interrupted, and what is to become of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from gpualloc.cli import shared, stopping
from gpualloc.cli.outcome import Answer
from gpualloc.cli.reporting import report_line, report_of, tell_step
from gpualloc.engine.apply import failure
from gpualloc.engine.open_runs import OpenRun, abandon, resume, roll_back, unsettled
from gpualloc.errors import UsageError
from gpualloc.model.plan import Run
from gpualloc.views.runs import run_data, run_text, what_to_do

if TYPE_CHECKING:
    from gpualloc.engine.chain import Report
    from gpualloc.engine.context import Context
    from gpualloc.views.look import Look

app = shared.verb_app()

Resume = Annotated[
    str | None, typer.Option("--resume", metavar="RUN", help="Go on with this interrupted run; or with `latest`.")
]
Rollback = Annotated[
    str | None,
    typer.Option("--rollback", metavar="RUN", help="Take back what this interrupted run did; or that of `latest`."),
]
Abandon = Annotated[
    str | None, typer.Option("--abandon", metavar="RUN", help="Give this run up as it stands; needs its id and --yes.")
]


class Fate(Struct, frozen=True):
    """What an operator wants to become of a run."""

    resume: str | None
    rollback: str | None
    abandon: str | None

    def __post_init__(self) -> None:
        if sum(reference is not None for reference in (self.resume, self.rollback, self.abandon)) > 1:
            raise UsageError("--resume, --rollback and --abandon exclude each other")

    @property
    def given(self) -> bool:
        """Whether any of them was said."""
        return (self.resume or self.rollback or self.abandon) is not None


@app.command()
def recover(
    ctx: typer.Context,
    resume: Resume = None,
    rollback: Rollback = None,
    abandon: Abandon = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do give it up.")] = False,
    wait: shared.Wait = None,
) -> Answer:
    """List interrupted and abandoned runs, or say what is to become of one."""
    fate = Fate(resume, rollback, abandon)
    with shared.open_world(ctx) as world:
        if fate.given:
            return settle(world, fate, yes=yes, wait_s=shared.wait_s(wait))
        return _listed(unsettled(world), simulated=world.simulated)


def settle(world: Context, fate: Fate, *, yes: bool, wait_s: float) -> Answer:
    """Do with the run what was said."""
    if fate.abandon is not None:
        if not yes:
            raise UsageError(
                "--abandon leaves whatever was done as it is, and its nodes doubtful",
                hint=f"gpualloc recover shows what; --abandon {fate.abandon} --yes does it",
            )
        given_up = abandon(world, fate.abandon, wait_s=wait_s)
        return _listed((given_up,), simulated=world.simulated)
    with stopping.between_steps() as stop:
        world = replace(world, stopped=stop.asked)
        if fate.rollback is not None:
            run, report = roll_back(world, fate.rollback, wait_s=wait_s, on_step=tell_step)
        else:
            run, report = resume(world, fate.resume or "", wait_s=wait_s, on_step=tell_step)
    return _told(run, report, simulated=world.simulated)


def _told(run: Run, report: Report, *, simulated: bool) -> Answer:
    error = failure(report)
    kept = [step.seq for step in report.kept]
    mark = " (simulated)" if simulated else ""
    lines = [f"run {run.id}: {report_line(report)}{mark}"]
    lines += [f"cannot be taken back: step {step.seq}, {step.kind.value} of {step.target}" for step in report.kept]
    return Answer(
        {"simulated": simulated, "run": run.id, "report": report_of(report), "kept": kept},
        lambda _look: "\n".join(lines),
        errors=(error,) if error else (),
        exit_code=error.exit_code if error else 0,
    )


def _listed(runs: tuple[OpenRun, ...], *, simulated: bool) -> Answer:
    def text(look: Look) -> str:
        return "\n".join(
            line
            for one in runs
            for line in (run_text(one.run, one.done, one.left, one.doubts, look), what_to_do(one.run))
        )

    data = [run_data(one.run, one.done, one.left, one.doubts) for one in runs]
    return Answer({"simulated": simulated, "runs": data}, lambda look: text(look) or "no run is open or abandoned")
