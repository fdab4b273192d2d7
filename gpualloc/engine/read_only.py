"""A context in which nothing can be changed, whatever is called: a layer around each of its ports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, cast

from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.errors import ReadOnlyError
from gpualloc.ports import Alerts, Events, Fleet, History, Hooks, Journal, Messenger, ScaleHook, Watch

FLEET_READS = frozenset(
    {"specs", "observe", "watch", "cost", "process", "preflight", "logs", "wait_for_event", "close"}
)
"""What may be asked of the fleet. Not `verify`: a node remembers who asked it."""
JOURNAL_READS = frozenset(
    {
        "controller", "workloads", "find", "applied", "open_runs", "abandoned_runs", "cordons", "sightings", "desired",
        "steps", "audit", "begun_at_s", "verify_audit", "last_rebalance", "lock_holder", "watched", "data_version",
        "close",
    }
)  # fmt: skip
HISTORY_READS = frozenset(
    {
        "read",
        "rollups",
        "digests",
        "moment",
        "neighbours",
        "grid",
        "span",
        "workloads_seen",
        "kept",
        "last_kept",
        "close",
    }
)
EVENTS_READS = frozenset({"events", "mark", "kept_after", "conditions", "heard", "devices_seen", "close"})
ALERTS_READS = frozenset({"standing", "transitions", "silences", "waiting", "close"})


def read_only(ctx: Context, why: str) -> Context:
    """The same world to look at: everything that would change, send or run something raises.

    What is not known to read only is refused, so that a port that gains a way to write does not gain it here.

    Args:
        ctx: the ports.
        why: why nothing may be changed, in one sentence; what every refusal says.

    Returns:
        the context whose ports raise ReadOnlyError.
    """
    return replace(
        ctx,
        fleet=cast("Fleet", _Fleet(ctx.fleet, FLEET_READS, why)),
        journal=cast("Journal", _ReadsOnly(ctx.journal, JOURNAL_READS, why)),
        history=cast("History", _ReadsOnly(ctx.history, HISTORY_READS, why)),
        events=cast("Events", _ReadsOnly(ctx.events, EVENTS_READS, why)),
        alerts=cast("Alerts", _ReadsOnly(ctx.alerts, ALERTS_READS, why)),
        messenger=cast("Messenger", _ReadsOnly(ctx.messenger, frozenset(), why)),
        hooks=cast("Hooks", _ReadsOnly(ctx.hooks, frozenset(), why)),
        scale_hook=cast("ScaleHook", _ReadsOnly(ctx.scale_hook, frozenset(), why)),
    )


class _ReadsOnly:
    """Passes on what is known to read only.

    Args:
        inner: a port.
        reads: names of what may be asked of it.
        why: why nothing else may.
    """

    def __init__(self, inner: object, reads: frozenset[str], why: str) -> None:
        self._inner = inner
        self._reads = reads
        self._why = why

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return found if name in self._reads else self._refuse

    def _refuse(self, *_given: object, **_named: object) -> NoReturn:
        raise ReadOnlyError(f"nothing can be changed here: {self._why}")


class _Fleet(_ReadsOnly):
    """The nodes, which keep nothing for whoever only looks."""

    def watch(self, every_s: float, names: Sequence[str] | None = None, keep: str | None = None) -> Watch:  # noqa: ARG002  the port's signature
        """As `Fleet.watch`, without asking the nodes to keep anything."""
        return cast("Fleet", self._inner).watch(every_s, names)
