"""`gpualloc config`: the configuration in force, where it comes from, whether it is right."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.config.load import Loaded
from gpualloc.config.show import Entry, entries
from gpualloc.views.look import Look
from gpualloc.views.table import Column, table
from gpualloc.views.text import escape

app = shared.verb_app(no_args_is_help=True)

WithOrigin = Annotated[bool, typer.Option("--origin", help="Also show where each value comes from.")]


@app.callback()
def config() -> None:
    """Show the configuration in force, and where it comes from."""


@app.command()
def show(ctx: typer.Context, origin: WithOrigin = False) -> Answer:
    """Show every key with its value."""
    found = entries(_load(ctx))
    return Answer({"entries": [_data(entry) for entry in found]}, lambda look: _text(found, look, origin=origin))


@app.command()
def path(ctx: typer.Context) -> Answer:
    """Show which file is read."""
    file = _load(ctx).file
    name = None if file is None else str(file)
    messages = () if name else ("no configuration file: this machine is the whole fleet",)
    return Answer({"file": name}, lambda _: escape(name or ""), messages)


@app.command()
def check(ctx: typer.Context) -> Answer:
    """Say whether the configuration is right; a wrong one is told about in full."""
    loaded = _load(ctx)
    nodes, pools = len(loaded.config.nodes), len(loaded.config.pools)
    text = f"{loaded.file or 'no file'}: right; nodes: {nodes}, pools: {pools}"
    data = {"file": str(loaded.file) if loaded.file else None, "nodes": nodes, "pools": pools}
    return Answer(data, lambda _: escape(text))


def _load(ctx: typer.Context) -> Loaded:
    from gpualloc.wiring import load_config

    return load_config(shared.options(ctx))


def _data(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "value": entry.value,
        "unit": entry.unit,
        "source": entry.origin.source.value,
        "where": entry.origin.where,
        "line": entry.origin.line or None,
    }


def _text(found: tuple[Entry, ...], look: Look, *, origin: bool) -> str:
    columns = [Column("KEY"), Column("VALUE")]
    rows = [[entry.key, _value(entry)] for entry in found]
    if origin:
        columns.append(Column("FROM"))
        rows = [[*row, escape(str(entry.origin))] for row, entry in zip(rows, found, strict=True)]
    return table(columns, rows, look)


def _value(entry: Entry) -> str:
    if entry.value is None:
        return "-"
    if isinstance(entry.value, str):
        return escape(entry.value)
    value = entry.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = json.dumps(value, ensure_ascii=False)
    return escape(f"{text} {entry.unit}" if entry.unit else text)
