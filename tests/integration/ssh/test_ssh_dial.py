"""Channels to real sshd, through ssh and through asyncssh alike: the conversation, and each way it fails or ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.scripted_node import scripted_archive
from fakes.sshd_farm import FarmNode, sshd_farm

from gpualloc.adapters.handshake import Handshake
from gpualloc.adapters.link import Failure
from gpualloc.adapters.ssh import SshLaunch, SshTarget
from gpualloc.adapters.streaming.asyncssh_dial import AsyncSshDial
from gpualloc.adapters.streaming.channel import Channel, Dial
from gpualloc.adapters.streaming.lines import Lines
from gpualloc.adapters.streaming.process_dial import ProcessDial
from gpualloc.model.inventory import NodeState
from gpualloc.node.wire import decode, encode, request

DEADLINE_S = 60.0
QUICK = (("ServerAliveInterval", "1"), ("ServerAliveCountMax", "2"), ("ConnectTimeout", "3"))


def launch_to(node: FarmNode, *options: tuple[str, str], ssh: str = "ssh") -> SshLaunch:
    target = SshTarget(node.host, node.user, node.port, (*options, *node.options), (ssh,))
    return SshLaunch(target, archive=scripted_archive, shared=False)


def asyncssh_dial(node: FarmNode, *options: tuple[str, str], ssh: str = "ssh") -> AsyncSshDial:
    launch = launch_to(node, *options, ssh=ssh)
    return AsyncSshDial(launch, ProcessDial(launch))


def process_dial(node: FarmNode, *options: tuple[str, str]) -> ProcessDial:
    return ProcessDial(launch_to(node, *options))


@pytest.fixture(params=[process_dial, asyncssh_dial], ids=["ssh", "asyncssh"])
def dial_to(request):
    """Makes dials of one engine."""
    return request.param


class Talk:
    """A channel on which the scripted node program was heard."""

    def __init__(self, channel: Channel, lines: Lines, handshake: Handshake) -> None:
        self.channel = channel
        self.lines = lines
        self._handshake = handshake

    async def ask(self, verb: str, **args: object) -> dict:
        self.channel.write(encode(request(1, verb, args)))
        return decode(await self.lines.next())["ok"]

    async def end(self) -> Failure:
        with contextlib.suppress(EOFError):
            while True:
                await self.lines.next()
        return await self.channel.ended(self._handshake.last_mark)


@contextlib.asynccontextmanager
async def talk(dial: Dial) -> AsyncIterator[Talk]:
    """As the stream does it, until the node program speaks; what cannot be is raised as `Refusal`."""
    async with asyncio.timeout(DEADLINE_S):
        nonce = os.urandom(8).hex()
        handshake = Handshake(nonce, dial.introduction)
        channel = await dial.open(nonce)
        if isinstance(channel, Failure):
            raise Refusal(channel)
        try:
            lines = Lines(channel)
            channel.write(dial.introduction.greeting(nonce))
            while not handshake.done:
                try:
                    reply = handshake.hear(await lines.next())
                except EOFError:
                    raise Refusal(await channel.ended(handshake.last_mark)) from None
                if isinstance(reply, Failure):
                    raise Refusal(reply)
                channel.write(reply)
            yield Talk(channel, lines, handshake)
        finally:
            await channel.close()


class Refusal(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.state.value}: {failure.reason}")
        self.failure = failure


async def refusal(dial: Dial) -> Failure:
    with pytest.raises(Refusal) as caught:
        async with talk(dial):
            pass
    return caught.value.failure


# ---- both engines


async def test_a_node_answers_as_the_account_that_was_configured(farm, dial_to):
    dial = dial_to(farm["n1"])
    async with talk(dial) as node:
        answer = await node.ask("echo", x=1)
    assert (answer["args"], answer["uid"]) == ({"x": 1}, farm["n1"].folder.stat().st_uid)
    assert getattr(dial, "ssh_reason", None) is None


async def test_the_archive_is_sent_once(farm, dial_to):
    for _ in range(2):
        async with talk(dial_to(farm["n2"])) as node:
            await node.ask("echo")
    assert len(list((farm["n2"].cache / "gpualloc").glob("node-*"))) == 1


async def test_what_is_not_read_is_not_taken_and_comes_whole_later(farm, dial_to):
    text = "x" * 100_000
    async with talk(dial_to(farm["n1"])) as node:
        for number in range(100):
            node.channel.write(encode(request(number, "echo", {"text": text})))
        for number in range(100):
            answer = decode(await node.lines.next())
            assert (answer["id"], answer["ok"]["args"]) == (number, {"text": text})
            if number % 10 == 0:
                await asyncio.sleep(0)


@pytest.mark.root
async def test_noise_of_a_login_shell_is_skipped(dial_to):
    noise = ["Welcome", "GPUALLOC-NODE 3 0000000000000000", '{"id":1,"ok":{}}']
    lines = [*(f"echo {shlex.quote(line)}" for line in noise), "echo oops >&2", "printf 'no end'"]
    with sshd_farm(["n"]) as farm:
        shell = farm.folder / "shell"
        shell.write_text("\n".join(["#!/bin/sh", *lines, 'exec /bin/sh "$@"', ""]))
        shell.chmod(0o755)
        subprocess.run(["usermod", "-s", str(shell), farm["n"].user], check=True)
        async with talk(dial_to(farm["n"])) as node:
            assert (await node.ask("echo", x=1))["args"] == {"x": 1}


async def test_a_host_whose_key_is_not_known_is_not_talked_to(dial_to):
    with sshd_farm(["n"]) as farm:
        farm["n"].forget_host_key()
        failure = await refusal(dial_to(farm["n"]))
    assert (failure.state, failure.reason.split(" (")[0]) == (NodeState.HOST_KEY, "its host key is not known")


async def test_a_host_with_another_key_than_the_known_one_is_not_talked_to(dial_to):
    with sshd_farm(["n", "other"]) as farm:
        farm["n"].mistake_host_key(farm["other"])
        failure = await refusal(dial_to(farm["n"]))
    assert (failure.state, failure.reason.split(" (")[0]) == (NodeState.HOST_KEY, "its host key is not the known one")


async def test_a_key_that_is_not_accepted_is_a_refused_login(farm, dial_to, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    options = (("IdentityFile", str(tmp_path / "other")), ("IdentityAgent", "none"))
    failure = await refusal(dial_to(without_files(farm["n1"]), *options))
    assert (failure.state, failure.reason.split(" (")[0]) == (NodeState.AUTH_FAILED, "the login was refused")
    assert "ssh -o BatchMode=yes" in failure.hint


async def test_where_no_sshd_runs_the_connection_is_refused(dial_to):
    with sshd_farm(["n"]) as farm:
        farm["n"].stop()
        failure = await refusal(dial_to(farm["n"]))
    assert (failure.state, failure.reason.split(" (")[0]) == (NodeState.UNREACHABLE, "connection refused")


async def test_a_name_that_nobody_knows_is_said_so(farm, dial_to):
    failure = await refusal(dial_to(farm["n1"], ("HostName", "no-such-host.invalid")))
    assert (failure.state, failure.reason.split(" (")[0]) == (NodeState.UNREACHABLE, "its host name is not known")


async def test_an_sshd_that_says_nothing_is_given_up(dial_to):
    with sshd_farm(["n"]) as farm:
        farm["n"].freeze()
        failure = await refusal(dial_to(farm["n"], *QUICK))
    assert (failure.state, failure.reason.split(" (")[0]) == (NodeState.UNREACHABLE, "connection timed out")


async def test_a_cut_connection_is_a_lost_one(dial_to):
    with sshd_farm(["n"]) as farm:
        async with talk(dial_to(farm["n"])) as node:
            await node.ask("echo")
            farm["n"].cut()
            failure = await node.end()
    assert (failure.state, failure.reason.split(" (")[0]) == (NodeState.UNREACHABLE, "the connection was lost")


async def test_a_frozen_node_is_noticed_by_the_questions_whether_it_lives_and_let_go_of_at_once(dial_to):
    with sshd_farm(["n"]) as farm:
        async with talk(dial_to(farm["n"], *QUICK)) as node:
            await node.ask("echo")
            farm["n"].freeze()
            failure = await node.end()
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 10
    assert (failure.state, failure.reason.split(" (")[0]) == (NodeState.UNREACHABLE, "the connection was lost")


async def test_a_node_program_that_ends_says_how(farm, dial_to):
    async with talk(dial_to(farm["n1"])) as node:
        node.channel.write(encode(request(1, "die", {"status": 3, "last_words": "first\nno room\n\n"})))
        failure = await node.end()
    assert failure.state is NodeState.FAILED
    assert "status 3" in failure.reason
    assert "no room" in failure.reason


async def test_what_runs_on_the_node_ends_with_the_channel(dial_to):
    with sshd_farm(["n"]) as farm:
        async with talk(dial_to(farm["n"])) as node:
            await node.ask("echo")
            assert farm["n"].programs()
        await gone(farm["n"])


async def test_a_hung_node_program_is_let_go_of(dial_to):
    with sshd_farm(["n"]) as farm:
        async with talk(dial_to(farm["n"])) as node:
            pid = (await node.ask("echo"))["pid"]
            os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGCONT)
        await gone(farm["n"])


# ---- asyncssh alone


@pytest.fixture
def agent(tmp_path):
    """The socket of an agent without keys."""
    path = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    while not Path(path).exists():
        time.sleep(0.01)
    yield path
    process.terminate()
    process.wait()


def add_to(agent: str, key: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(key)], env={**os.environ, "SSH_AUTH_SOCK": agent}, check=True)


@pytest.mark.root
async def test_no_agent_is_forwarded_whatever_the_configuration_says(agent):
    with sshd_farm(["n"]) as farm:
        options = (("ForwardAgent", "yes"), ("IdentityAgent", agent))
        async with talk(asyncssh_dial(farm["n"], *options)) as node:
            pid = (await node.ask("echo"))["pid"]
            assert b"SSH_AUTH_SOCK" not in Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_key_of_the_agent_is_enough(farm, agent):
    add_to(agent, farm.folder / "id")
    files = (("IdentityFile", "none"), ("IdentitiesOnly", "no"), ("IdentityAgent", agent))
    dial = asyncssh_dial(without_files(farm["n1"]), *files)
    async with talk(dial) as node:
        await node.ask("echo")
    assert dial.ssh_reason is None


async def test_of_an_agent_only_the_keys_of_identity_files_are_used_where_that_is_configured(farm, agent, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    add_to(agent, farm.folder / "id")
    node = without_files(farm["n1"])
    options = (("IdentitiesOnly", "yes"), ("IdentityAgent", agent))
    dial = asyncssh_dial(node, *options, ("IdentityFile", str(tmp_path / "other")))
    assert (await refusal(dial)).state is NodeState.AUTH_FAILED
    assert "not let in" in dial.ssh_reason
    (tmp_path / "id.pub").write_bytes((farm.folder / "id.pub").read_bytes())
    dial = asyncssh_dial(node, *options, ("IdentityFile", str(tmp_path / "id")))
    async with talk(dial) as answering:
        await answering.ask("echo")
    assert dial.ssh_reason is None


def without_files(node: FarmNode) -> FarmNode:
    """The same node, without its own words about keys and agents."""
    options = tuple(pair for pair in node.options if not pair[0].startswith("Identit"))
    return FarmNode(node.name, node.user, node.folder, options, node.environment, port=node.port)


@pytest.mark.parametrize("unusable", ["passphrase", "exposed", "missing"])
async def test_without_a_key_it_may_use_the_host_is_left_to_ssh(farm, tmp_path, unusable):
    key = tmp_path / "id"
    if unusable != "missing":
        key.write_bytes((farm.folder / "id").read_bytes())
        key.chmod(0o600)
    if unusable == "passphrase":
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(key)], check=True)
    if unusable == "exposed":
        key.chmod(0o644)
    dial = asyncssh_dial(without_files(farm["n1"]), ("IdentityFile", str(key)), ("IdentityAgent", "none"))
    assert (await refusal(dial)).state is NodeState.AUTH_FAILED
    assert "no key" in dial.ssh_reason


async def test_what_only_ssh_can_do_is_left_to_ssh_and_said(farm):
    dial = asyncssh_dial(farm["n1"], ("CheckHostIP", "yes"))
    async with talk(dial) as node:
        assert (await node.ask("echo", x=1))["args"] == {"x": 1}
    assert dial.ssh_reason == "checkhostip is yes"


async def test_a_host_that_refused_asyncssh_is_left_to_ssh_for_a_while(farm, tmp_path, monkeypatch):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    options = (("IdentityFile", str(tmp_path / "other")), ("IdentityAgent", "none"))
    dial = asyncssh_dial(without_files(farm["n1"]), *options)
    assert (await refusal(dial)).state is NodeState.AUTH_FAILED
    asked = []
    monkeypatch.setattr(dial._launch, "argv", lambda nonce: asked.append(nonce) or ["false"])
    await refusal(dial)
    assert len(asked) == 1  # by the channel through ssh alone


@pytest.mark.parametrize("certified", [False, True])
async def test_host_keys_are_taken_from_the_files_that_ssh_would_read(farm, tmp_path, certified):
    node = farm["n1"]
    known = tmp_path / "known"
    known.write_text((farm.folder / "n1.known_hosts").read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    assert known.read_text().startswith("|1|")
    if certified:
        public = (farm.folder / "n2.key.pub").read_text()
        known.write_text(f"{known.read_text()}@cert-authority *{node.host}* {public}")
    dial = asyncssh_dial(node, ("UserKnownHostsFile", str(known)))
    async with talk(dial) as answering:
        await answering.ask("echo")
    assert (dial.ssh_reason is None) is not certified


async def test_a_revoked_host_key_is_not_taken(farm, tmp_path):
    line = (farm.folder / "n1.known_hosts").read_text()
    known = tmp_path / "known"
    known.write_text(f"{line}@revoked {line}")
    dial = asyncssh_dial(farm["n1"], ("UserKnownHostsFile", str(known)))
    assert (await refusal(dial)).state is NodeState.HOST_KEY
    assert "revoked" in dial.ssh_reason


async def test_a_host_behind_another_is_reached_through_it(farm, tmp_path):
    inner, outer = farm["n1"], farm["n2"]
    options = "".join(f"  {key} {value}\n" for key, value in outer.options)
    config = tmp_path / "config"
    config.write_text(f"Host between\n  HostName {outer.host}\n  Port {outer.port}\n  User {outer.user}\n{options}")
    config.chmod(0o600)
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec ssh -F {config} "$@"\n')
    ssh.chmod(0o755)
    before = outer.connections()
    dial = asyncssh_dial(inner, ("ProxyJump", "between"), ssh=str(ssh))
    async with talk(dial) as node:
        await node.ask("echo")
        assert outer.connections() - before
    assert dial.ssh_reason is None
    config.write_text(config.read_text() + "  ProxyJump elsewhere\n")
    dial = asyncssh_dial(inner, ("ProxyJump", "between"), ("ConnectTimeout", "2"), ssh=str(ssh))
    await refusal(dial)
    assert "behind another" in dial.ssh_reason


async def gone(node: FarmNode) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while node.programs():
            await asyncio.sleep(0.02)
