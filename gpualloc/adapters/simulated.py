"""Simulated nodes: `sim` behind the same server as real ones, kept in one file that several processes may use.

The file is replaced by rename under a lock; readers need no lock and no right to write. Nothing runs in between:
what happened since is worked out from the time whenever somebody looks.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from gpualloc.errors import BrokenInputError, LockedError, NotFoundError, StateError, UnreachableError
from gpualloc.model.inventory import NodeSpec
from gpualloc.node.server import Server
from gpualloc.node.wire import Refused
from gpualloc.sim.burnin import burnin_row
from gpualloc.sim.cluster import ClusterSpec, check_cluster
from gpualloc.sim.host import SimulatedHost
from gpualloc.sim.reboot import reboot
from gpualloc.sim.state import SimulatedCluster, fits

POOL = "simulated"
"""Pool of every simulated node."""

T = TypeVar("T")

_LOCK_POLL_S = 0.01
_LOCK_WAIT_S = 30.0
_EVENT_POLL_S = 0.2


class SimulatedNodes:
    """The nodes of one simulated cluster, with its clock.

    Args:
        folder: keeps `cluster.json` and `cluster.lock`, beside files of others; made when missing.
        spec: the cluster; a changed one is fitted to what is stored (`sim.state.SimulatedCluster.from_plain`).
        wall: wall clock, epoch seconds.
        speed: simulated seconds per wall second, in place of the spec's.

    Raises:
        ConfigError: the spec cannot be simulated.
        BrokenInputError: `cluster.json` is not one.
        NewerStateError: a newer gpualloc wrote it.
        StateError: it cannot be read or made, or does not go with the changed spec.
        LockedError: another process holds it for long.
    """

    def __init__(
        self, folder: Path, spec: ClusterSpec, *, wall: Callable[[], float] = time.time, speed: float | None = None
    ) -> None:
        self._spec = check_cluster(spec if speed is None else replace(spec, speed=speed))
        self._file = _ClusterFile(folder, self._spec, wall)
        self._file.open()
        self.clock = SimulatedClock(self._file)
        self._links: list[SimulatedLink] = []

    def specs(self) -> tuple[NodeSpec, ...]:
        """Every node, sorted by name."""
        nodes = (
            NodeSpec(
                host.name,
                POOL,
                "simulated",
                labels=dict(host.labels),
                price_per_gpu_hour=host.price_per_gpu_hour,
            )
            for host in self._spec.nodes
        )
        return tuple(sorted(nodes, key=lambda node: node.name))

    def link(self, name: str) -> SimulatedLink:
        """The way to one node; raises NotFoundError."""
        if all(host.name != name for host in self._spec.nodes):
            raise NotFoundError(f"there is no simulated node {name!r}")
        link = SimulatedLink(self._file, name)
        self._links.append(link)
        return link

    def close(self) -> None:
        """End the waits of all links."""
        for link in self._links:
            link.close()

    def reboot(self, name: str) -> None:
        """Reboot a node; raises NotFoundError, StateError, LockedError."""
        if all(host.name != name for host in self._spec.nodes):
            raise NotFoundError(f"there is no simulated node {name!r}")
        with self._file.changing(f"reboot {name}"):
            reboot(self._file.host(name))
            self._file.save()


class SimulatedClock:
    """Time in the simulated cluster; a `ports.Clock`."""

    def __init__(self, file: _ClusterFile) -> None:
        self._file = file

    @property
    def speed(self) -> float:
        """Simulated seconds per wall second."""
        return self._file.cluster.clock.speed

    def now_s(self) -> float:
        """Simulated time, epoch seconds."""
        return self._file.now_s()

    def sleep(self, seconds: float) -> None:
        """Let that many simulated seconds pass."""
        time.sleep(max(0.0, seconds) / self.speed)


class SimulatedLink:
    """The way to one simulated node; an `adapters.link.NodeLink`."""

    def __init__(self, file: _ClusterFile, name: str) -> None:
        self._file = file
        self._name = name
        self._closed = threading.Event()
        machine = _SimulatedMachine(file, name, self._closed)
        self._server = Server(machine, machine)
        self._one_at_a_time = threading.Lock()

    @property
    def connection(self) -> int:
        """Always the same: there is nothing to connect to."""
        return 1

    def exchange(self, requests: Sequence[dict[str, Any]], deadline_s: float) -> list[dict[str, Any]]:  # noqa: ARG002
        """The end records of all requests, in order. Nothing in here can hang, so the deadline has no use.

        Raises:
            UnreachableError: a fault keeps the node away.
            StateError, BrokenInputError, NewerStateError: the cluster's file cannot be read any more.
        """
        with self._one_at_a_time:
            self._file.refresh()
            since_s = self._file.cluster.unreachable_since(self._name, self._file.now_s())
            if since_s is not None:
                since = datetime.fromtimestamp(since_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                raise UnreachableError(f"{self._name}: simulated fault since {since}", node=self._name)
            return [self._server.handle(request) for request in requests]

    def close(self) -> None:
        """End a wait under way; nothing else is held."""
        self._closed.set()


class _ClusterFile:
    """`cluster.json` and its lock. `cluster` is what was read last; use it under `mutex`."""

    def __init__(self, folder: Path, spec: ClusterSpec, wall: Callable[[], float]) -> None:
        self.path = folder / "cluster.json"
        self.wall = wall
        self.mutex = threading.RLock()
        self.cluster: SimulatedCluster
        self._spec = spec
        self._seen: tuple[int, int, int] | None = None

    def open(self) -> None:
        """Read the cluster; make it, or write it anew for a changed spec, where that is so."""
        if not self.path.exists():
            self._create()
        self.refresh()
        may_write = os.access(self.path.parent, os.W_OK, effective_ids=True)
        if may_write and not fits(self._read(), self._spec):
            with self.changing("take over its changed description"):
                self.save()

    @contextmanager
    def changing(self, what: str) -> Iterator[None]:
        """The lock for a change that no node was asked for.

        Raises:
            LockedError: another process holds it for long.
            StateError: the file cannot be written.
        """
        try:
            with self.locked(_LOCK_WAIT_S):
                yield
        except Refused as refused:
            raise LockedError(refused.message) from refused
        except OSError as error:
            raise StateError(f"cannot {what} in {self.path.parent}: {error.strerror or error}") from error

    def refresh(self) -> None:
        """Read the file again if another process replaced it."""
        with self.mutex:
            try:
                stat = self.path.stat()
                seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if seen != self._seen:
                    self.cluster = self._parse(self._read())
                    self._seen = seen
            except OSError as error:
                raise StateError(f"the simulated cluster in {self.path} cannot be read: {error}") from error

    def now_s(self) -> float:
        """Simulated time."""
        return self.cluster.clock.at(self.wall())

    def host(self, name: str) -> SimulatedHost:
        """The node as it stands now."""
        return self.cluster.host(name, self.wall())

    def kernel_log(self, name: str) -> list[dict[str, Any]]:
        """Lines about GPUs in the node's kernel log, as it is now."""
        return self.cluster.kernel_log(name, self.wall())

    @contextmanager
    def locked(self, wait_s: float) -> Iterator[None]:
        """Hold the lock against all processes and threads, with a fresh state; refuses as `locked`."""
        with self.mutex:
            handle = os.open(self.path.with_name("cluster.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._take(handle, wait_s)
                if self.path.exists():
                    self.refresh()
                yield
            finally:
                os.close(handle)

    def save(self) -> None:
        """Replace the file; call under the lock."""
        scratch = self.path.with_name("cluster.tmp")
        try:
            with open(scratch, "w", encoding="ascii", opener=_private) as file:
                # In one piece: the encoder that writes piece by piece is ten times slower.
                file.write(json.dumps(self.cluster.to_plain(), separators=(",", ":")))
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self.path)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        stat = self.path.stat()
        self._seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)

    def forget(self) -> None:
        """Read the file again next time, whatever was changed in memory."""
        self._seen = None

    def _create(self) -> None:
        what = "make the simulated cluster"
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"cannot {what} in {self.path.parent}: {error.strerror or error}") from error
        with self.changing(what):
            if not self.path.exists():
                self.cluster = SimulatedCluster.start(self._spec, self.wall())
                self.save()

    def _read(self) -> dict[str, Any]:
        text = self.path.read_text("utf-8")
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise self._broken(f"not JSON: {error}") from error
        if not isinstance(plain, dict):
            raise self._broken("not a JSON object")
        return plain

    def _parse(self, plain: dict[str, Any]) -> SimulatedCluster:
        try:
            return SimulatedCluster.from_plain(plain, self._spec, self.wall())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._broken(f"{type(error).__name__}: {error}") from error

    def _broken(self, why: str) -> BrokenInputError:
        return BrokenInputError(
            f"{self.path} is not a simulated cluster ({why})",
            hint=f"remove {self.path.parent} to start this simulation anew",
        )

    def _take(self, handle: int, wait_s: float) -> None:
        until_s = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until_s:
                    raise Refused("locked", f"another process holds the simulated cluster in {self.path}") from None
                time.sleep(_LOCK_POLL_S)
            else:
                return


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _SimulatedMachine:
    """`node.server.Machine` and `Ledger` over one host of the file."""

    def __init__(self, file: _ClusterFile, name: str, closed: threading.Event) -> None:
        self._file = file
        self._name = name
        self._closed = closed
        self._holding = False
        self._known_ended = self._look(SimulatedHost.ended)

    # ---- machine

    def hello(self) -> dict[str, Any]:
        """See `SimulatedHost`, as for the readings below."""
        return self._look(SimulatedHost.hello)

    def inventory(self) -> dict[str, Any]:
        return self._look(SimulatedHost.inventory)

    def present(self, paths: list[str]) -> dict[str, bool | None]:
        return self._look(lambda host: host.present(paths))

    def sample(self) -> dict[str, Any]:
        return self._look(SimulatedHost.sample)

    def processes(self) -> dict[str, Any]:
        return self._look(SimulatedHost.processes)

    def kernel(self) -> dict[str, Any]:
        with self._file.mutex:
            return {"messages": self._file.kernel_log(self._name), "reason": None}

    def cost(self) -> dict[str, Any]:
        return {"groups": []}

    def burnin(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._look(lambda host: burnin_row(host, asked))

    def process(self, pid: int) -> dict[str, Any]:
        return self._look(lambda host: host.process(pid))

    def records(self) -> list[dict[str, Any]]:
        return self._look(SimulatedHost.records)

    def logs(self, workload: str, offset: int, limit: int) -> dict[str, Any]:
        return self._look(lambda host: host.logs(workload, offset, limit))

    def preflight(self, step: dict[str, Any]) -> None:
        return self._look(lambda host: host.preflight(step))

    def verify(self, step: dict[str, Any]) -> dict[str, Any]:
        return self._look(lambda host: host.verify(step))

    def do(self, step: dict[str, Any]) -> dict[str, Any]:
        """Carry the step out and store what it changed."""
        with self._writing():
            return self._look(lambda host: host.do(step))

    def undo(self, step: dict[str, Any]) -> dict[str, Any]:
        """Take the step back and store what it changed."""
        with self._writing():
            return self._look(lambda host: host.undo(step))

    def events(self, timeout_s: float) -> dict[str, Any]:
        """Wait until a workload ended since the last call; `timeout_s` counts seconds of the one who waits."""
        until_s = time.monotonic() + timeout_s
        while True:
            with self._file.mutex:
                self._file.refresh()
                host = self._file.host(self._name)
                ended, next_s, now_s = host.ended(), host.next_end_s(), host.now_s
                speed = self._file.cluster.clock.speed
            changed = bool(ended - self._known_ended)
            self._known_ended = ended
            left_s = until_s - time.monotonic()
            if changed or left_s <= 0 or self._closed.is_set():
                return {"changed": changed}
            ends_s = left_s if next_s is None else max(0.001, (next_s - now_s) / speed)
            self._closed.wait(min(_EVENT_POLL_S, left_s, ends_s))

    # ---- ledger

    @contextmanager
    def locked(self, wait_s: float) -> Iterator[None]:
        """Hold the cluster's lock; what changes on this node meanwhile is stored at the end, also after a refusal."""
        with self._file.locked(wait_s):
            before = self._file.host(self._name).to_plain()
            self._holding = True
            try:
                yield
            except Refused:
                self._store(before)
                raise
            except BaseException:
                self._file.forget()
                raise
            else:
                self._store(before)
            finally:
                self._holding = False

    def fence(self, controller: str) -> int:
        return self._look(lambda host: host.ledger.fence(controller))

    def set_fence(self, controller: str, fence: int) -> None:
        return self._look(lambda host: host.ledger.set_fence(controller, fence))

    def claims(self) -> list[dict[str, Any]]:
        return self._look(lambda host: host.ledger.claims())

    def add_claims(self, new: list[dict[str, Any]]) -> None:
        return self._look(lambda host: host.ledger.add_claims(new))

    def remove_claims(self, workload: str) -> None:
        return self._look(lambda host: host.ledger.remove_claims(workload))

    def _look(self, ask: Callable[[SimulatedHost], T]) -> T:
        with self._file.mutex:
            return ask(self._file.host(self._name))

    def _writing(self) -> AbstractContextManager[None]:
        return nullcontext() if self._holding else self.locked(_LOCK_WAIT_S)

    def _store(self, before: dict[str, Any]) -> None:
        if self._file.host(self._name).to_plain() == before:
            return
        try:
            self._file.save()
        except OSError:
            self._file.forget()
            raise
