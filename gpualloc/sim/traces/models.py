"""The GPU models that tasks ask for, against those that nodes have."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from msgspec import Struct

from gpualloc.errors import BrokenInputError
from gpualloc.sim.traces.cells import ALTERNATIVES, shown
from gpualloc.sim.traces.trace import Tasks, TraceNode

MAX_ROWS_TOLD = 5
_MODELS_TOLD = 20


class UnknownModel(Struct, frozen=True):
    """A GPU model that tasks ask for and no node has."""

    model: str
    tasks: int
    """How many tasks name it."""
    rows: tuple[int, ...]
    """The first rows that name it, from 0, at most five."""

    def __str__(self) -> str:
        more = ", ..." if self.tasks > len(self.rows) else ""
        return f"{shown(self.model)} in {self.tasks} tasks (rows {', '.join(map(str, self.rows))}{more})"


def check_models(nodes: Iterable[TraceNode], tasks: Tasks) -> tuple[UnknownModel, ...]:
    """The models that tasks name and no node has, by name; case does not count.

    A task that names others beside it can still be placed; one that names only these never can.
    """
    known = {model.casefold() for model in models_of(nodes)}
    wanted = {model for shape in tasks.shapes for model in shape.models}
    unknown = sorted(model for model in wanted if model.casefold() not in known)
    return tuple(_unknown(model, tasks) for model in unknown)


def refuse_unknown(nodes: Iterable[TraceNode], tasks: Tasks) -> None:
    """Refuse tasks that no node's model could ever serve; nothing would be learnt from a run with them.

    Raises:
        BrokenInputError: names the models and the rows.
    """
    nodes = tuple(nodes)
    known = {model.casefold() for model in models_of(nodes)}
    hopeless = {
        model
        for shape in tasks.shapes
        if shape.models and not any(model.casefold() in known for model in shape.models)
        for model in shape.models
    }
    told = [str(unknown) for unknown in check_models(nodes, tasks) if unknown.model in hopeless]
    if told:
        raise BrokenInputError(
            f"{tasks.source}: no node has the GPU model {'; '.join(told[:_MODELS_TOLD])}",
            hint=f"the nodes have {', '.join(sorted(models_of(nodes))[:_MODELS_TOLD]) or 'no GPU'}",
        )


def models_of(nodes: Iterable[TraceNode]) -> frozenset[str]:
    """The GPU models there are."""
    return frozenset(node.model for node in nodes if node.gpus)


def selector(models: Collection[str], known: Collection[str]) -> str | None:
    """The models as `Request.gpu_model` has them: alternatives with | between; None when any will do.

    A selector also takes a model whose name contains it. Where another known model does, the first letter goes into
    brackets, which makes it a pattern for just this model: `[A]10` is not A100.
    """
    return ALTERNATIVES.join(_exactly(model, known) for model in models) or None


def _exactly(model: str, known: Collection[str]) -> str:
    own = model.casefold()
    ambiguous = any(own in other.casefold() and own != other.casefold() for other in known)
    return f"[{model[0]}]{model[1:]}" if ambiguous else model


def _unknown(model: str, tasks: Tasks) -> UnknownModel:
    naming = [index for index, shape in enumerate(tasks.shapes) if model in shape.models]
    rows = np.flatnonzero(np.isin(tasks.shape_of, naming))
    return UnknownModel(model, len(rows), tuple(rows[:MAX_ROWS_TOLD].tolist()))
