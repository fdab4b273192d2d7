"""What the operator's own ssh configuration can and cannot change, as the installed ssh itself understands it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gpualloc.adapters.ssh import ALWAYS, SshLaunch, SshTarget
from gpualloc.errors import ConfigError

UNSAFE = """\
Host *
    BatchMode no
    ForwardAgent yes
    ForwardX11 yes
    LocalForward 8080 localhost:80
    RemoteForward 8081 localhost:81
    DynamicForward 1080
    Tunnel yes
    PermitLocalCommand yes
    LocalCommand touch /tmp/never
    RemoteCommand tmux attach
    UpdateHostKeys yes
    LogLevel QUIET
"""


def in_force(target: SshTarget, tmp_path: Path) -> dict[str, str]:
    """What ssh would do with the command that a node gets, by `ssh -G`."""
    argv = SshLaunch(target, runtime_dir=tmp_path).argv("0" * 16)
    asked = [*argv[: argv.index("--")], "-G", *argv[argv.index("--") : -1]]
    shown = subprocess.run(asked, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    return dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)


@pytest.fixture
def configured(tmp_path):
    """Makes a target with an ssh configuration of its own."""

    def make(text: str, *options: tuple[str, str]) -> SshTarget:
        file = tmp_path / "config"
        file.write_text(text)
        return SshTarget("gpu1", options=options, command=("ssh", "-F", str(file)))

    return make


@pytest.mark.parametrize("options", [(), tuple((key, "yes") for key in ALWAYS if key != "LogLevel")])
def test_nothing_undoes_what_keeps_the_operator_safe(configured, options, tmp_path):
    settings = in_force(configured(UNSAFE, *options), tmp_path)
    words = {"yes": ("yes", "true"), "no": ("no", "false"), "none": ("none",), "INFO": ("INFO",)}
    wrong = {
        key: settings.get(key.lower())
        for key, value in ALWAYS.items()
        if settings.get(key.lower(), "none" if value == "none" else None) not in words[value]
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("", (), "ask"),
        ("Host *\n StrictHostKeyChecking accept-new\n", (), "accept-new"),
        ("Host gpu1\n StrictHostKeyChecking no\n", (), "false"),
        ("Host other\n StrictHostKeyChecking no\n", (), "ask"),
        ("Host *\n StrictHostKeyChecking yes\n", (), "true"),
        ("", (("StrictHostKeyChecking", "accept-new"),), "accept-new"),
    ],
)
def test_how_strict_host_keys_are_is_the_operators_to_say(configured, text, options, expected, tmp_path):
    assert in_force(configured(text, *options), tmp_path)["stricthostkeychecking"] == expected


def test_an_ssh_that_is_not_there_shares_no_connection(tmp_path):
    argv = SshLaunch(SshTarget("gpu1", command=("/nonexistent/ssh",)), runtime_dir=tmp_path).argv("0" * 16)
    assert not any(part.startswith("ControlPath") for part in argv)


def test_other_settings_of_the_operator_stay(configured, tmp_path):
    text = "Host *\n ProxyJump bastion\n User ops\n IdentityFile /keys/%h\n KexAlgorithms curve25519-sha256\n"
    settings = in_force(configured(text), tmp_path)
    assert (settings["proxyjump"], settings["user"]) == ("bastion", "ops")
    assert settings["kexalgorithms"] == "curve25519-sha256"


@pytest.mark.parametrize("user", ["-oProxyCommand=x", "a b", "", "a\nb", "$(x)", "`x`", "a;b"])
def test_a_user_cannot_be_an_option_or_a_command(user):
    with pytest.raises(ConfigError):
        SshTarget("gpu1", user=user)


@pytest.mark.parametrize("option", [("-oX", "y"), ("A B", "c"), ("A", ""), ("A", "b\nProxyCommand x"), ("A=b", "c")])
def test_an_option_is_one_option(option):
    with pytest.raises(ConfigError):
        SshTarget("gpu1", options=(option,))
