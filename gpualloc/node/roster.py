"""The GPUs of a node, each with a thread of its own, while the driver's list of them changes.

A GPU is its UUID. Its index is only its place in the driver's list, which another may take when one is unplugged.
"""

import time
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node.driver import measured
from gpualloc.node.gpu import Gpu
from gpualloc.node.groups import Pace
from gpualloc.node.worker import Hung, Worker, apart

if TYPE_CHECKING:
    from gpualloc.node.costs import Costs
    from gpualloc.node.worker import Job

    Member = tuple[Worker, Gpu]

_COUNT_WITHIN_S = 0.2
"""What is known is good enough when the driver does not even count in that time."""
_LOOK_UP_WITHIN_S = 0.5


class Roster:
    """Every GPU seen since this program began; those that vanished stay on it.

    Args:
        count: how many the driver lists now.
        costs: where calls are counted.
    """

    def __init__(self, count: int, costs: "Costs") -> None:
        self._costs = costs
        self._counter = Worker("count")
        self._count = count
        self._pace = Pace("count")
        self._settled = True
        self._searches: "dict[int, Job]" = {}
        self.members: "list[Member]" = [self._member(index) for index in range(count)]

    def bring_up_to_date(self) -> None:
        """Count the GPUs, and when it is not as it was, find out which are there and where."""
        astray = not self._settled or any(gpu.displaced for _, gpu in self.members)
        count = self._count_now() if self._pace.is_due() or astray else self._count
        if count != self._count or astray:
            self._count = count
            self._sort_out(count)

    def let_go(self, until_s: float) -> None:
        """Give every handle back; raises Hung when that takes beyond `until_s` (monotonic)."""
        for worker, gpu in self.members:
            worker.begin(gpu.let_go).result(until_s)

    def reopened(self, count: int) -> None:
        """The library was opened again, and lists so many."""
        if count != self._count:
            self._settled = False
        self._count = count

    def _member(self, index: int) -> "Member":
        return Worker("gpu-%d" % index), Gpu(index, self._costs, self._others)

    def _others(self, one: "Gpu") -> "list[Gpu]":
        return [gpu for _, gpu in self.members if gpu is not one and gpu.gone is None]

    def _count_now(self) -> int:
        try:
            job = self._counter.begin(lambda: measured(self._costs, "count", "nvmlDeviceGetCount"))
            count: int = job.result(time.monotonic() + _COUNT_WITHIN_S)
        except (Hung, pynvml.NVMLError):
            return self._count
        return count

    def _sort_out(self, count: int) -> None:
        found, silent = self._look_up(count)
        self._settled = not any(job.running for job in self._searches.values())
        until_s = time.monotonic() + _LOOK_UP_WITHIN_S
        members = []
        for worker, gpu in self.members:
            index = found.pop(gpu.learnt_uuid, None) if gpu.learnt_uuid is not None else None
            if gpu.learnt_uuid is None:
                if gpu.index >= count:
                    continue  # nothing was ever learnt of it, and it is not there
                found = {uuid: place for uuid, place in found.items() if place != gpu.index}
            elif worker.busy:
                self._settled = False
            elif index is not None:
                if gpu.gone is not None or gpu.displaced or gpu.index != index:
                    _told(worker, lambda g=gpu, i=index: g.move(i), until_s)
            elif gpu.gone is None and (gpu.index >= count or gpu.index not in silent):
                _told(worker, lambda g=gpu: g.vanish("the driver lists it no more"), until_s)
            members.append((worker, gpu))
        self.members = members + [self._member(index) for index in sorted(found.values())]

    def _look_up(self, count: int) -> "tuple[dict[str, int], set[int]]":
        """Index by UUID, and the indices at which no UUID is told."""
        for index in range(count):
            if index not in self._searches or not self._searches[index].running:
                self._searches[index] = apart("index-%d" % index, lambda i=index: _uuid_at(i))  # type: ignore[misc]
        until_s = time.monotonic() + _LOOK_UP_WITHIN_S
        found: "dict[str, int]" = {}
        for index in range(count):
            try:
                found[self._searches[index].result(until_s)] = index
            except (Hung, pynvml.NVMLError):
                continue
        return found, set(range(count)) - set(found.values())


def _uuid_at(index: int) -> str:
    uuid: str = pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(index))
    return uuid


def _told(worker: "Worker", what: "Any", until_s: float) -> None:
    """Change a GPU in its own thread."""
    try:
        worker.begin(what).result(until_s)
    except Hung:
        return  # it shows at its next reading
