"""The compiled replay of replay.c, and what it is told of a trace."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import astuple
from numpy.typing import NDArray

from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.holes import regrets, share_values
from gpualloc.policies.weights import Profile
from gpualloc.sim.traces.trace import Tasks, TraceNode

SOURCE = Path(__file__).with_name("replay.c")
FLAGS = ("-O3", "-ffp-contract=off", "-shared", "-fPIC")
POLICIES = {"pack": 0, "fgd": 1, "best-fit": 2}
KINDS = ("CPU-only", "part", "one", "several")
MOST_GPUS, MOST_MODELS, MOST_SIZES, MOST_SETS, MOST_GANGS = 8, 32, 256, 4096, 16
FGD_COVERS = 0.95
"""FGD expects the most frequent shapes that make up this part of the tasks."""

Ints = NDArray[np.int64]


class Problem(ctypes.Structure):
    """Laid out as in replay.c."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("nodes", "kinds", "shapes", "groups", "steps", "models", "sizes", "sets")),
        *((name, ctypes.c_int) for name in ("gangs", "most_gpus", "most_cpu")),
        *((name, ctypes.c_void_p) for name in ("node_cpu", "node_gpus", "node_model", "node_memory")),
        *((name, ctypes.c_void_p) for name in ("kind_shape", "kind_memory", "kind_models")),
        *((name, ctypes.c_void_p) for name in ("shape_cpu", "shape_gpus", "shape_milli", "shape_size")),
        *((name, ctypes.c_void_p) for name in ("group_size", "group_gpus", "step", "size", "held", "regret")),
        ("cpu_per_gpu", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("set", "set_need", "gang_cpu", "gang_gpus", "gang_coming")),
    )


