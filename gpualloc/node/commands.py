"""What processes were executed with: command line and environment, read once for each.

Both lie in the memory of the process, and reading it may never return while a driver that hangs holds that memory.
"""

import threading
from typing import TYPE_CHECKING

from gpualloc.node import attribution, processes
from gpualloc.node.worker import Hung, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    Identity = tuple[int, int, str]
    Told = tuple[str | None, str | None]

MAX_HUNG = 64
"""Most reads that may hang at once; beyond that nothing more is read."""


class Commands:
    """Remembers what was read for as long as somebody asks for the process.

    Args:
        read: tells command line and Slurm job of a pid; may never return.
    """

    def __init__(self, read: "Callable[[int], Told] | None" = None) -> None:
        self._read = _executed_with if read is None else read
        self._jobs: "dict[Identity, Job]" = {}

    def told(self, found: "processes.Stat", until_s: float) -> "Told":
        """Its command line and the Slurm job of its environment; None for what is not told by `until_s` (monotonic)."""
        # A process that executes another program stays the same one, and mostly gets another name by that.
        identity = (found.pid, found.start_ticks, found.name)
        job = self._jobs.get(identity)
        if job is None:
            if sum(one.running for one in self._jobs.values()) >= MAX_HUNG:
                return None, None
            job = self._jobs[identity] = Job(lambda: self._read(found.pid))
            threading.Thread(target=job.run, name="command", daemon=True).start()
        try:
            told: "Told" = job.result(until_s)
        except Hung:
            return None, None
        return told

    def keep(self, pids: "set[int]") -> None:
        """Forget the processes of other pids, but for what still hangs."""
        self._jobs = {identity: job for identity, job in self._jobs.items() if identity[0] in pids or job.running}


def _executed_with(pid: int) -> "Told":
    return processes.command(pid), attribution.slurm_job_told(processes.environment(pid))
