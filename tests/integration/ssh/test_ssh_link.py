"""The ssh link against real sshd: the first contact, the next one, and each way a node can fail to answer."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from fakes.scripted_node import scripted_archive
from fakes.sshd_farm import sshd_farm

from gpualloc.adapters.link import LinkCutError, LinkDownError
from gpualloc.adapters.pipe_link import PipeLink
from gpualloc.adapters.ssh import REMOTE_COMMAND, SshLaunch, SshTarget
from gpualloc.model.inventory import NodeState
from gpualloc.node.wire import request

DEADLINE_S = 60.0
ECHO = request(1, "echo", {"x": 1})


def ask(link: PipeLink, deadline_s: float = DEADLINE_S) -> dict:
    return link.exchange([ECHO], deadline_s)[0]["ok"]


def test_a_node_answers_as_the_account_that_was_configured(farm, link_to):
    answer = ask(link_to(farm["n1"]))
    assert answer["args"] == {"x": 1}
    assert answer["uid"] == farm["n1"].folder.stat().st_uid


def test_the_archive_is_sent_once_and_cached_privately(farm, link_to):
    node = farm["n2"]
    ask(link_to(node))
    (cached,) = (node.cache / "gpualloc").glob("node-*")
    assert cached.stat().st_mode & 0o777 == 0o700
    made = (cached / "gpualloc/node/__main__.py").stat().st_ino
    ask(link_to(node))
    assert (cached / "gpualloc/node/__main__.py").stat().st_ino == made
    assert not list((node.cache / "gpualloc").glob("new-*"))


def test_a_cache_that_others_can_write_is_not_run(farm, link_to):
    node = farm["n1"]
    ask(link_to(node))
    (cached,) = (node.cache / "gpualloc").glob("node-*")
    cached.chmod(0o777)
    try:
        with pytest.raises(LinkDownError, match="belongs to someone else") as caught:
            ask(link_to(node))
    finally:
        cached.chmod(0o700)
    assert caught.value.failure.state is NodeState.FAILED


def test_without_a_writable_cache_the_program_runs_from_a_folder_that_goes_away(link_to):
    with sshd_farm(["n"], {"n": {"XDG_CACHE_HOME": "/proc/nothing"}}) as farm:
        spare = Path(farm.folder / "n" / "tmp")
        spare.mkdir()
        os.chown(spare, farm["n"].folder.stat().st_uid, -1)
        farm["n"].restart(TMPDIR=str(spare))
        link = link_to(farm["n"])
        ask(link)
        assert len(list(spare.iterdir())) == 1
        link.close()
        wait_until(lambda: not list(spare.iterdir()))


def test_several_requests_travel_together_and_come_back_in_order(farm, link_to):
    answers = link_to(farm["n1"]).exchange([request(n, "echo", {"n": n}) for n in range(50)], DEADLINE_S)
    assert [answer["ok"]["args"]["n"] for answer in answers] == list(range(50))


@pytest.mark.root
def test_noise_of_a_login_shell_is_skipped_marks_of_others_included(link_to):
    noise = ["Welcome", "GPUALLOC-NODE 3 0000000000000000", "GPUALLOC-STUB no-python 0000", '{"id":1,"ok":{}}']
    lines = [*(f"echo {shlex.quote(line)}" for line in noise), "echo oops >&2", "printf 'no end'"]
    with sshd_farm(["n"]) as farm:
        shell = farm.folder / "shell"
        shell.write_text("\n".join(["#!/bin/sh", *lines, 'exec /bin/sh "$@"', ""]))
        shell.chmod(0o755)
        subprocess.run(["usermod", "-s", str(shell), farm["n"].user], check=True)
        assert ask(link_to(farm["n"]))["args"] == {"x": 1}


@pytest.mark.root
@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash", "/bin/csh", "/bin/tcsh", "/usr/bin/fish", "/bin/zsh"])
def test_the_command_passes_through_every_login_shell(shell, link_to):
    if not os.path.exists(shell):
        pytest.skip(f"{shell} is not here")
    with sshd_farm(["n"], shell=shell) as farm:
        assert ask(link_to(farm["n"]))["args"] == {"x": 1}


def test_no_python3_is_a_state_with_what_to_do(link_to):
    with sshd_farm(["n"]) as farm:
        bare = farm.folder / "bare"
        bare.mkdir(mode=0o755)
        farm["n"].restart(PATH=str(bare))
        with pytest.raises(LinkDownError, match="none found") as caught:
            ask(link_to(farm["n"]))
    assert caught.value.failure.state is NodeState.NO_PYTHON
    assert caught.value.hint


def test_a_python3_without_its_library_is_passed_over(link_to):
    with sshd_farm(["n"]) as farm:
        bare = farm.folder / "bare"
        bare.mkdir(mode=0o755)
        python3 = bare / "python3"
        python3.write_text("#!/bin/sh\nexit 97\n")
        python3.chmod(0o755)
        farm["n"].restart(PATH=str(bare))
        with pytest.raises(LinkDownError, match="only python3, without") as caught:
            ask(link_to(farm["n"]))
    assert caught.value.failure.state is NodeState.NO_PYTHON


class ShellLaunch(SshLaunch):
    """The command that ssh nodes get, run by a shell here."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(SshTarget("localhost"), archive=scripted_archive)
        self._environment = [f"{key}={value}" for key, value in environment.items()]

    def argv(self, nonce):
        return ["env", *self._environment, "/bin/sh", "-c", REMOTE_COMMAND]


