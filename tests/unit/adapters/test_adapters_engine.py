"""Which engine carries sessions with ssh nodes."""

from __future__ import annotations

import pytest

from gpualloc.adapters.ssh import SshLaunch, SshTarget
from gpualloc.adapters.streaming import engine
from gpualloc.adapters.streaming.asyncssh_dial import AsyncSshDial
from gpualloc.adapters.streaming.engine import WIDE, Engine, chosen_engine, ssh_dial
from gpualloc.adapters.streaming.process_dial import ProcessDial
from gpualloc.errors import ConfigError


@pytest.mark.parametrize(
    ("asked", "nodes", "chosen"),
    [
        (Engine.AUTO, WIDE, Engine.OPENSSH),
        (Engine.AUTO, WIDE + 1, Engine.ASYNCSSH),
        (Engine.OPENSSH, 10_000, Engine.OPENSSH),
        (Engine.ASYNCSSH, 1, Engine.ASYNCSSH),
    ],
)
def test_wide_fleets_are_for_asyncssh_unless_something_else_is_said(asked, nodes, chosen):
    assert chosen_engine(asked, nodes) is chosen


def test_without_asyncssh_it_is_ssh_or_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    assert chosen_engine(Engine.AUTO, 10_000) is Engine.OPENSSH
    with pytest.raises(ConfigError, match="not installed") as caught:
        chosen_engine(Engine.ASYNCSSH, 1)
    assert "gpualloc[asyncssh]" in caught.value.hint


def test_each_engine_has_its_dial():
    launch = SshLaunch(SshTarget("n1"))
    assert isinstance(ssh_dial(launch, Engine.OPENSSH), ProcessDial)
    assert isinstance(ssh_dial(launch, Engine.ASYNCSSH), AsyncSshDial)
