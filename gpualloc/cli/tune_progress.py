"""How far a search is, on stderr of a terminal; silent for the first second and in scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gpualloc.cli.progress import Line, drawn
from gpualloc.engine.measure import Figures, Run
from gpualloc.engine.tune import Progress, Spread
from gpualloc.views.text import bar


class Watch:
    """Draws a bar of candidates, the runs made so far and the best."""

    def __init__(self, budget: int, line: Line) -> None:
        self._budget = budget
        self._line = line
        self._runs = 0
        self._at: Progress | None = None

    def tell(self, progress: Progress) -> None:
        """A generation is over."""
        self._at = progress
        self._line.draw(self.text())

    def spread(self, spread: Spread) -> Spread:
        """The same, counting what is done."""

        def counting(runs: Sequence[Run]) -> Iterator[tuple[int, Figures]]:
            for done in spread(runs):
                self._runs += 1
                self._line.draw(self.text())
                yield done

        return counting

    def clear(self) -> None:
        """Leave the line empty."""
        self._line.wipe()

    def text(self) -> str:
        """What is drawn."""
        at = self._at
        if at is None:
            return f"{bar(0, self._budget, 20)} {self._runs} runs, what there is already is measured"
        best = "" if at.best is None else f"best {at.best:+.3f}, "
        done = f"{min(at.candidates, self._budget)}/{self._budget} candidates, {self._runs} runs"
        return f"{bar(at.candidates, self._budget, 20)} {done}, {best}as it is {at.before:+.3f}"


@contextmanager
def watched(budget: int) -> Iterator[Watch]:
    """A watch whose line is wiped away at the end."""
    with drawn() as line:
        yield Watch(budget, line)
