"""`gpualloc store`: the size of the history, its upkeep, backups, and what was remembered as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import drawn
from gpualloc.cli.store_export import export
from gpualloc.views.store import (
    backup_data,
    backup_text,
    compacted_data,
    compacted_text,
    figures_data,
    figures_text,
)
from gpualloc.views.text import bar

if TYPE_CHECKING:
    from gpualloc.ports.kept import KeptFiles

app = shared.verb_app(no_args_is_help=True)
app.command()(export)

OneFile = Annotated[str, typer.Argument(metavar="FILE", help="A tar file.")]


@app.callback()
def store() -> None:
    """Look after what gpualloc remembers: size, upkeep, backups, export."""


@app.command()
def stats(ctx: typer.Context) -> Answer:
    """Show how much is kept of what, since when, and what a day of a GPU takes."""
    kept = _kept(ctx)
    figures, folder, simulated = kept.figures(), str(kept.root), kept.simulated
    return Answer(
        figures_data(figures, folder, simulated=simulated),
        lambda look: figures_text(figures, folder, look, simulated=simulated),
    )


@app.command()
def compact(ctx: typer.Context) -> Answer:
    """Pack and roll whatever is over, and give free room back; a sampler goes on meanwhile."""
    kept = _kept(ctx)
    with shared.open_world(ctx) as world:
        now_s = world.clock.now_s()
    with _told() as tell:
        done = kept.compact(now_s, tell)
    return Answer(compacted_data(done, simulated=kept.simulated), lambda _: compacted_text(done))


@app.command()
def backup(ctx: typer.Context, file: OneFile) -> Answer:
    """Write both databases to a tar file as they are now; sampling and applying go on meanwhile."""
    with _told() as tell:
        made = _kept(ctx).back_up(Path(file), tell)
    said = "it holds the values of --env of workloads: keep it as private as the state"
    return Answer(backup_data(made, file), lambda _: backup_text(made, file, restored=False), (said,))


@app.command()
def restore(
    ctx: typer.Context,
    file: OneFile,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace the state that is there.")] = False,
    wait: shared.Wait = None,
) -> Answer:
    """Put the databases of a backup in place of those that are there; nothing else may run on the state."""
    with _told() as tell:
        made = _kept(ctx).restore(Path(file), replace=yes, wait_s=shared.wait_s(wait), tell=tell)
    said = "what ran since is not in it: gpualloc drift tells what is otherwise than it says"
    return Answer(backup_data(made, file), lambda _: backup_text(made, file, restored=True), (said,))


def _kept(ctx: typer.Context) -> KeptFiles:
    from gpualloc.wiring import kept_files

    return kept_files(shared.options(ctx))


@contextmanager
def _told() -> Iterator[Callable[[str, int, int], None]]:
    """A line on stderr with what is being done."""
    with drawn() as line:
        yield lambda what, done, whole: line.draw(f"{bar(done, whole, 20)} {done}/{whole} {what}")
