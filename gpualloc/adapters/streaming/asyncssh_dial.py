"""Channels over asyncssh, for wide fleets: no process per node, and ssh itself for every host that needs it.

What is done for a host is what `ssh -G` tells, so that the operator's configuration holds here, too: known hosts, keys,
agent, algorithms, jump hosts, times. What asyncssh cannot do as ssh would (`asyncssh_settings.NeedsSsh`), and a host
that does not let it in, is left to ssh, whose word is the last. No host key is ever taken over, no agent forwarded.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

import asyncssh

from gpualloc.adapters.link import Failure
from gpualloc.adapters.pipe_link import Launch
from gpualloc.adapters.streaming.asyncssh_channel import SSH_FAILED, words
from gpualloc.adapters.streaming.asyncssh_settings import HostSettings, Jump, NeedsSsh, read_settings
from gpualloc.adapters.streaming.asyncssh_way import Way
from gpualloc.adapters.streaming.blocking import in_thread
from gpualloc.adapters.streaming.channel import Channel, Dial

ASK_AGAIN_S = 3600.0
"""A host that did not let asyncssh in is left to ssh for this long."""
_ASK_CONFIG_S = 5.0
_NOT_THERE = (asyncssh.ConnectionLost, asyncssh.ChannelOpenError)
"""Kinds of trouble that say nothing about asyncssh."""


class AsyncSshDial:
    """Opens channels to one node through asyncssh, or through ssh where that is needed.

    Args:
        launch: the ssh command line and what is said at first.
        ssh: makes channels through the ssh program.
    """

    def __init__(self, launch: Launch, ssh: Dial) -> None:
        self.introduction = launch
        self.ssh_reason: str | None = None
        """Why the last channel went through the ssh program; None when it went through asyncssh."""
        self._launch = launch
        self._ssh = ssh
        self._refused_s: float | None = None

    async def open(self, nonce: str) -> Channel | Failure:
        """A new channel, or why there is none; see `Dial.open`."""
        if self._refused_s is None or time.monotonic() - self._refused_s > ASK_AGAIN_S:
            self._refused_s = None
            try:
                opened = await self._open(await in_thread(lambda: self._launch.argv(nonce)))
            except NeedsSsh as why:
                self.ssh_reason = str(why)
            else:
                self.ssh_reason = None
                return opened
        return await self._ssh.open(nonce)

    async def _open(self, argv: Sequence[str]) -> Channel | Failure:
        way = Way()
        try:
            settings = await _asked(argv)
            for jump in settings.jumps:
                between = await _asked(_argv_to(jump, argv, settings.connect_s))
                if between.jumps:
                    raise NeedsSsh("a host to jump through is itself behind another")
                await way.extend(between)
            await way.extend(settings)
            return await way.run(argv[-1], self._launch)
        except (OSError, asyncssh.Error) as error:
            way.abandon()
            return self._failure(error)
        except ValueError as error:
            way.abandon()
            raise NeedsSsh(f"asyncssh does not take it: {error}") from error
        except BaseException:
            way.abandon()
            raise

    def _failure(self, error: OSError | asyncssh.Error) -> Failure:
        """The failure of a host that is not there; of any other kind of trouble ssh itself is asked.

        Raises:
            NeedsSsh: it is there, and does not want to talk to asyncssh.
        """
        if isinstance(error, asyncssh.Error) and not isinstance(error, _NOT_THERE):
            self._refused_s = time.monotonic()
            raise NeedsSsh(f"asyncssh was not let in: {words(error)}") from error
        return self._launch.failure(SSH_FAILED, words(error), None)


async def _asked(argv: Sequence[str]) -> HostSettings:
    """What this ssh command would do.

    Raises:
        NeedsSsh: it cannot be told, or only ssh can do it.
    """
    place = argv.index("--")
    asking = [*argv[:place], "-G", *argv[place : place + 2]]
    try:
        told = await in_thread(
            lambda: subprocess.run(
                asking,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_ASK_CONFIG_S,
                check=False,
                start_new_session=True,
            )
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NeedsSsh("ssh -G does not answer") from error
    if told.returncode != 0:
        raise NeedsSsh("ssh -G does not accept the configuration")
    return read_settings(told.stdout.decode("utf-8", "replace"))


def _argv_to(jump: Jump, argv: Sequence[str], connect_s: int) -> list[str]:
    """The command with which the ssh of `argv` goes to a host to jump through."""
    program = argv[: argv.index("BatchMode=yes") - 1]
    user = ["-l", jump.user] if jump.user is not None else []
    port = ["-p", str(jump.port)] if jump.port is not None else []
    options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={connect_s}"]
    return [*program, *options, *user, *port, "--", jump.host]
