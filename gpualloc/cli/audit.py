"""`gpualloc audit`: what was done, to what, by whom."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.errors import StateError, UsageError
from gpualloc.model.units import parse_duration_s, whole_number
from gpualloc.views.audit import audit_data, audit_text

app = shared.verb_app()


@app.command()
def audit(
    ctx: typer.Context,
    since: Annotated[str | None, typer.Option("--since", metavar="DURATION", help="How far back.")] = None,
    reference: Annotated[
        str | None, typer.Option("--workload", metavar="WORKLOAD", help="Only about this workload.")
    ] = None,
    limit: Annotated[str | None, typer.Option("--limit", metavar="N", help="Only the newest N entries.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check that no entry was changed or removed.")] = False,
) -> Answer:
    """Show the audit trail, oldest first. With --verify a broken trail is exit code 1."""
    newest = whole_number("--limit", limit) if limit else None
    if newest is not None and newest < 1:
        raise UsageError(f"--limit {newest} is out of range", hint="--limit takes 1 or more")
    ago_s = parse_duration_s(since) if since else None
    with shared.open_world(ctx) as world:
        since_s = None if ago_s is None else world.clock.now_s() - ago_s
        workload = world.journal.find(reference).id if reference else None
        entries = world.journal.audit(since_s=since_s, workload=workload, limit=newest)
        broken_at = world.journal.verify_audit() if verify else None
        simulated = world.simulated
    whole = () if broken_at is None else (StateError(f"the audit trail was changed: entry {broken_at} does not fit"),)
    return Answer(
        audit_data(entries, simulated=simulated, broken_at=broken_at, verified=verify),
        lambda look: audit_text(entries, look, simulated=simulated),
        messages=("the audit trail is whole",) if verify and broken_at is None else (),
        errors=whole,
        exit_code=whole[0].exit_code if whole else 0,
    )
