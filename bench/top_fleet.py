"""`gpualloc top` over many nodes that are played by other processes.

As a program, `python bench/top_fleet.py SOCKETS ARGUMENT...`, it is gpualloc itself: everything of it is real, but that
the way to an ssh node leads to a unix socket, by the number in the node's name.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpualloc.adapters.ssh import SshLaunch
    from gpualloc.adapters.streaming.channel import Dial
    from gpualloc.adapters.streaming.engine import Engine

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

SERVERS = 2
MIXES = ("training", "mixed", "serving", "quiet")


@contextmanager
def fleet_scene(nodes: int, film_every_s: float, folder: Path) -> Iterator[tuple[list[str], Mapping[str, str]]]:
    """Arguments of Python that show a fleet of so many nodes, each with eight GPUs, and their environment.

    Args:
        nodes: how many.
        film_every_s: how far apart the readings of the nodes lie, whatever the pace they are told at.
        folder: for everything that is written.
    """
    import fleet_film  # found beside this file

    films = [folder / f"{mix}.film" for mix in MIXES]
    for mix, path in zip(MIXES, films, strict=True):
        path.write_text(fleet_film.record(mix, film_every_s).text())
    sockets = [str(folder / f"{part}.sock") for part in range(SERVERS)]
    servers = []
    try:
        for path in sockets:
            command = [sys.executable, str(HERE / "fleet_nodes.py"), path, *map(str, films)]
            servers.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        for server in servers:
            assert server.stdout is not None
            server.stdout.readline()
        config = folder / "config.toml"
        config.write_text(f'[pools.sim]\nnodes = "sim[0000-{nodes - 1:04d}]"\n')
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        own = {"GPUALLOC_STATE_DIR": str(folder / "state"), "HOME": str(folder)}
        argv = [str(HERE / "top_fleet.py"), ",".join(sockets), "top", "--config", str(config)]
        yield argv, {**inherited, **own}
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def main(sockets: list[str], arguments: list[str]) -> int:
    from gpualloc.adapters.streaming import engine as engines

    def dial(launch: SshLaunch, engine: Engine) -> Dial:  # noqa: ARG001 - of what it stands for
        from fleet_sockets import SocketDial  # found beside this file

        number = int(re.sub(r"\D", "", launch._target.host))
        return SocketDial(sockets[number % len(sockets)], number, "well")

    engines.ssh_dial = dial
    from gpualloc.__main__ import main as run

    sys.argv[1:] = arguments
    return run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1].split(","), sys.argv[2:]))
