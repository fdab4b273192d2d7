"""What a back-test of forecasts found: figures by model and horizon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, duration, plural

if TYPE_CHECKING:
    from gpualloc.forecast.backtest import BackTest

_DIGITS = 4
_NAIVE, _CHOSEN = "last", "chosen"


def backtest_data(found: BackTest, horizons: Sequence[str]) -> dict[str, object]:
    """`data` of `forecast --backtest --json`; null where nothing could be scored."""
    return {
        "mase": _by_model(found, horizons, found.mase),
        "pinball": _by_model(found, horizons, found.pinball),
        "coverage90": _by_model(found, horizons, found.coverage90),
        "chosen_models": {
            name: {horizon: found.chosen[at][series] or None for at, horizon in enumerate(horizons)}
            for series, name in enumerate(found.names)
        },
        "pinball_unit": "percent of capacity" if found.relative else "unit of the series",
        "mase_scale": "one day earlier" if found.seasonal else "one step earlier",
        "step_s": found.step_s,
        "test_s": found.test_ticks * found.step_s,
    }


def backtest_text(found: BackTest, horizons: Sequence[str], look: Look) -> str:
    """A table for each measure, the naive model first and what was chosen last."""
    unit = "% of capacity" if found.relative else "in the unit of the series"
    scale = "one day" if found.seasonal else "one step"
    measures = (
        (f"error of the median, in parts of that of the value {scale} earlier (MASE)", found.mase, 3),
        (f"pinball loss over the quantiles 0.05, 0.5 and 0.95, {unit}", found.pinball, 3),
        ("values in the 90 % band, %", found.coverage90, 1),
    )
    tested = duration(found.test_ticks * found.step_s)
    head = f"{plural(len(found.names), 'series', 'series')}, the last {tested} of them, from every {_every(found)}"
    blocks = [look.paint(head, Role.STRONG)]
    for title, measure, digits in measures:
        rows = [_row(model, measure, len(horizons), digits) for model in found.scores]
        columns = [Column("model"), *(Column(name, right=True) for name in horizons)]
        blocks.append(f"{title}\n{table(columns, rows, look, indent=2)}")
    blocks.append(_choice(found, horizons))
    return "\n\n".join(blocks)


def _every(found: BackTest) -> str:
    return "step" if found.stride == 1 else f"{found.stride}th step"


def _row(model: str, measure: Callable[[str, int], float | None], horizons: int, digits: int) -> list[str | Cell]:
    role = Role.STRONG if model == _CHOSEN else Role.QUIET if model == _NAIVE else None
    values = [measure(model, at) for at in range(horizons)]
    return [Cell(text, role) for text in (model, *(UNKNOWN if v is None else f"{v:.{digits}f}" for v in values))]


def _choice(found: BackTest, horizons: Sequence[str]) -> str:
    """How many series each model was chosen for, by horizon."""
    lines = ["chosen before that, from how they had done until then:"]
    for at, horizon in enumerate(horizons):
        counts = Counter(name or "nothing can be told" for name in found.chosen[at])
        told = ", ".join(f"{model} {count}" for model, count in sorted(counts.items(), key=lambda pair: -pair[1]))
        lines.append(f"  {horizon:>3}  {told}")
    return "\n".join(lines)


def _by_model(
    found: BackTest, horizons: Sequence[str], measure: Callable[[str, int], float | None]
) -> dict[str, dict[str, float | None]]:
    return {
        model: {horizon: _rounded(measure(model, at)) for at, horizon in enumerate(horizons)} for model in found.scores
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
