"""What runs on an ssh node before the node program does, by the very command that ssh gets."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import time

import pytest
from fakes.scripted_node import scripted_archive
from msgspec import structs

from gpualloc.adapters.link import Failure
from gpualloc.adapters.loader import KEEP_S, installed_program
from gpualloc.adapters.ssh import REMOTE_COMMAND, SshLaunch, SshTarget
from gpualloc.errors import ConfigError
from gpualloc.model.inventory import NodeState

NONCE = "0123456789abcdef"


class Contact:
    """One login: the greeting is sent, the archive when it is asked for, then stdin ends."""

    def __init__(self, home, archive=None, **environment):
        launch = SshLaunch(SshTarget("n"), archive=lambda: archive or scripted_archive())
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), **environment}
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", REMOTE_COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        said, self.error = self.process.communicate(launch.greeting(NONCE) + launch.reply("need", ""), timeout=60)
        self.marks = re.findall(rf"GPUALLOC-STUB (\S+) {NONCE}", said.decode())
        self.started = f"GPUALLOC-NODE 3 {NONCE}" in said.decode()


def test_the_program_is_asked_for_once(tmp_path):
    first, second = Contact(tmp_path), Contact(tmp_path)
    assert (first.marks, first.started) == (["shell", "need"], True)
    assert second.marks == ["shell", "have"]


def test_it_is_cached_below_the_home_for_its_owner_only(tmp_path):
    Contact(tmp_path)
    (cached,) = (tmp_path / ".cache" / "gpualloc").iterdir()
    assert cached.name == f"node-{scripted_archive().digest}"
    assert stat.S_IMODE(cached.stat().st_mode) == 0o700


def test_a_damaged_archive_is_not_unpacked(tmp_path):
    archive = scripted_archive()
    damaged = type(archive)(archive.data, hashlib.sha256(b"other").hexdigest())
    contact = Contact(tmp_path, damaged)
    assert not contact.started
    assert b"arrived damaged" in contact.error
    assert not list((tmp_path).rglob("node-*"))


def test_versions_that_nobody_used_for_long_are_removed(tmp_path):
    cache = tmp_path / ".cache" / "gpualloc"
    for name, age_s in (("node-old", KEEP_S + 60), ("node-young", KEEP_S - 60), ("other-old", KEEP_S + 60)):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (time.time() - age_s, time.time() - age_s))
    Contact(tmp_path)
    assert {path.name for path in cache.iterdir()} == {f"node-{scripted_archive().digest}", "node-young", "other-old"}


def test_a_contact_keeps_the_version_it_uses_young(tmp_path):
    Contact(tmp_path)
    (cached,) = (tmp_path / ".cache" / "gpualloc").iterdir()
    os.utime(cached, (0, 0))
    Contact(tmp_path)
    assert time.time() - cached.stat().st_mtime < 3600


def test_a_home_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "spare").mkdir()
    contact = Contact("/proc/nothing", TMPDIR=str(tmp_path / "spare"))
    assert contact.started
    assert not list((tmp_path / "spare").iterdir())


def test_a_head_that_goes_away_is_noticed(tmp_path):
    done = subprocess.run(
        ["/bin/sh", "-c", REMOTE_COMMAND],
        input=b"abc\n",
        capture_output=True,
        env={"PATH": "/usr/bin:/bin"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert b"GPUALLOC-STUB shell abc" in done.stdout


def test_the_command_means_the_same_to_every_login_shell():
    inside = REMOTE_COMMAND.removeprefix("exec /bin/sh -c '").removesuffix("'")
    assert not set(inside) & set("'!\\\n")
    assert len(REMOTE_COMMAND) < 1000


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "a;b", "", "ä", "a/b", "a\n"])
def test_a_host_name_cannot_be_an_option_or_a_command(host):
    with pytest.raises(ConfigError):
        SshTarget(host)


def test_what_the_configuration_says_reaches_ssh_as_arguments_of_its_own(tmp_path):
    target = SshTarget("gpu1", user="ada", port=2222, options=(("ProxyJump", "a b;c"), ("BatchMode", "no")))
    target = structs.replace(target, command=("/usr/bin/ssh", "-F", "none"))
    argv = SshLaunch(target, runtime_dir=tmp_path / ("long" * 30)).argv(NONCE)
    assert argv[2:7] == ["/usr/bin/ssh", "-F", "none", "-o", "BatchMode=yes"]
    assert "ProxyJump=a b;c" in argv
    assert argv[-3:] == ["--", "gpu1", REMOTE_COMMAND]
    assert not any(part.startswith("ControlPath") for part in argv)


def test_python_missing_is_told_with_what_was_tried():
    failure = SshLaunch(SshTarget("n")).reply("no-python", "python3 python3.9")
    assert isinstance(failure, Failure)
    assert failure.state is NodeState.NO_PYTHON
    assert "only python3 python3.9" in failure.reason


def test_root_needs_no_other_program(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "program").write_text("")
    assert installed_program(NONCE, str(tmp_path / "program")) is None


@pytest.mark.root
@pytest.mark.parametrize(
    ("mode", "allowed", "answer"),
    [(0o755, True, list), (0o755, False, str), (0o775, True, str), (0o757, True, str), (None, True, type(None))],
)
def test_the_installed_program_is_used_when_sudo_allows_it(tmp_path, monkeypatch, mode, allowed, answer):
    program, sudo = tmp_path / "program", tmp_path / "sudo"
    sudo.write_text(f"#!/bin/sh\nexit {0 if allowed else 1}\n")
    sudo.chmod(0o755)
    if mode is not None:
        program.write_text("")
        program.chmod(mode)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = installed_program(NONCE, str(program))
    assert isinstance(found, answer)
    if isinstance(found, list):
        assert found == ["sudo", "-n", str(program), "serve", "--nonce", NONCE]


@pytest.mark.root
def test_a_program_of_someone_else_is_never_run_as_root(tmp_path, monkeypatch):
    program = tmp_path / "program"
    program.write_text("")
    os.chown(program, 1000, 1000)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root can write" in str(installed_program(NONCE, str(program)))
