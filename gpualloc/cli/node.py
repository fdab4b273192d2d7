"""`gpualloc node`: prepare this machine as a node."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.errors import GpuallocError, UsageError
from gpualloc.node.install import install as install_below
from gpualloc.node.install import uninstall as uninstall_below
from gpualloc.node.wire import Refused
from gpualloc.views.text import escape

app = shared.verb_app()

ROOT = "/"


@app.callback()
def node() -> None:
    """Prepare this machine as a node."""


@app.command()
def install(
    run_as: Annotated[
        list[str] | None,
        typer.Option("--run-as", metavar="ACCOUNT", help="Account work may run as beside the caller's; * is any."),
    ] = None,
    sudo_user: Annotated[
        list[str] | None,
        typer.Option("--sudo-user", metavar="ACCOUNT", help="Account or %group to call it; else who called sudo."),
    ] = None,
) -> Answer:
    """Put the program of root's on this machine that `sudo -n` needs for hard limits; needs root."""
    _need_root()
    caller = os.environ.get("SUDO_USER")
    callers = sudo_user or ([caller] if caller and caller != "root" else [])
    try:
        written = install_below(ROOT, run_as or [], callers)
    except Refused as error:
        raise GpuallocError(f"the node program cannot be installed: {error.message}") from error
    except OSError as error:
        raise GpuallocError(f"the node program cannot be installed: {error}") from error
    return Answer({"written": written}, lambda _look: "\n".join(f"wrote {escape(path)}" for path in written))


@app.command()
def uninstall() -> Answer:
    """Take that program away again; state and running work stay. Needs root."""
    _need_root()
    try:
        removed = uninstall_below(ROOT)
    except OSError as error:
        raise GpuallocError(f"the node program cannot be removed: {error}") from error
    return Answer({"removed": removed}, lambda _look: "\n".join(f"removed {escape(path)}" for path in removed))


def _need_root() -> None:
    if os.geteuid() != 0:
        raise UsageError("only root can do this", hint="sudo gpualloc node install")
