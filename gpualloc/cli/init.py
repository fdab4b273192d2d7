"""`gpualloc init`: look round and write a commented configuration."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.config.files import account_file
from gpualloc.config.settings import local_pools
from gpualloc.config.starter import Surroundings, starter_file
from gpualloc.config.surroundings import controllers_here, ssh_hosts
from gpualloc.errors import ConfigError, UsageError
from gpualloc.views.text import escape

app = shared.verb_app()

Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]
Output = Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; else the usual.")]


@app.command()
def init(force: Force = False, output: Output = None) -> Answer:
    """Look at this machine and your ssh configuration, and write a configuration file to start from."""
    file = Path(output) if output else account_file(os.environ)
    if file.exists() and not force:
        raise UsageError(f"{file} is there already", hint="--force writes over it; --output FILE writes another")
    found = _look_round()
    _write(file, starter_file(found))
    data = {"file": str(file), "gpus": list(found.gpus), "ssh_hosts": list(found.ssh_hosts)}
    hint = f"next: edit it, then `gpualloc config check` and `gpualloc doctor`{_elsewhere(file)}"
    return Answer(data, lambda _: f"wrote {escape(str(file))}", (hint,))


def _look_round() -> Surroundings:
    from gpualloc.wiring import local_node

    node = local_node()
    return Surroundings(
        node=local_pools(os.uname().nodename)[0].nodes[0],
        gpus=tuple(device.model for device in node.devices),
        no_gpus=node.nvml_reason or node.reason,
        ssh_hosts=ssh_hosts(Path.home() / ".ssh" / "config"),
        controllers=tuple(dict.fromkeys((*controllers_here(), *node.other_controllers))),
    )


def _write(file: Path, text: str) -> None:
    """Put the file in place as a whole."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise ConfigError(f"{file} cannot be written: {error.strerror}", hint="name another with --output") from error


def _elsewhere(file: Path) -> str:
    return "" if file == account_file(os.environ) else f" with --config {file}"
