"""Options that several kinds of simulation take, declared once."""

from __future__ import annotations

from typing import Annotated

import typer

Nodes = Annotated[str, typer.Option("--nodes", metavar="FILE", help="Nodes of the trace (docs/traces.md).")]
Tasks = Annotated[str, typer.Option("--tasks", metavar="FILE", help="Tasks of the trace (docs/traces.md).")]
Arrivals = Annotated[
    str | None, typer.Option("--arrivals", metavar="FILE", help="Orders of arrival: a numpy archive (.npz).")
]
Key = Annotated[str | None, typer.Option("--key", metavar="NAME", help="Which order of the archive.")]
OrderFile = Annotated[
    str | None, typer.Option("--order", metavar="FILE", help="Order of arrival: one task row on each line.")
]
Seed = Annotated[
    str | None,
    typer.Option("--seed", metavar="N", help="Draw the order from this; with a file of it, for the policy alone."),
]
Load = Annotated[str, typer.Option("--load", metavar="PART", help="GPU demand to draw, as a part of all GPUs.")]
PolicyName = Annotated[str, typer.Option("--policy", metavar="POLICY", help="Decide with this policy.")]
ProfileFile = Annotated[
    str | None, typer.Option("--profile", metavar="FILE", help="Saved weights of the policy's scorers.")
]
