"""What ssh writes to stderr, sorted into the ways a node can fail to answer.

ssh's exit status is 255 for all of them, so its words are what there is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpualloc.adapters.link import Failure
from gpualloc.model.inventory import NodeState

_AUTH_HINT = "load the key into ssh-agent, or set user and key for the node; try: ssh -o BatchMode=yes {target} true"
_REACH_HINT = "is the node up and its sshd running? try: ssh {target} true"

_Rule = tuple[re.Pattern[str], NodeState, str, str]

_BEFORE_LOGIN: Sequence[_Rule] = (
    (
        re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key for .* has changed", re.IGNORECASE),
        NodeState.HOST_KEY,
        "its host key is not the known one",
        "find out why it changed; if it was set up anew, forget the old key: ssh-keygen -R HOST",
    ),
    (
        re.compile(r"Host key verification failed|No \S+ host key is known"),
        NodeState.HOST_KEY,
        "its host key is not known",
        "connect once by hand and compare the fingerprint: ssh {target}",
    ),
    (
        re.compile(r"Permission denied|Too many authentication failures|no supported authentication", re.IGNORECASE),
        NodeState.AUTH_FAILED,
        "the login was refused",
        _AUTH_HINT,
    ),
    (
        re.compile(r"Could not resolve hostname|Name or service not known"),
        NodeState.UNREACHABLE,
        "its host name is not known",
        "check the name, or give HostName for it in ~/.ssh/config",
    ),
    (
        re.compile(r"Connection refused"),
        NodeState.UNREACHABLE,
        "connection refused",
        "is sshd running there, on this port? try: ssh {target} true",
    ),
    (re.compile(r"timed out|Timeout", re.IGNORECASE), NodeState.UNREACHABLE, "connection timed out", _REACH_HINT),
    (
        re.compile(r"No route to host|Network is unreachable|Host is down"),
        NodeState.UNREACHABLE,
        "no way to the host",
        _REACH_HINT,
    ),
    (
        # The address is not known behind a jump host or ProxyCommand, whose own words ssh may hide.
        re.compile(r"UNKNOWN port 65535"),
        NodeState.UNREACHABLE,
        "what leads there failed (ProxyJump or ProxyCommand)",
        "see what it says; a jump host may be down, unknown or refuse the login: ssh {target} true",
    ),
    (
        re.compile(r"Bad configuration option|unknown option|Bad owner or permissions|keyword .* extra arguments"),
        NodeState.UNREACHABLE,
        "ssh does not accept its configuration",
        "try: ssh -G {target}",
    ),
)


def ssh_failure(stderr: str, target: str, *, connected: bool) -> Failure:
    """The state, reason and hint for an ssh that ended with status 255.

    Args:
        stderr: the end of what it wrote; may hold what the node's login shell wrote too.
        target: the node as typed after `ssh`.
        connected: whether the node was heard before, so that only the connection can have failed.
    """
    last = _last_line(stderr)
    said = f" (ssh: {last})" if last else ""
    if connected:
        return Failure(NodeState.UNREACHABLE, f"the connection was lost{said}", _REACH_HINT.format(target=target))
    for pattern, state, reason, hint in _BEFORE_LOGIN:
        if pattern.search(stderr):
            return Failure(state, reason + said, hint.format(target=target))
    return Failure(NodeState.UNREACHABLE, f"ssh could not connect{said}", _REACH_HINT.format(target=target))


def _last_line(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
