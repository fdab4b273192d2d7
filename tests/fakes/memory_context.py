"""A context whose world and state are plain values in memory, for tests of what only looks."""

from contextlib import contextmanager

from fakes import sample_world as world

from gpualloc.engine.context import Context
from gpualloc.errors import LockedError, NotFoundError
from gpualloc.ports import LogChunk


class MemoryFleet:
    """Answers with the nodes of a snapshot."""

    def __init__(self, nodes=world.SNAPSHOT.nodes, log=b"line 1\nline \xff2\n"):
        self.nodes = nodes
        self.log = log

    def specs(self):
        return tuple(node.spec for node in self.nodes)

    def observe(self, names=None, near=()):
        return iter([node for node in self.nodes if names is None or node.name in names])

    def logs(self, node, workload, offset, limit=65536):
        data = self.log[offset : offset + limit]
        return LogChunk(data, offset + len(data), ended=True)

    def wait_for_event(self, timeout_s):
        return True


class MemoryJournal:
    """Workloads and audit entries; its lock is always held by somebody else."""

    controller = "c" * 32

    def __init__(self, workloads=world.WORKLOADS, audit=world.AUDIT, broken_at=None, cordons=()):
        self._workloads = workloads
        self._audit = audit
        self._broken_at = broken_at
        self._cordons = cordons
        self.saved_plans = []
        self.submitted = []

    def workloads(self, states=None, *, ended_since_s=None):
        return tuple(work for work in self._workloads if states is None or work.state in states)

    def find(self, reference):
        found = [work for work in self._workloads if reference in (work.id, work.name)]
        if len(found) != 1:
            raise NotFoundError(f"there is no workload {reference!r}")
        return found[0]

    def audit(self, *, since_s=None, workload=None, limit=None):
        found = [entry for entry in self._audit if workload in (None, entry.workload)]
        return tuple(found[-limit:] if limit else found)

    def submit(self, workload, audit):
        self.submitted.append(workload)

    def save_plan(self, plan):
        self.saved_plans.append(plan)

    def begun_at_s(self):
        return min((entry.at_s for entry in self._audit), default=None)

    def verify_audit(self):
        return self._broken_at

    def last_rebalance(self):
        return (world.NOW_S - 10_800, "no changes, 1 waiting")

    def open_runs(self):
        return ()

    def abandoned_runs(self):
        return ()

    def cordons(self):
        return self._cordons

    def sightings(self):
        return ()

    def desired(self):
        return ()

    def lock_holder(self):
        return None

    def watched(self):
        return False

    @contextmanager
    def write(self, purpose, wait_s=0.0):
        raise LockedError("apply is held by pid 4711 of bob", hint="wait for it, or say --wait 60s")
        yield


class MemoryHistory:
    """A fixed series."""

    def __init__(self, series=()):
        self._series = series
        self.samples = []

    def read(self, metric, since_s, until_s, *, kind=None, node=None, key=None):
        return iter(self._series)

    def rollups(self, metric, level, since_s, until_s, *, kind=None, node=None, key=None):
        return iter(())

    def digests(self, kind, metrics, start_s, step_s, ticks):
        return iter(())

    def append(self, samples):
        self.samples.extend(samples)
        return len(samples)

    def span(self):
        return None

    def prune(self, before_s, *, minutes_before_s=None, hours_before_s=None):
        return 0


class FixedClock:
    """A time that stands still."""

    def now_s(self):
        return world.NOW_S

    def sleep(self, seconds):
        raise AssertionError("nothing that only looks sleeps")


class NamedPolicy:
    """A policy that is only named."""

    name = "best-fit"
    version = "1"


def memory_context(**changes):
    """A context over the sample world."""
    fields = {
        "fleet": MemoryFleet(),
        "journal": MemoryJournal(),
        "history": MemoryHistory([world.series([0.1, 0.2, None])]),
        "clock": FixedClock(),
        "policy": NamedPolicy(),
        "actor": "ann",
    }
    return Context(**{**fields, **changes})
