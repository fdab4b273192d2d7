"""The step `signal`: one signal to one process that an operator named, as the account that this program runs as."""

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import accounts, adoptable, pidfd, processes
from gpualloc.node.ledger import FileLedger
from gpualloc.node.sent import SentSignals
from gpualloc.node.wire import WORK_SIGNALS, Refused

if TYPE_CHECKING:
    from gpualloc.node.parts import Parts

GONE, STOPPED, RUNNING = "gone", "stopped", "running"

_LEADS_TO = {"STOP": STOPPED, "CONT": RUNNING}
"""How a process stands once the signal has done its work; the others end it unless it does something else with them."""
_SETTLES_S = 2.0
_OWN_MEANING_S = 0.2
"""How long those are waited for that programs give a meaning of their own: most do not end them."""
_POLL_S = 0.02


class Handler:
    """Sends signals, each once."""

    def __init__(self, parts: "Parts") -> None:
        self._workloads = parts.workloads
        self._ledger = FileLedger(parts.state_dir, parts.boot_id, parts.claim_folders)
        self._sent = SentSignals(parts.state_dir)

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse a process that is another one, the system's own, a keeper, or not this account's; or work's."""
        self._check(step)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Send it unless that was done, and tell how the process stands after: `gone`, `stopped` or `running`."""
        known = self._sent.find(_order(step))
        if known is not None:
            return known
        found = self._check(step)
        self._sent.begin(_order(step))
        try:
            reached = _send(found, step["process"]["signal"])
        except Refused:
            self._sent.forget(_order(step))
            raise
        if not reached:
            self._sent.forget(_order(step))
            raise Refused("gone", "process %d ended" % found.pid)
        return self._sent.end(_order(step), _settled(found, step["process"]["signal"]))

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Whether it was sent."""
        known = self._sent.find(_order(step))
        return dict(known or {}, holds=known is not None)

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Refuse: what was sent was sent."""
        raise Refused("bad-request", "a signal to process %d cannot be taken back" % step["process"]["pid"])

    def _check(self, step: "dict[str, Any]") -> "processes.Stat":
        pid, name = step["process"]["pid"], step["process"]["signal"]
        found = adoptable.find(pid, step["process"]["started_at_s"])
        if found.kernel or pid in adoptable.above(os.getpid()):
            raise Refused("not-permitted", "process %d is the system's own, or what runs this gpualloc" % pid)
        roots = self._ledger.keepers()
        if pid in roots or self._keeps(found):
            raise Refused("not-permitted", "process %d keeps a workload; without it nobody would see its end" % pid)
        roots.update(self._workloads.roots())
        workload = processes.workload_of(pid, roots)
        if workload is not None and name not in WORK_SIGNALS:
            raise Refused(
                "claimed", "process %d belongs to workload %s, which its keeper ends or stops" % (pid, workload)
            )
        _send(found, None)
        if accounts.caller() is not None:
            accounts.resolve(processes.user(pid))
        return found

    def _keeps(self, found: "processes.Stat") -> bool:
        return any(folder.keeper() == (found.pid, found.start_ticks) for folder in self._workloads.folders())


def _order(step: "dict[str, Any]") -> str:
    return "%s-%s" % (step["controller"], step["order"])


def _send(found: "processes.Stat", name: "str | None") -> bool:
    """Send the signal, or with None only see whether it could be; False when the process is gone. Raises Refused."""
    number = 0 if name is None else int(getattr(signal, "SIG" + name))
    try:
        return pidfd.send(found.pid, found.start_ticks, number)
    except PermissionError:
        owner, own = processes.user(found.pid), processes.user(os.getpid())
        raise Refused(
            "not-permitted", "process %d belongs to %s, and the node program runs as %s" % (found.pid, owner, own)
        ) from None


def _settled(found: "processes.Stat", name: str) -> str:
    """How the process stands as soon as the signal has done its work, or when its time is over."""
    wanted = _LEADS_TO.get(name, GONE)
    until_s = time.monotonic() + (_OWN_MEANING_S if name in WORK_SIGNALS else _SETTLES_S)
    while True:
        now = processes.stat(found.pid)
        if now is None or now.dead or now.start_ticks != found.start_ticks:
            return GONE
        state = STOPPED if now.stopped else RUNNING
        if state == wanted or time.monotonic() >= until_s:
            return state
        time.sleep(_POLL_S)
