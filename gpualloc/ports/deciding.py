"""What decides and foretells: policies and forecasters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from gpualloc.model.allocation import Allocation
    from gpualloc.model.decision import Problem, Ranked, Rejection
    from gpualloc.model.forecast import Forecasts, Grid
    from gpualloc.model.workload import Workload


class Session(Protocol):
    """One problem being decided; keeps what was placed so far."""

    def place(self, workload: Workload) -> Allocation | Rejection:
        """Give the workload a place in the remaining room, or say why not."""
        ...

    def free(self, allocation: Allocation) -> None:
        """Give an allocation's room back."""
        ...


@runtime_checkable
class Ranking(Protocol):
    """What a session may do beside: tell how it likes the places that a workload could have."""

    def ranking(self, workload: Workload, count: int) -> tuple[Ranked, ...]:
        """The nodes it likes best for the workload now, at most that many, the best first; places nothing."""
        ...


class Policy(Protocol):
    """Decides places. Pure and deterministic: equal problem, equal answer."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever it may decide differently."""
        ...

    def begin(self, problem: Problem) -> Session:
        """Start deciding the problem."""
        ...


class Forecaster(Protocol):
    """Says what series will be. Pure and deterministic: equal grid, equal answer."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever it may answer differently."""
        ...

    def forecast(self, grid: Grid, horizons: Sequence[int]) -> Forecasts:
        """What each series will be after that many ticks; a series with too little known of it gets no answer."""
        ...
