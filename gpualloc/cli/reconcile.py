"""`gpualloc reconcile`: make things again as gpualloc made them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from gpualloc.cli import shared, stopping
from gpualloc.cli.asking import confirmed, need_somebody
from gpualloc.cli.outcome import CHANGES, Answer, look, say
from gpualloc.cli.progress import nodes_seen
from gpualloc.cli.reporting import report_line, report_of, tell_step
from gpualloc.engine.apply import apply, failure
from gpualloc.engine.drift import Drift, drift
from gpualloc.engine.reconcile import Doubts, Proposal, await_nodes, clear_doubts, propose
from gpualloc.errors import UsageError
from gpualloc.views.drift import difference_data, doubts_text, drift_text, left_text, reconcile_data
from gpualloc.views.envelope import unreached
from gpualloc.views.plan import plan_data, plan_text

if TYPE_CHECKING:
    from gpualloc.engine.chain import Report
    from gpualloc.engine.context import Context
    from gpualloc.views.look import Look

app = shared.verb_app()


class _Reconciled(Struct, frozen=True):
    """What was found, and what came of it."""

    proposal: Proposal
    doubts: Doubts | None = None
    """None for a dry run, which asks no node for what is in doubt."""
    report: Report | None = None
    confirmed: bool = True
    after: Drift | None = None
    """How it was after the repairs; None when there were none."""

    @property
    def remains(self) -> Drift:
        """What differs now."""
        return self.after or self.proposal.drift


@app.command()
def reconcile(
    ctx: typer.Context,
    names: shared.NodeNames = None,
    *,
    boot: Annotated[
        bool, typer.Option("--boot", help="After a reboot: wait for the nodes as long as --wait says, and never ask.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing, take no lock.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    detailed_exitcode: shared.DetailedExitCode = False,
    wait: shared.Wait = None,
) -> Answer:
    """Find out what interrupted runs did, and repair what gpualloc made; what it did not make stays as it is."""
    if boot and dry_run:
        raise UsageError("--boot and --dry-run exclude each other")
    wait_s = shared.wait_s(wait)
    if not (yes or boot or dry_run):
        need_somebody("reconcile")
    with shared.open_world(ctx) as world:
        chosen = shared.chosen_nodes(world, names)
        if boot:
            await_nodes(world, chosen, wait_s)
        done = _reconciled(world, chosen, dry_run=dry_run, ask=not (yes or boot), wait_s=wait_s)
        plan_names, simulated = shared.names_of(world), world.simulated
    error = failure(done.report) if done.report else None
    differs = CHANGES if detailed_exitcode and done.remains.differences else 0
    return Answer(
        _data(done, simulated=simulated),
        lambda screen: _text(done, plan_names, screen, dry_run=dry_run, simulated=simulated),
        errors=(*unreached(done.remains.snapshot), *([error] if error else [])),
        exit_code=error.exit_code if error else differs,
    )


def _reconciled(
    world: Context, chosen: tuple[str, ...] | None, *, dry_run: bool, ask: bool, wait_s: float
) -> _Reconciled:
    doubts = None if dry_run else clear_doubts(world, wait_s=wait_s, on_step=tell_step)
    with nodes_seen(world, chosen) as progress:
        proposal = propose(world, chosen, progress)
    plan = proposal.plan
    if dry_run or not plan.applyable:
        return _Reconciled(proposal, doubts)
    say(plan_text(plan, shared.names_of(world), look(sys.stderr)))
    if ask and not confirmed("reconcile"):
        return _Reconciled(proposal, doubts, confirmed=False)
    with stopping.stoppable(world) as going:
        report = apply(going, plan, wait_s=wait_s, on_step=tell_step)
    return _Reconciled(proposal, doubts, report, after=drift(world, chosen))


def _data(done: _Reconciled, *, simulated: bool) -> dict[str, object]:
    proposal = done.proposal
    return {
        "simulated": simulated,
        **reconcile_data(proposal.drift.differences, proposal.left, done.doubts.asked if done.doubts else ()),
        "recovered": [report_of(report) for report in done.doubts.recovered] if done.doubts else [],
        "plan": plan_data(proposal.plan),
        "confirmed": done.confirmed,
        "report": report_of(done.report) if done.report else None,
        "remains": [difference_data(each) for each in done.remains.differences],
        "unknown": list(done.remains.unknown),
    }


def _text(done: _Reconciled, names: dict[str, str], look: Look, *, dry_run: bool, simulated: bool) -> str:
    proposal = done.proposal
    lines = (
        [f"interrupted run {each.run_id}: {report_line(each)}" for each in done.doubts.recovered] if done.doubts else []
    )
    lines.append(doubts_text(done.doubts.asked) if done.doubts else "")
    if dry_run:
        lines.append(plan_text(proposal.plan, names, look))
    if not done.confirmed:
        lines.append("nothing was repaired")
    if done.report is not None:
        lines.append(f"plan {proposal.plan.id}: {report_line(done.report)}")
    remains = done.remains
    lines.append(drift_text(remains.differences, remains.unknown, look, simulated=simulated))
    lines.append(left_text(proposal.left, look))
    return "\n".join(line for line in lines if line)
