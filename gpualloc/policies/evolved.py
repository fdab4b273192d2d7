"""Nodes rated by expressions over features, one for work with GPUs and one for work without, as `tune` finds them.

What the cluster asks for a place (scarce models, room for gangs) is that of `pack`; so is, without a profile, the rest.
The idea of searching scoring expressions: Romera-Paredes et al., "Mathematical discoveries from program search with
large language models", Nature 2024; Koza, "Genetic Programming", 1992.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from msgspec import Struct

from gpualloc.errors import BrokenInputError
from gpualloc.model.decision import Problem
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.board import Board, Floats
from gpualloc.policies.demand import Demand
from gpualloc.policies.expression import Expression, Feature, Number, Operation, expression_of, parts, plain, value_of
from gpualloc.policies.fragments import Fragments
from gpualloc.policies.options import Options
from gpualloc.policies.pack import PackScorer
from gpualloc.policies.profile import Profile
from gpualloc.policies.session import BoardSession, Taste
from gpualloc.policies.weights import DEFAULT

FEATURES: Mapping[str, str] = {
    "fall": "fall of the expected fragment, shapes weighed by compute, GPUs",
    "fall_by_count": "the same, shapes weighed by how often they come, GPUs",
    "regret": "loss of the hole on the device; 0 but for parts of one GPU",
    "deficit": "fall of the idle GPUs that lack CPU, GPUs",
    "cores": "CPU left on the node, in GPUs' worth, of the largest node's",
    "whole": "idle devices left on the node, of the largest node's",
    "idle": "idle compute left on the node, of the largest node's",
    "device": "compute left on the device, GPUs; 0 but for parts of one GPU",
    "opens": "1 where an idle device is begun, else 0",
    "assort": "work and node alike in CPU per GPU",
    "gpus": "compute asked for, GPUs",
    "cpu": "CPU asked for, in GPUs' worth",
}
"""What an expression may look at, and what it is."""


class Expressions(Struct, frozen=True):
    """One for each kind of work; higher is better."""

    gpu: Expression
    cpu: Expression


def _sum_of(weights: Mapping[str, float]) -> Expression:
    """The weighted sum, as `pack` has it."""
    total: Expression = Feature("fall")
    for name, weight in weights.items():
        total = Operation("+", total, Operation("*", Number(weight), Feature(name)))
    return total


AS_PACK = Expressions(
    gpu=_sum_of(
        {
            "regret": -DEFAULT.gpu.regret,
            "deficit": DEFAULT.gpu.deficit,
            "cores": DEFAULT.gpu.cores,
            "whole": DEFAULT.gpu.whole,
            "assort": DEFAULT.gpu.assort,
        }
    ),
    cpu=_sum_of({"deficit": DEFAULT.cpu.deficit, "cores": DEFAULT.cpu.cores, "whole": DEFAULT.cpu.whole}),
)
"""What `pack` does, as expressions: where a search begins."""


class ExpressionScorer(PackScorer):
    """As the scorer of `pack`, but nodes are rated by expressions."""

    def __init__(self, board: Board, demand: Demand, expressions: Expressions) -> None:
        super().__init__(board, demand, DEFAULT)
        self._expressions = expressions
        self._used = {kind: _names(expression) for kind, expression in _by_kind(expressions).items()}
        counted = any("fall_by_count" in names for names in self._used.values())
        self._by_count = Fragments(board, demand) if counted else None
        self._features: Mapping[str, Callable[[Options], Floats | float]] = {
            "fall": lambda options: self._fragments.before(options) - self._fragments.after(options),
            "fall_by_count": self._fall_by_count,
            "regret": self._regrets,
            "deficit": self._deficits,
            "cores": lambda options: options.cpu_left / (self._cpu_per_gpu * self._largest),
            "whole": lambda options: (self._whole[options.rows] - self._opened(options)) / self._largest,
            "idle": lambda options: self._idle_left(options) / (GPU_MILLI * self._largest),
            "device": lambda options: (options.free - options.shape.milli) / GPU_MILLI if options.by_device else 0.0,
            "opens": lambda options: np.minimum(1.0, self._opened(options)),
            "assort": self.assort,
            "gpus": lambda options: options.shape.gpu_milli / GPU_MILLI,
            "cpu": lambda options: options.shape.cpu_milli / self._cpu_per_gpu,
        }

    def __call__(self, options: Options) -> Floats:
        """What the expression for its kind of work says."""
        self._catch_up()
        kind = "gpu" if options.shape.gpus else "cpu"
        zero = np.zeros(options.size)
        features: dict[str, Floats] = {name: zero + self._features[name](options) for name in self._used[kind]}
        # One that looks at nothing rates all places alike.
        return value_of(_by_kind(self._expressions)[kind], features or {"": zero})

    def _opened(self, options: Options) -> Floats:
        """How many idle devices each option begins."""
        if options.by_device:
            idle: Floats = (options.free == GPU_MILLI).astype(np.float64)
            return idle
        return np.full(options.size, float(options.shape.gpus if options.shape.milli == GPU_MILLI else 0))

    def _idle_left(self, options: Options) -> Floats:
        left: Floats = (self._idle[options.rows] - options.shape.gpu_milli).astype(np.float64)
        return left

    def _fall_by_count(self, options: Options) -> Floats | float:
        if self._by_count is None:
            return 0.0
        return self._by_count.before(options) - self._by_count.after(options)

    def _regrets(self, options: Options) -> Floats | float:
        if not options.by_device:
            return 0.0
        return self._regret.of(options.shape.milli)[options.free]

    def _deficits(self, options: Options) -> Floats:
        rows = options.rows
        idle = (self._idle[rows] - options.shape.gpu_milli) / GPU_MILLI
        fall: Floats = self._deficit[rows] - np.maximum(0.0, idle - options.cpu_left / self._enough)
        return fall


def _by_kind(expressions: Expressions) -> dict[str, Expression]:
    return {"gpu": expressions.gpu, "cpu": expressions.cpu}


def _names(expression: Expression) -> tuple[str, ...]:
    return tuple(sorted({part.name for part in parts(expression) if isinstance(part, Feature)}))


def expressions_of(profile: Profile) -> Expressions:
    """The expressions of a saved profile.

    Raises:
        BrokenInputError: it has others than `gpu` and `cpu`, or one is wrong: tells which part.
    """
    for kind in sorted(profile.expressions.keys() ^ {"gpu", "cpu"}):
        what = "is missing" if kind in ("gpu", "cpu") else "is not known"
        raise BrokenInputError(f"the expression {kind[:60]!r} {what}", hint="evolved has expressions for gpu and cpu")
    read = {kind: expression_of(found, FEATURES, kind) for kind, found in profile.expressions.items()}
    return Expressions(read["gpu"], read["cpu"])


def content_of_expressions(expressions: Expressions) -> dict[str, object]:
    """The expressions as a profile has them; the opposite of `expressions_of`."""
    return {kind: plain(expression) for kind, expression in _by_kind(expressions).items()}


class Evolved:
    """Rates places by the expressions of a profile; without one as pack does."""

    name = "evolved"
    version = "1"

    def __init__(self, expressions: Expressions = AS_PACK, version: str = version) -> None:
        self._expressions = expressions
        self.version = version

    def with_profile(self, saved: Profile) -> Evolved:
        """This policy by the saved expressions.

        Raises:
            BrokenInputError: they are not its own, or wrong.
        """
        return Evolved(expressions_of(saved), saved.version(Evolved.version))

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(
            problem, Taste(lambda board, demand: ExpressionScorer(board, demand, self._expressions), by_memory=True)
        )
