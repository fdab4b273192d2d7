"""Telling systemd how a command that runs for ever gets on; nothing where no systemd started it."""

from __future__ import annotations

import os
import socket


def tell(state: str) -> None:
    """Send a state such as `READY=1`, `WATCHDOG=1` or `STATUS=...` (sd_notify(3)); a lost one does no harm."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
            notifier.connect(address)
            notifier.send(state.encode())
    except OSError:
        return
