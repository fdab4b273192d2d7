"""Every failure gpualloc reports on purpose, each with its exit code and stable error code.

The exit codes are a contract with scripts (docs/exit-codes.md); the class carries its own, so that
`cli.outcome` maps an error to an exit status without a ladder of isinstance tests.
"""

from __future__ import annotations

from typing import ClassVar


class GpuallocError(Exception):
    """Something failed that the operator should read about in one sentence.

    Args:
        message: what failed, where, and what was expected.
        hint: what to do next; None when the message already says it.
        node: name of the node concerned; None when no single node is.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "failed"

    def __init__(self, message: str, *, hint: str | None = None, node: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.node = node


class UsageError(GpuallocError):
    """The command line asked for something that has no meaning."""

    exit_code = 2
    code = "usage"


class ConfigError(GpuallocError):
    """A configuration file, environment variable or flag has a wrong key or value."""

    exit_code = 2
    code = "config"


class BrokenInputError(GpuallocError):
    """A file given to gpualloc (plan, request, simulated cluster) is edited, truncated or malformed."""

    exit_code = 2
    code = "broken-input"


class NotFoundError(GpuallocError):
    """A node, workload, plan or policy of that name does not exist."""

    exit_code = 2
    code = "not-found"


class NewerStateError(GpuallocError):
    """A database was written by a newer gpualloc; reading it could lose what we do not know."""

    exit_code = 2
    code = "newer-state"


class UnreachableError(GpuallocError):
    """No node that was needed could be reached."""

    exit_code = 3
    code = "unreachable"


class InfeasibleError(GpuallocError):
    """The request can never be met by the fleet as it is configured."""

    exit_code = 4
    code = "infeasible"


class StalePlanError(GpuallocError):
    """The world moved since the plan was made, or the plan was applied already."""

    exit_code = 5
    code = "stale-plan"


class PartlyAppliedError(GpuallocError):
    """Some steps of a run are done and some are not."""

    exit_code = 6
    code = "partly-applied"


class LockedError(GpuallocError):
    """Another gpualloc holds the lock this command needs."""

    exit_code = 7
    code = "locked"


class StateError(GpuallocError):
    """The state directory or a database in it cannot be used (read-only, full, corrupt)."""

    code = "state"


class ReadOnlyError(StateError):
    """Something would have been changed where this gpualloc only looks."""

    code = "read-only"


class StepError(GpuallocError):
    """A node refused or failed one step.

    Args:
        message: what the node said.
        reason: stable word from the node (`node.wire.REASONS`).
        command_exit_code: 126 or 127 when a workload's command could not be started; else None.
        node: the node's name.
    """

    code = "step"

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        command_exit_code: int | None = None,
        node: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, node=node)
        self.reason = reason
        self.command_exit_code = command_exit_code


class FencedError(StepError):
    """A node has already obeyed a later run; this one must not touch it any more."""

    exit_code = 7
    code = "fenced"


class HookError(GpuallocError):
    """A hook of the operator's failed, and what it stands before was not begun."""

    code = "hook"


class StoppedError(GpuallocError):
    """An operator's signal ended the work between two steps; what is open is taken up by the next write command."""

    exit_code = 130
    code = "interrupted"


class UnknownOutcomeError(UnreachableError):
    """The connection went away while a step was under way: it may have happened or not."""

    code = "unknown-outcome"
