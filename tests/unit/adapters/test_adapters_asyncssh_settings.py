"""What a real `ssh -G` tells, read: what is taken over, and what is left to ssh."""

from __future__ import annotations

import subprocess

import pytest
from msgspec import structs

from gpualloc.adapters.streaming.asyncssh_settings import Jump, NeedsSsh, read_settings

BASE = ("ConnectTimeout=6", "ServerAliveInterval=2", "ServerAliveCountMax=2")


def told(*options: str, host: str = "Node1") -> str:
    arguments = [part for option in (*options, *BASE) for part in ("-o", option)]
    command = ["ssh", "-F", "none", *arguments, "-G", "--", host]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def settings(*options: str, host: str = "Node1"):
    return read_settings(told(*options, host=host))


def test_an_ordinary_host_can_be_served(monkeypatch):
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    found = settings(
        "HostName=n1.example", "User=operator", "Port=2200", "IdentityFile=/keys/a", "IdentityFile=/keys/b"
    )
    assert (found.host, found.user, found.port) == ("n1.example", "operator", 2200)
    assert found.known_as == "[n1.example]:2200"
    assert found.identity_files == ("/keys/a", "/keys/b")
    assert found.agent == "/run/agent"
    assert (found.connect_s, found.alive_s, found.alive_count) == (6, 2, 2)
    assert found.jumps == ()
    assert "ssh-ed25519" in found.host_key_algorithms
    assert all("known_hosts" in path for path in found.known_hosts)


@pytest.mark.parametrize(
    "option",
    [
        "BindAddress=127.0.0.1",
        "CanonicalizeHostname=yes",
        "CertificateFile=/keys/a-cert.pub",
        "CheckHostIP=yes",
        "ControlPath=/run/%C",
        "KnownHostsCommand=/bin/true",
        "NoHostAuthenticationForLocalhost=yes",
        "PKCS11Provider=/usr/lib/pkcs11.so",
        "PermitLocalCommand=yes",
        "ProxyCommand=nc %h %p",
        "PubkeyAuthentication=no",
        "RemoteCommand=sh",
        "RevokedHostKeys=/etc/revoked",
        "SetEnv=A=1",
        "StrictHostKeyChecking=accept-new",
        "StrictHostKeyChecking=no",
        "Tunnel=yes",
        "VerifyHostKeyDNS=yes",
        "IdentityFile=/keys/%h",
    ],
)
def test_what_only_ssh_does_is_left_to_ssh(option):
    name = option.partition("=")[0]
    with pytest.raises(NeedsSsh, match=f"^{name.lower()} is "):
        settings(option)


def test_a_host_that_takes_no_keys_is_left_to_ssh():
    with pytest.raises(NeedsSsh, match="keys are not among"):
        settings("PreferredAuthentications=gssapi-with-mic,password")


@pytest.mark.parametrize(
    "option", ["StrictHostKeyChecking=yes", "StrictHostKeyChecking=ask", "PubkeyAuthentication=yes"]
)
def test_what_is_as_strict_as_asyncssh_is_taken(option):
    assert settings(option).host == "node1"


def test_an_alias_stands_for_name_and_port():
    assert settings("Port=2200", "HostKeyAlias=Rack7").known_as == "rack7"


@pytest.mark.parametrize(
    ("option", "agent"),
    [
        ("IdentityAgent=none", None),
        ("IdentityAgent=/run/other", "/run/other"),
        ("IdentityAgent=SSH_AUTH_SOCK", "/run/agent"),
        ("IdentityAgent=$OTHER_AGENT", "/run/third"),
    ],
)
def test_the_agent_is_the_one_that_ssh_would_ask(monkeypatch, option, agent):
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("OTHER_AGENT", "/run/third")
    assert settings(option).agent == agent


def test_the_way_goes_through_the_hosts_in_order():
    found = settings("ProxyJump=operator@a:2222,b")
    assert found.jumps == (Jump("a", "operator", 2222), Jump("b"))


def test_names_of_known_hosts_files_come_with_the_home_folder_in_place():
    found = settings("UserKnownHostsFile=~/.ssh/mine /etc/ours")
    assert [path for path in found.known_hosts if path.startswith(("~", "%"))] == []
    assert "/etc/ours" in found.known_hosts


def test_algorithms_are_those_of_the_configuration():
    found = settings(
        "Ciphers=aes256-ctr", "MACs=hmac-sha2-256", "KexAlgorithms=curve25519-sha256", "RequiredRSASize=3072"
    )
    assert (found.ciphers, found.macs, found.exchanges) == (("aes256-ctr",), ("hmac-sha2-256",), ("curve25519-sha256",))
    assert found.required_rsa_bits == 3072


@pytest.mark.parametrize("text", ["", "hostname a\nport x\n", "hostname a\nport 22\nuser u\naddressfamily inet9\n"])
def test_what_makes_no_sense_is_left_to_ssh(text):
    with pytest.raises(NeedsSsh):
        read_settings(text)


def test_nothing_is_told_that_is_not_read():
    """Each field comes from the text: none has a value of our own."""
    assert all(field.required for field in structs.fields(settings()))
