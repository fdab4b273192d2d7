"""`gpualloc assess`: what GPUs did, what was wasted, and what could have been saved; nothing is touched."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer, reached_code
from gpualloc.errors import UsageError
from gpualloc.model.units import number

DAY_S = 86_400.0
MAX_DAYS = 366

app = shared.verb_app()


@app.command()
def assess(
    ctx: typer.Context,
    *,
    days: Annotated[str, typer.Option("--days", metavar="N", help="How far to look back. [default: 7]")] = "7",
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Also write a page with charts.")] = None,
) -> Answer:
    """Tell from what was sampled how GPUs were used, what was wasted, and what gpualloc could have saved."""
    asked_s = _asked_s(days)
    with shared.open_world(ctx, looks=True) as world:
        # This machine gets ready while these are imported.
        from gpualloc.cli.progress import counted, nodes_seen
        from gpualloc.cli.whole_file import whole_files
        from gpualloc.engine.assess import assess as look_back
        from gpualloc.engine.observe import look
        from gpualloc.views.assess import assessment_text
        from gpualloc.views.assess_data import assessment_data
        from gpualloc.views.assess_page import assessment_page
        from gpualloc.views.envelope import unreached

        with whole_files(html) as (put,):
            with nodes_seen(world) as progress:
                snapshot = look(world, progress=progress)
            total = sum(len(node.devices) for node in snapshot.nodes)
            with counted(total, "GPUs") as read:
                report = look_back(world, snapshot, asked_s, read)
            if put is not None:
                put(assessment_page(report))
    return Answer(
        assessment_data(report),
        lambda screen: assessment_text(report, screen),
        errors=unreached(snapshot),
        exit_code=reached_code(snapshot),
    )


def _asked_s(text: str) -> float:
    days = number("--days", text)
    if not 0 < days <= MAX_DAYS:
        raise UsageError(f"--days {text} is out of range", hint=f"more than 0, at most {MAX_DAYS}")
    return days * DAY_S
