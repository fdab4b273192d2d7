"""Who may run work as whom."""

import json
import os
import pwd

import pytest

from gpualloc.node import accounts
from gpualloc.node.wire import Refused

pytestmark = pytest.mark.root


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Root's configuration, reached through sudo by `daemon`."""
    monkeypatch.setenv("SUDO_USER", "daemon")

    def write(run_as, mode=0o644):
        path = tmp_path / "node.json"
        path.write_text(json.dumps({"run_as": run_as}))
        path.chmod(mode)
        return str(path)

    return write


def refused(name, path):
    with pytest.raises(Refused) as error:
        accounts.resolve(name, path)
    assert error.value.reason == "no-user"


def test_root_itself_may_be_anyone(monkeypatch):
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert accounts.resolve(None).uid == os.geteuid() == 0
    assert accounts.resolve("nobody").uid == pwd.getpwnam("nobody").pw_uid
    refused("no-such-account", "/none")


def test_through_sudo_only_oneself_and_who_is_listed(config):
    assert accounts.resolve(None, "/none").name == "daemon"
    assert accounts.resolve("daemon", "/none").name == "daemon"
    refused("nobody", "/none")
    refused("root", "/none")
    assert accounts.resolve("nobody", config(["nobody"])).name == "nobody"
    refused("root", config(["nobody"]))


def test_a_star_is_anyone_but_root(config):
    assert accounts.resolve("nobody", config(["*"])).name == "nobody"
    refused("root", config(["*"]))


def test_a_list_that_others_can_write_counts_for_nothing(config):
    refused("nobody", config(["nobody"], 0o666))


def test_the_environment_begins_clean(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "x")
    environment = accounts.resolve("nobody").environment()
    assert sorted(environment) == ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"]