def test_python_3_6_is_enough(tmp_path):
    old = next(map(str, Path.home().glob(".pyenv/versions/3.6*/bin/python3.6")), None) or shutil.which("python3.6")
    if old is None:
        pytest.skip("no Python 3.6 here")
    (tmp_path / "python3").symlink_to(old)
    link = PipeLink("n", ShellLaunch({"PATH": f"{tmp_path}:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache")}))
    assert ask(link)["python"] == [3, 6]
    link.close()


def test_an_unknown_host_key(farm, link_to):
    node = farm["n1"]
    known = farm.folder / "n1.known_hosts"
    text = known.read_text()
    node.forget_host_key()
    try:
        with pytest.raises(LinkDownError, match="host key is not known") as caught:
            ask(link_to(node))
    finally:
        known.write_text(text)
    assert caught.value.failure.state is NodeState.HOST_KEY
    assert "ssh -p" in (caught.value.hint or "")


def test_a_changed_host_key(farm, link_to):
    node = farm["n1"]
    known = farm.folder / "n1.known_hosts"
    text = known.read_text()
    node.mistake_host_key(farm["n2"])
    try:
        with pytest.raises(LinkDownError, match="not the known one") as caught:
            ask(link_to(node))
    finally:
        known.write_text(text)
    assert caught.value.failure.state is NodeState.HOST_KEY


def test_a_refused_login(farm, link_to):
    without_key = tuple(pair for pair in farm["n1"].options if pair[0] != "IdentityFile")
    with pytest.raises(LinkDownError, match="login was refused") as caught:
        ask(link_to(farm["n1"], options=(*without_key, ("IdentityFile", "/nonexistent"))))
    assert caught.value.failure.state is NodeState.AUTH_FAILED


def test_a_refused_port(farm, link_to):
    with pytest.raises(LinkDownError, match="connection refused") as caught:
        ask(link_to(farm["n1"], port=1))
    assert caught.value.failure.state is NodeState.UNREACHABLE


def test_an_unknown_host_name(farm, link_to):
    with pytest.raises(LinkDownError, match="host name is not known") as caught:
        ask(link_to(farm["n1"], host="no-such-host.invalid"))
    assert caught.value.failure.state is NodeState.UNREACHABLE


def test_a_connection_cut_in_the_middle_of_a_call_leaves_the_outcome_unknown(farm, link_to):
    node = farm["n2"]
    link = link_to(node)
    ask(link)
    reached = node.folder / "reached"

    def cut() -> None:
        wait_until(reached.exists)
        node.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    with pytest.raises(LinkCutError, match="connection was lost") as caught:
        link.exchange([request(2, "hang", {"file": str(reached)})], DEADLINE_S)
    cutter.join()
    assert caught.value.failure.state is NodeState.UNREACHABLE
    wait_until(lambda: can_ask(link))


def test_an_idle_connection_that_was_cut_is_made_anew(farm, link_to):
    node = farm["n2"]
    link = link_to(node)
    first = ask(link)["pid"]
    node.cut()
    wait_until(lambda: can_ask(link))
    assert ask(link)["pid"] != first
    assert link.connection >= 2


def test_a_stopped_node_program_is_given_up_at_the_deadline(farm, link_to):
    link, other = link_to(farm["n1"]), link_to(farm["n2"])
    pid = ask(link)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(LinkCutError, match="did not answer in time") as caught:
            ask(link, deadline_s=1.0)
        assert ask(other)["args"] == {"x": 1}
        wait_until(lambda: can_ask(link))
    finally:
        os.kill(pid, signal.SIGKILL)
    assert caught.value.failure.state is NodeState.HUNG


def test_links_to_one_node_share_a_connection(farm, link_to, sockets):
    ask(link_to(farm["n1"]))
    (socket,) = sockets.iterdir()
    assert socket.is_socket()
    assert len(os.fsencode(socket)) <= 100
    connections = farm["n1"].connections()
    ask(link_to(farm["n1"]))
    assert farm["n1"].connections() == connections


def test_a_control_path_of_the_operators_own_is_left_alone(farm, link_to, sockets):
    node = farm["n1"]
    ask(link_to(node, options=(*node.options, ("ControlPath", "/nonexistent/%C"), ("ControlMaster", "no"))))
    assert not list(sockets.iterdir())


def can_ask(link: PipeLink) -> bool:
    try:
        ask(link)
    except (LinkCutError, LinkDownError):
        return False
    return True


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.05)
