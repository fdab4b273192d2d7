"""Which program carries the sessions with ssh nodes: ssh itself, or asyncssh inside this process."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec

from gpualloc.adapters.ssh import SshLaunch
from gpualloc.adapters.streaming.channel import Dial
from gpualloc.adapters.streaming.process_dial import ProcessDial
from gpualloc.errors import ConfigError

WIDE = 64
"""With more ssh nodes than this, a process for each costs more memory than asyncssh does."""


class Engine(StrEnum):
    """What `ssh.engine` may say."""

    AUTO = "auto"
    """asyncssh for wide fleets where it is installed, else ssh."""
    OPENSSH = "openssh"
    ASYNCSSH = "asyncssh"


def chosen_engine(asked: Engine, ssh_nodes: int) -> Engine:
    """OPENSSH or ASYNCSSH.

    Args:
        asked: what is configured.
        ssh_nodes: how many nodes are watched over ssh.

    Raises:
        ConfigError: asyncssh is asked for and not installed.
    """
    installed = find_spec("asyncssh") is not None
    if asked is Engine.AUTO:
        return Engine.ASYNCSSH if installed and ssh_nodes > WIDE else Engine.OPENSSH
    if asked is Engine.ASYNCSSH and not installed:
        raise ConfigError(
            "ssh.engine is asyncssh, and asyncssh is not installed",
            hint="install it: pip install 'gpualloc[asyncssh]', or leave ssh.engine to auto",
        )
    return asked


def ssh_dial(launch: SshLaunch, engine: Engine) -> Dial:
    """What makes channels to an ssh node with that engine."""
    through_ssh = ProcessDial(launch)
    if engine is not Engine.ASYNCSSH:
        return through_ssh
    from gpualloc.adapters.streaming.asyncssh_dial import AsyncSshDial

    return AsyncSshDial(launch, through_ssh)
