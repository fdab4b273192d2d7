"""`gpualloc completion`: print the completion file of a shell."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.completions import SHELLS, render
from gpualloc.cli.outcome import Answer
from gpualloc.errors import UsageError

app = shared.verb_app()


@app.command()
def completion(shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> Answer:
    """Print what makes the shell complete verbs, options, nodes, workloads and policies."""
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for the shell {shell!r}", hint=f"known: {', '.join(SHELLS)}")
    script = render(shell)
    return Answer({"shell": shell, "script": script}, lambda _look: script.rstrip("\n"))
