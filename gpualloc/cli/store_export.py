"""`gpualloc store export`: what was remembered, as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer, write
from gpualloc.cli.values import level_named
from gpualloc.cli.whole_file import whole_file
from gpualloc.engine.history_export import Table, rows, table
from gpualloc.errors import UsageError
from gpualloc.model.sample import Level
from gpualloc.model.units import parse_duration_s
from gpualloc.views.store import export_csv

if TYPE_CHECKING:
    from gpualloc.engine.context import Context

CSV, PARQUET = "csv", "parquet"


def export(
    ctx: typer.Context,
    *,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="csv or parquet. [default: csv]")] = CSV,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="METRIC", help="Only this reading; may be given again.")
    ] = None,
    level: Annotated[
        str, typer.Option("--level", metavar="LEVEL", help="raw, minute or hour. [default: raw]")
    ] = Level.RAW.value,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DURATION", help="How far back; all that is kept if left out.")
    ] = None,
    node: Annotated[str | None, typer.Option("--node", metavar="NODE", help="Only this node.")] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file, whole or not at all.")
    ] = None,
) -> Answer | int:
    """Write a row for each series and time; columns have their units in their names, unknown values are empty."""
    if form not in (CSV, PARQUET):
        raise UsageError(f"--format {form} is not known", hint="it is csv or parquet")
    chosen = level_named(level)
    if form == PARQUET and output is None:
        raise UsageError("a Parquet file is not for a terminal or a pipe", hint="name it with -o FILE")
    if shared.given(ctx)["json"] and output is None:
        raise UsageError("--json tells of a file that was written", hint="name it with -o FILE")
    since_s = parse_duration_s(since) if since else None
    with shared.open_world(ctx) as world:
        wanted = table(world, metric or [], chosen, since_s, node)
        if output is None:
            for text in export_csv(wanted.columns, rows(world, wanted), simulated=world.simulated):
                write(text)
            return 0
        count = _to_parquet(world, wanted, Path(output)) if form == PARQUET else _to_csv(world, wanted, Path(output))
        simulated = world.simulated
    data = {"file": output, "rows": count, "simulated": simulated}
    return Answer(data, lambda _: "", (f"{count} rows written to {output}" + (" (simulated)" if simulated else ""),))


def _to_csv(world: Context, wanted: Table, path: Path) -> int:
    count = -1
    with whole_file(path) as put:
        for text in export_csv(wanted.columns, rows(world, wanted), simulated=world.simulated):
            put(text)
            count += text.count("\n")
    return count


def _to_parquet(world: Context, wanted: Table, path: Path) -> int:
    from gpualloc.wiring import parquet_writer

    found = ((at_s, (key.node, key.kind.value, key.key), values) for at_s, key, values in rows(world, wanted))
    return parquet_writer()(path, wanted.columns, found)
