"""`gpualloc node`: prepare this machine as a node."""

from __future__ import annotations

import os

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.errors import GpuallocError, UsageError

app = shared.verb_app()


@app.callback()
def node() -> None:
    """Prepare this machine as a node."""


@app.command()
def install() -> Answer:
    """Put the root-owned node program on this machine, so that `sudo -n` can reach hard limits; needs root."""
    if os.geteuid() != 0:
        raise UsageError("only root can install the node program", hint="sudo gpualloc node install")
    from gpualloc.node.install import install as install_node

    try:
        lines = install_node()
    except OSError as error:
        raise GpuallocError(f"the node program cannot be installed: {error}") from error
    return Answer({"installed": lines}, lambda _look: "\n".join(lines))
