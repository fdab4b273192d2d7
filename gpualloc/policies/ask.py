"""A request in the terms of a board: what it takes, and which nodes and devices it may use at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from gpualloc.model.allocation import Share
from gpualloc.model.cpus import NEAR, highest_cpu
from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.model.workload import Request
from gpualloc.policies.board import Board, Flags, Ints, milli
from gpualloc.policies.filters import allowed, matches_model
from gpualloc.policies.room import MEMORY_MARGIN_MIB, NodeRoom


def shape_of(request: Request) -> Shape:
    """What the request takes, without its constraints on nodes and GPU memory."""
    models = tuple(sorted(set(request.gpu_model.split("|")))) if request.gpu_model else ()
    part = milli(request.fraction) if request.fraction is not None else GPU_MILLI
    return Shape(milli(request.cpus or 0.0), request.memory_mib or 0, request.gpus, part if request.gpus else 0, models)


class Ask(Struct, frozen=True, eq=False):
    """One kind of request on one board; requests of one kind fit the same places."""

    kind: int
    """Number of what is scored once: equal for requests that differ in host memory only."""
    shape: Shape
    share: Share
    fraction: float
    numa: bool
    """Whether all its devices must be near one NUMA node."""
    nodes: Flags
    """(N,) nodes that may hold it, whatever is free."""
    devices: Flags
    """(N, G) devices of a model that will do, on nodes that may hold it."""
    memory_each: Ints | None
    """(N, G) GPU memory it books on each device, MiB; None when it takes all there is."""
    memory_needed: Ints | None
    """(N, G) GPU memory that must be free on each device, MiB; None when none is asked for."""
    conceivable: bool
    """Whether some node had room for it if it were empty."""

    def usable(self, board: Board, rows: Ints) -> Flags:
        """Which devices of those rows could each serve a part of it now; (K, G)."""
        if self.share is Share.EXCLUSIVE:
            found = self.devices[rows] & board.whole[rows]
        else:
            found = self.devices[rows] & (board.parts[self.share][rows] >= self.shape.milli)
        if self.memory_needed is not None:
            found &= board.gpu_memory[rows] >= self.memory_needed[rows]
        return _on_one_numa_node(found, board.numa[rows], self.shape.gpus) if self.numa else found

    def fits(self, board: Board, rows: Ints, usable: Flags) -> Flags:
        """On which of those rows the whole of it fits but for host memory; (K,)."""
        shape = self.shape
        found = self.nodes[rows] & (board.cpu[rows] >= shape.cpu_milli)
        if shape.gpus == 1:
            found &= usable.any(axis=1)
        elif shape.gpus:
            found &= usable.sum(axis=1) >= shape.gpus
        return found


def ask_of(request: Request, kind: int, board: Board, rooms: Sequence[NodeRoom], takes_work: Flags) -> Ask:
    """What the request is on the board of these rooms.

    Args:
        request: any request but one for MIG instances or a gang.
        kind: number of its kind.
        board: the board.
        rooms: what its rows were read from; only what does not change is looked at.
        takes_work: (N,) nodes that new work may go to at all.
    """
    nodes = takes_work
    if request.nodes or request.labels or request.near or request.cpuset or request.share is Share.MPS:
        nodes = nodes & np.array([_may_hold(room, request) for room in rooms], np.bool_)
    models = [request.gpu_model is None or matches_model(model, request.gpu_model) for model in board.models]
    right = np.array([*models, False], np.bool_)[board.model]  # the model of an absent device is -1: the last
    each = needed = None
    if request.share is not Share.EXCLUSIVE:
        each = _memory_of_shares(request, board.shareable)
        needed, right = each + MEMORY_MARGIN_MIB, right & (each >= 1)
    elif request.gpu_memory_mib is not None:
        needed = np.full_like(board.shareable, request.gpu_memory_mib + MEMORY_MARGIN_MIB)
    shape, devices = shape_of(request), right & nodes[:, None]
    large = devices.sum(axis=1) >= shape.gpus if shape.gpus else nodes
    return Ask(
        kind=kind,
        shape=shape,
        share=request.share,
        fraction=request.fraction or 1.0,
        numa=request.numa,
        nodes=nodes,
        devices=devices,
        memory_each=each,
        memory_needed=needed,
        conceivable=bool((large & (board.total_cpu >= shape.cpu_milli)).any()),
    )


def _memory_of_shares(request: Request, shareable_mib: Ints) -> Ints:
    """What `filters.slice_memory_mib` says for each device."""
    if request.gpu_memory_mib is not None:
        return np.full_like(shareable_mib, request.gpu_memory_mib)
    each: Ints = np.floor((request.fraction or 0.0) * shareable_mib).astype(np.int64) - MEMORY_MARGIN_MIB
    return each


def _may_hold(room: NodeRoom, request: Request) -> bool:
    if not allowed(room.node, request):
        return False
    if request.share is Share.MPS and not room.node.mps:
        return False
    cpus = room.node.host.cpus
    return request.cpuset in (None, NEAR) or (cpus is not None and highest_cpu(request.cpuset) < cpus)


def _on_one_numa_node(usable: Flags, numa: np.ndarray, gpus: int) -> Flags:
    """Of the usable devices of each row, those of the NUMA node that has enough with the fewest to spare."""
    usable = usable & (numa >= 0)
    if gpus == 1:
        return usable
    groups = range(int(numa.max(initial=-1)) + 1)
    counts = np.stack([(usable & (numa == group)).sum(axis=1) for group in groups], axis=1) if groups else None
    if counts is None:
        return np.zeros_like(usable)
    spare = np.where(counts >= gpus, counts, np.iinfo(np.int64).max)
    chosen = spare.argmin(axis=1)
    enough = counts.max(axis=1) >= gpus
    found: Flags = usable & (numa == chosen[:, None]) & enough[:, None]
    return found
