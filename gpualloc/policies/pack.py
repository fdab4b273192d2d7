"""The default policy: places such that what stays idle can still be used, by work like that which is expected.

A score is a weighted sum, in GPUs, of what a placement does to its node, less what the cluster asks for it (see
`policies.weights`; docs/packing.md tells where each comes from). What is expected enters as frequencies of shapes only.
Values, prices and proportions are computed from it and from the cluster, so that weights are the same for all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpualloc.model.decision import Problem
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.ask import Ask
from gpualloc.policies.board import Board, Floats, Ints
from gpualloc.policies.demand import Demand
from gpualloc.policies.fragments import Fragments
from gpualloc.policies.holes import regrets, share_values
from gpualloc.policies.options import Options
from gpualloc.policies.packer import PricedScorer
from gpualloc.policies.profile import Profile as SavedProfile
from gpualloc.policies.scarcity import GangPrices, ModelPrices
from gpualloc.policies.session import BoardSession, Taste
from gpualloc.policies.weights import DEFAULT, Profile, profile_of

_FAR = 2.0
"""How far CPU per GPU counts as unusual, in parts of the usual."""


class PackScorer(PricedScorer):
    """Scores of one problem."""

    def __init__(self, board: Board, demand: Demand, profile: Profile) -> None:
        self._board = board
        self._profile = profile
        self._fragments = Fragments(board, demand, by_compute=True)
        self._cpu_per_gpu = _cpu_per_gpu(demand)
        self._largest = max(int(board.total_gpus.max(initial=0)), 1)
        self._regret = _Regret(demand, int(board.total_gpus.sum()))
        self._models = ModelPrices(board, demand, profile.constants)
        self._gangs = GangPrices(demand, profile.constants)
        self._seen = 0
        self._idle: Ints = np.zeros(board.nodes, np.int64)
        self._whole: Ints = np.zeros(board.nodes, np.int64)
        self._slots: Ints = np.zeros((board.nodes, len(self._gangs.gpus)), np.int64)
        self._slot_sum: Ints = np.zeros(len(self._gangs.gpus), np.int64)
        self._idle_of_model: Floats = np.zeros(len(board.models) + 1)
        self.goods = len(self._gangs.gpus)
        self._read(np.arange(board.nodes))

    def __call__(self, options: Options) -> Floats:
        """What the placement does to its node."""
        self._catch_up()
        shape, rows = options.shape, options.rows
        weights = self._profile.gpu if shape.gpus else self._profile.cpu
        cpu, idle = options.cpu_left, self._idle[rows] - shape.gpu_milli
        opened = shape.gpus if shape.milli == GPU_MILLI else 0
        whole = self._whole[rows] - (options.free == GPU_MILLI if options.by_device else opened)
        score = weights.demand * (self._fragments.before(options) - self._fragments.after(options))
        score += weights.deficit * (self._deficit(self._board.cpu[rows], self._idle[rows]) - self._deficit(cpu, idle))
        score += cpu * (weights.cores / (self._cpu_per_gpu * self._largest)) + whole * (weights.whole / self._largest)
        if shape.gpus:
            score += weights.assort * self._assort(options)
            if options.by_device:
                score -= weights.regret * self._regret.of(shape.milli)[options.free]
        return score

    def costs(self, options: Options) -> Ints:
        """Room for each kind of gang."""
        rows, shape = options.nodes, options.shape
        lost = np.zeros((self.goods, 2, len(rows)), np.int64)
        if self.goods:
            cpu, whole, now = self._board.cpu[rows] - shape.cpu_milli, self._whole[rows], self._slots[rows]
            lost[:, 0] = (now - self._gangs.slots(whole, cpu)).T
            if shape.gpus:
                lost[:, 1] = (now - self._gangs.slots(np.maximum(whole - shape.gpus, 0), cpu)).T
        return lost

    def price(self, ask: Ask, costs: npt.NDArray[np.int16]) -> Floats | None:
        """What scarce models and room for gangs cost."""
        self._catch_up()
        shape = ask.shape
        weights = self._profile.gpu if shape.gpus else self._profile.cpu
        idle = float(self._idle_of_model[:-1].sum()) / GPU_MILLI
        total: Floats | None = None
        for good, price in self._gangs.now(self._slot_sum, idle, shape):
            cost = costs[good] * (weights.slot * price)
            total = cost if total is None else np.maximum(total, cost)
        if shape.gpus and self._models.needed:
            each = self._models.now(self._idle_of_model[:-1] / GPU_MILLI)
            scarce = each * (weights.model * shape.gpu_milli / GPU_MILLI)
            total = np.stack([scarce, scarce]) if total is None else total + scarce
        return total

    def _deficit(self, cpu: Ints, idle: Ints) -> Floats:
        enough = self._profile.spare_cpu * self._cpu_per_gpu
        return np.maximum(0.0, idle / GPU_MILLI - cpu / enough)

    def _assort(self, options: Options) -> Floats:
        shape, rows = options.shape, options.rows
        asked = shape.cpu_milli / (shape.gpu_milli / GPU_MILLI) / self._cpu_per_gpu - 1
        idle = self._idle[rows] / GPU_MILLI
        there = (
            np.where(idle > 0, self._board.cpu[rows] / np.where(idle > 0, idle, 1.0), np.inf) / self._cpu_per_gpu - 1
        )
        return min(_FAR, asked) * np.minimum(_FAR, there)

    def _catch_up(self) -> None:
        changes = self._board.changes
        if self._seen < len(changes):
            self._read(np.array(list(set(changes[self._seen :])), np.int64))
            self._seen = len(changes)

    def _read(self, rows: Ints) -> None:
        free = self._board.free[rows]
        idle = free.sum(axis=1)
        np.add.at(self._idle_of_model, self._models.model_of[rows], idle - self._idle[rows])
        self._idle[rows] = idle
        self._whole[rows] = (free == GPU_MILLI).sum(axis=1)
        slots = self._gangs.slots(self._whole[rows], self._board.cpu[rows])
        self._slot_sum += (slots - self._slots[rows]).sum(axis=0)
        self._slots[rows] = slots


class _Regret:
    """What a share loses of a device's free part, by its size and that part."""

    def __init__(self, demand: Demand, gpus: int) -> None:
        counts: dict[int, float] = {}
        for shape, weight in zip(demand.shapes, demand.weights, strict=True):
            if shape.gpus:
                counts[shape.milli] = counts.get(shape.milli, 0.0) + weight * shape.gpus
        self._sizes: Ints = np.array(sorted(counts), np.int64)
        self._table: dict[int, Floats] = {}
        self._values: Floats = np.zeros(0)
        if counts and gpus:
            self._values = share_values(self._sizes, np.array([counts[size] for size in sorted(counts)]), gpus)

    def of(self, milli: int) -> Floats:
        """(1001,) by the free part; a size that nobody expected is worth what it takes from the others."""
        if milli not in self._table:
            place = int(np.searchsorted(self._sizes, milli))
            known = place < len(self._sizes) and self._sizes[place] == milli
            sizes = self._sizes if known else np.append(self._sizes, milli)
            values = self._values if known else np.append(self._values, 0.0)
            self._table[milli] = regrets(sizes, values)[place if known else -1]
        return self._table[milli]


def _cpu_per_gpu(demand: Demand) -> float:
    """CPU that work with GPUs asks for, per GPU, 1/1000; never 0."""
    cpu = gpus = 0.0
    for shape, weight in zip(demand.shapes, demand.weights, strict=True):
        if shape.gpus:
            cpu += weight * shape.cpu_milli
            gpus += weight * shape.gpu_milli / GPU_MILLI
    return cpu / gpus if cpu and gpus else 1000.0


class Pack:
    """Packs by fragments, holes, CPU, scarce models and room for gangs."""

    name = "pack"
    version = "1"

    def __init__(self, profile: Profile = DEFAULT, version: str = version) -> None:
        self._profile = profile
        self.version = version

    def with_profile(self, saved: SavedProfile) -> Pack:
        """This policy by the saved weights.

        Raises:
            BrokenInputError: they are not its own: one is missing, not known, or without meaning.
        """
        return Pack(profile_of(saved.weights), saved.version(Pack.version))

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(
            problem, Taste(lambda board, demand: PackScorer(board, demand, self._profile), by_memory=True)
        )
