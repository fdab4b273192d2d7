"""Two real sshd as nodes, shared by the tests of a module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.scripted_node import scripted_archive
from fakes.sshd_farm import FarmNode, SshdFarm, sshd_farm

from gpualloc.adapters.pipe_link import PipeLink
from gpualloc.adapters.ssh import SshLaunch, SshTarget

MakeLink = Callable[..., PipeLink]


@pytest.fixture(scope="module")
def farm() -> Iterator[SshdFarm]:
    with sshd_farm(["n1", "n2"]) as farm:
        yield farm


@pytest.fixture
def sockets(farm: SshdFarm) -> Iterator[Path]:
    """A folder of its own for control sockets, short enough for their paths."""
    folder = farm.folder / f"s{os.getpid()}{len(list(farm.folder.iterdir()))}"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def link_to(sockets: Path) -> Iterator[MakeLink]:
    """Makes links to farm nodes that run the scripted node program; closes them at the end."""
    links: list[PipeLink] = []

    def make(node: FarmNode, **more: object) -> PipeLink:
        wanted = {"host": node.host, "user": node.user, "port": node.port, "options": node.options, **more}
        launch = SshLaunch(SshTarget(**wanted), archive=scripted_archive, runtime_dir=sockets)
        links.append(PipeLink(node.name, launch))
        return links[-1]

    yield make
    for link in links:
        link.close()
