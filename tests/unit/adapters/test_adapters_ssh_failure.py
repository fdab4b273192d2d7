"""ssh's own words, as OpenSSH 9.2 wrote them, and the state that each means."""

from __future__ import annotations

import pytest

from gpualloc.adapters.ssh_failure import ssh_failure
from gpualloc.model.inventory import NodeState

CASES = [
    ("ssh: connect to host 127.0.0.1 port 1: Connection refused\r\n", NodeState.UNREACHABLE, "connection refused"),
    ("ssh: connect to host 10.0.0.9 port 22: Connection timed out\r\n", NodeState.UNREACHABLE, "timed out"),
    ("Timeout, server 10.0.0.9 not responding.\r\n", NodeState.UNREACHABLE, "timed out"),
    ("ssh: connect to host 10.0.0.9 port 22: No route to host\r\n", NodeState.UNREACHABLE, "no way to the host"),
    (
        "ssh: Could not resolve hostname gpu1: Name or service not known\r\n",
        NodeState.UNREACHABLE,
        "host name is not known",
    ),
    ("gpu@10.0.0.9: Permission denied (publickey).\r\n", NodeState.AUTH_FAILED, "login was refused"),
    (
        "Received disconnect from 10.0.0.9 port 22:2: Too many authentication failures\r\n",
        NodeState.AUTH_FAILED,
        "login was refused",
    ),
    (
        "No ED25519 host key is known for 10.0.0.9 and you have requested strict checking.\r\n"
        "Host key verification failed.\r\n",
        NodeState.HOST_KEY,
        "not known",
    ),
    (
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n...\r\nHost key verification failed.\r\n",
        NodeState.HOST_KEY,
        "not the known one",
    ),
    ("/etc/ssh/ssh_config: line 3: Bad configuration option: foo\r\n", NodeState.UNREACHABLE, "configuration"),
    ("kex_exchange_identification: Connection closed by remote host\r\n", NodeState.UNREACHABLE, "could not connect"),
    ("Connection closed by UNKNOWN port 65535\r\n", NodeState.UNREACHABLE, "what leads there"),
    ("Host key verification failed.\r\nConnection closed by UNKNOWN port 65535\r\n", NodeState.HOST_KEY, "not known"),
    ("", NodeState.UNREACHABLE, "ssh could not connect"),
]


@pytest.mark.parametrize(("stderr", "state", "words"), CASES)
def test_each_way_to_fail_has_its_state_reason_and_hint(stderr, state, words):
    failure = ssh_failure(stderr, "gpu@gpu1", connected=False)
    assert failure.state is state
    assert words in failure.reason
    assert failure.hint


def test_hints_name_what_to_type():
    assert "ssh -p 22 gpu1" in (ssh_failure("Host key verification failed.", "-p 22 gpu1", connected=False).hint or "")


def test_what_a_login_shell_says_is_not_taken_for_ssh_once_the_node_was_heard():
    failure = ssh_failure("cat: /etc/motd: Permission denied\n", "gpu1", connected=True)
    assert failure.state is NodeState.UNREACHABLE
    assert "connection was lost" in failure.reason


def test_long_words_are_cut():
    assert len(ssh_failure("x" * 10_000, "gpu1", connected=False).reason) < 400