@cache
def library() -> ctypes.CDLL:
    """The replay, compiled anew for this process."""
    compiler = shutil.which("cc")
    if compiler is None:
        sys.exit("pack_search: no C compiler: there is no `cc` on the PATH (Debian: apt-get install gcc libc6-dev)")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "replay.so"
        done = subprocess.run(
            [compiler, *FLAGS, "-o", str(built), str(SOURCE), "-lm"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"pack_search: {compiler} could not compile {SOURCE}:\n{done.stderr}")
        return ctypes.CDLL(str(built))


class Outcome(Struct, frozen=True):
    node: NDArray[np.int32]
    """For each arrival its node, -1 where it was refused."""
    gpus: NDArray[np.uint32]
    """For each arrival the bits of its GPUs."""
    unallocated_pct: dict[int, float]
    """By load."""
    failed: dict[str, int]
    """Refused tasks by kind, of the whole run."""


class Trace:
    """A cluster and a list of tasks, with what the policies compute from them."""

    def __init__(self, name: str, nodes: Sequence[TraceNode], tasks: Tasks) -> None:
        self.name, self.nodes, self.tasks = name, nodes, tasks
        self.capacity_milli = GPU_MILLI * sum(node.gpus for node in nodes)
        models = sorted({node.model for node in nodes})
        if not all(0 < node.gpus <= MOST_GPUS for node in nodes) or len(models) > MOST_MODELS:
            sys.exit(
                f"pack_search: {name}: nodes of 1 to {MOST_GPUS} GPUs, of {MOST_MODELS} models at most, are expected"
            )
        self._kept: list[NDArray[np.generic]] = []
        counts = np.bincount(tasks.shape_of, minlength=len(tasks.shapes)).tolist()
        everything = (1 << len(models)) - 1
        masks = [
            sum(1 << models.index(model) for model in shape.models if model in models) if shape.models else everything
            for shape in tasks.shapes
        ]
        plain = [(shape.cpu_milli, shape.gpus, shape.milli) for shape in tasks.shapes]
        shapes = list(dict.fromkeys(plain))
        sizes = sorted({milli for _, gpus, milli in shapes if gpus})
        groups = sorted({(sizes.index(milli), gpus) for _, gpus, milli in shapes if gpus})
        steps = sorted({cpu for cpu, _, _ in shapes})
        compute = [count * shape.gpu_milli for count, shape in zip(counts, tasks.shapes, strict=True)]
        frequent = _most_frequent(plain, counts)
        by_count = [count if key in frequent else 0 for count, key in zip(counts, plain, strict=True)]

        def held(weights: list[int]) -> NDArray[np.float64]:
            table = np.zeros((len(models), len(groups), len(steps) + 1))
            for weight, (cpu, gpus, milli), mask in zip(weights, plain, masks, strict=True):
                for model in range(len(models)) if gpus else ():
                    if mask >> model & 1:
                        table[model, groups.index((sizes.index(milli), gpus)), steps.index(cpu) + 1 :] += weight
            return table / sum(weights)

        sets = _unions([mask for mask, (_, gpus, _) in zip(masks, plain, strict=True) if gpus])
        need = [
            sum(demand for demand, mask in zip(compute, masks, strict=True) if not mask & ~one) / sum(compute)
            for one in sets
        ]
        gangs = _gangs(plain, counts)
        common = {
            "nodes": len(nodes),
            "kinds": len(tasks.shapes),
            "shapes": len(shapes),
            "groups": len(groups),
            "steps": len(steps),
            "models": len(models),
            "sizes": len(sizes),
            "sets": len(sets),
            "gangs": len(gangs),
            "most_gpus": max(node.gpus for node in nodes),
            "most_cpu": max(node.cpu_milli for node in nodes),
            "node_cpu": self._array([node.cpu_milli for node in nodes]),
            "node_gpus": self._array([node.gpus for node in nodes]),
            "node_model": self._array([models.index(node.model) for node in nodes]),
            "node_memory": self._array([node.memory_mib for node in nodes], np.int64),
            "kind_shape": self._array([shapes.index(key) for key in plain]),
            "kind_memory": self._array([shape.memory_mib for shape in tasks.shapes], np.int64),
            "kind_models": self._array(masks, np.uint32),
            "shape_cpu": self._array([cpu for cpu, _, _ in shapes]),
            "shape_gpus": self._array([gpus for _, gpus, _ in shapes]),
            "shape_milli": self._array([milli for _, _, milli in shapes]),
            "shape_size": self._array([sizes.index(milli) if gpus else -1 for _, gpus, milli in shapes]),
            "group_size": self._array([size for size, _ in groups]),
            "group_gpus": self._array([gpus for _, gpus in groups]),
            "step": self._array(steps),
            "size": self._array(sizes),
            "regret": self._array(self._regret(sizes, plain, counts), np.float64),
            "cpu_per_gpu": _cpu_per_gpu(plain, counts),
            "set": self._array(sets, np.uint32),
            "set_need": self._array(need, np.float64),
            "gang_cpu": self._array([cpu for cpu, _, _ in gangs]),
            "gang_gpus": self._array([gpus for _, gpus, _ in gangs]),
            "gang_coming": self._array([coming for _, _, coming in gangs], np.float64),
        }
        expected = {"pack": held(compute), "fgd": held(by_count), "best-fit": held(by_count)}
        self._problems = {
            policy: Problem(**common, held=self._array(table, np.float64)) for policy, table in expected.items()
        }

    def play(self, order: Ints, profile: Profile, policy: str = "pack", load: float | None = None) -> Outcome:
        """Play the rows in that order, or as many as bring the demand to that load (1 is all GPUs)."""
        milli = self.tasks.gpu_milli[order]
        arrived = np.cumsum(milli)
        if load is not None:
            order = order[: int(np.searchsorted(arrived, load * self.capacity_milli, side="right"))]
            milli, arrived = milli[: len(order)], arrived[: len(order)]
        kinds = np.ascontiguousarray(self.tasks.shape_of[order], np.int32)
        node, gpus = np.empty(len(order), np.int32), np.empty(len(order), np.uint32)
        numbers = [
            np.array(values, np.float64)
            for values in (astuple(profile.gpu), astuple(profile.cpu), (profile.spare_cpu, *astuple(profile.constants)))
        ]
        status = library().replay(
            ctypes.byref(self._problems[policy]),
            POLICIES[policy],
            *(ctypes.c_void_p(array.ctypes.data) for array in (*numbers, kinds)),
            len(order),
            ctypes.c_void_p(node.ctypes.data),
            ctypes.c_void_p(gpus.ctypes.data),
        )
        if status:
            raise MemoryError("pack_search: no memory for the replay")
        allocated = np.cumsum(np.where(node >= 0, milli, 0))
        kind_of = [_kind(shape.gpus, shape.milli) for shape in self.tasks.shapes]
        refused = Counter(kind_of[kind] for kind in kinds[node < 0].tolist())
        return Outcome(node, gpus, self._unallocated(arrived, allocated), {kind: refused[kind] for kind in KINDS})

    def _unallocated(self, arrived: Ints, allocated: Ints) -> dict[int, float]:
        """As `gpualloc.sim.traces.curve` has it."""
        load, rest = np.divmod(100 * arrived, self.capacity_milli)
        load += 2 * rest + load % 2 > self.capacity_milli
        return {
            pct: 100 - 100 * float(allocated[load == pct].mean()) / self.capacity_milli
            for pct in (95, 100, 130)
            if (load == pct).any()
        }

    def _regret(self, sizes: list[int], plain: list[tuple[int, int, int]], counts: list[int]) -> NDArray[np.float64]:
        parts: Counter[int] = Counter()
        for (_, gpus, milli), count in zip(plain, counts, strict=True):
            parts[milli] += gpus * count
        if len(sizes) > MOST_SIZES:
            sys.exit(f"pack_search: {self.name}: {len(sizes)} parts of a GPU, and {MOST_SIZES} at most are expected")
        distinct = np.array(sizes, np.int64)
        demand = np.array([parts[size] for size in sizes], np.float64)
        return regrets(distinct, share_values(distinct, demand, self.capacity_milli / GPU_MILLI))

    def _array(self, values: object, kind: type[np.generic] = np.int32) -> int:
        """Address of an array that lives as long as the trace."""
        self._kept.append(np.ascontiguousarray(values, kind))
        return self._kept[-1].ctypes.data


def _kind(gpus: int, milli: int) -> str:
    if not gpus:
        return "CPU-only"
    return "several" if gpus > 1 else "part" if milli < GPU_MILLI else "one"


def _most_frequent(plain: list[tuple[int, int, int]], counts: list[int]) -> set[tuple[int, int, int]]:
    """The shapes FGD expects; among equally frequent ones the larger count first."""
    totals: Counter[tuple[int, int, int]] = Counter()
    for key, count in zip(plain, counts, strict=True):
        totals[key] += count
    ranked = sorted(totals, key=lambda key: (totals[key], key[0], key[2], key[1]), reverse=True)
    covered = np.cumsum([totals[key] for key in ranked])
    return set(ranked[: int(np.searchsorted(covered, FGD_COVERS * sum(counts))) + 1])


def _cpu_per_gpu(plain: list[tuple[int, int, int]], counts: list[int]) -> float:
    """CPU that tasks with GPUs ask for, per GPU."""
    cpu = sum(cpu * count for (cpu, gpus, _), count in zip(plain, counts, strict=True) if gpus)
    return cpu / (sum(gpus * milli * count for (_, gpus, milli), count in zip(plain, counts, strict=True)) / GPU_MILLI)


def _unions(masks: list[int]) -> list[int]:
    """The empty set, the sets of models, and all their unions."""
    sets = [0]
    for mask in masks:
        sets += [union for union in dict.fromkeys(one | mask for one in sets) if union not in sets]
    if len(sets) > MOST_SETS:
        sys.exit(f"pack_search: {len(sets)} sets of models, and {MOST_SETS} at most are expected")
    return sets


def _gangs(plain: list[tuple[int, int, int]], counts: list[int]) -> list[tuple[int, int, float]]:
    """CPU and GPUs of the gangs with the largest demand, and how many as demanding ones come per GPU of demand."""
    coming: defaultdict[tuple[int, int], int] = defaultdict(int)
    for (cpu, gpus, _), count in zip(plain, counts, strict=True):
        if gpus > 1:
            coming[gpus, cpu] += count
    total = sum(gpus * milli * count for (_, gpus, milli), count in zip(plain, counts, strict=True)) / GPU_MILLI
    ranked = sorted(coming, key=lambda key: (-coming[key] * key[0], key))[:MOST_GANGS]
    return [
        (cpu, gpus, sum(n for other, n in coming.items() if other[0] >= gpus and other[1] >= cpu) / total)
        for gpus, cpu in ranked
    ]
