"""Who started processes, and what with: account, command line and environment, read once for each.

The latter two lie in the memory of the process, and reading it may never return while a driver that hangs holds that
memory. The name of an account may come over a network.
"""

import threading
from typing import TYPE_CHECKING

from gpualloc.node import attribution, processes
from gpualloc.node.worker import Hung, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    Identity = tuple[int, int, str, int | None]
    Told = tuple[str | None, str | None, str | None]

MAX_HUNG = 64
"""Most reads that may hang at once; beyond that nothing more is read."""


class Commands:
    """Remembers what was read for as long as somebody asks for the process.

    Args:
        read: tells account, command line and Slurm job of a pid; may never return.
    """

    def __init__(self, read: "Callable[[int], Told] | None" = None) -> None:
        self._read = _executed_with if read is None else read
        self._jobs: "dict[Identity, Job]" = {}

    def told(self, found: "processes.Stat", until_s: float) -> "Told":
        """Account, command line, and Slurm job by the environment; what is not told by `until_s` (monotonic) is None.

        The account has a number in any case.
        """
        uid = processes.uid(found.pid)
        # A process that executes another program stays the same one, and mostly gets another name by that.
        identity = (found.pid, found.start_ticks, found.name, uid)
        job = self._jobs.get(identity)
        if job is None and sum(one.running for one in self._jobs.values()) < MAX_HUNG:
            job = self._jobs[identity] = Job(lambda: self._read(found.pid))
            threading.Thread(target=job.run, name="command", daemon=True).start()
        unnamed = None if uid is None else str(uid)
        try:
            told: "Told" = (unnamed, None, None) if job is None else job.result(until_s)
        except Hung:
            return unnamed, None, None
        return told

    def keep(self, pids: "set[int]") -> None:
        """Forget the processes of other pids, but for what still hangs."""
        self._jobs = {identity: job for identity, job in self._jobs.items() if identity[0] in pids or job.running}


def _executed_with(pid: int) -> "Told":
    return processes.user(pid), processes.command(pid), attribution.slurm_job_told(processes.environment(pid))
