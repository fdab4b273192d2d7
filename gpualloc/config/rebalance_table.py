"""`[rebalance]`: what may be done to running work, as a pydantic model."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from gpualloc.config.table import HOUR_S, Count, Duration, Flag, Number, Table, duration_s
from gpualloc.model.rebalancing import DEFAULT_RULES, FreezeWindow, RebalanceRules

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? ([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")
_DAY_S = 86_400

WEEK_S = 7 * 24 * HOUR_S


def freeze_window(text: str) -> FreezeWindow:
    """The window that `mon-fri 08:00-18:00` names; one that ends before it begins ends on the next day.

    Raises:
        ValueError: it names none.
    """
    match = _WINDOW.fullmatch(text.casefold())
    if match is None or match[1] not in _DAYS or (match[2] or match[1]) not in _DAYS:
        raise ValueError('as in: "mon-fri 08:00-18:00"')
    first, last = _DAYS.index(match[1]), _DAYS.index(match[2] or match[1])
    from_s, until_s = (int(match[n]) * 3600 + int(match[n + 1]) * 60 for n in (3, 5))
    if from_s >= _DAY_S or until_s > _DAY_S or int(match[4]) > 59 or int(match[6]) > 59:
        raise ValueError("times are 00:00 to 24:00")
    days = frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))
    return FreezeWindow(days, from_s, until_s % _DAY_S)


def _window(text: str) -> str:
    freeze_window(text)
    return text


def _or_never(value: object) -> object:
    return 0.0 if value == "never" else duration_s(value)


class RebalanceTable(Table):
    """`[rebalance]`."""

    moves: Annotated[Count, Field(ge=0, le=1000)] = DEFAULT_RULES.moves
    min_run: Annotated[Duration, Field(le=WEEK_S)] = DEFAULT_RULES.min_run_s
    cool_down: Annotated[Duration, Field(le=WEEK_S)] = DEFAULT_RULES.cool_down_s
    tenant_moves: Annotated[Count, Field(ge=0, le=1000)] = DEFAULT_RULES.tenant_moves
    tenant_window: Annotated[Duration, Field(le=WEEK_S)] = DEFAULT_RULES.tenant_window_s
    freeze: list[Annotated[str, AfterValidator(_window)]] = []
    max_age: Annotated[Duration, Field(ge=1, le=WEEK_S)] = DEFAULT_RULES.max_age_s
    gain_ratio: Annotated[Number, Field(ge=1, le=1000)] = DEFAULT_RULES.gain_ratio
    horizon: Annotated[Duration, Field(ge=60, le=WEEK_S)] = DEFAULT_RULES.horizon_s
    idle_after: Annotated[float, BeforeValidator(_or_never), Field(le=WEEK_S)] = DEFAULT_RULES.idle_after_s
    idle_worth: Annotated[Number, Field(ge=0, le=1)] = DEFAULT_RULES.idle_worth
    predict: Flag = DEFAULT_RULES.predict
    ahead: Flag = DEFAULT_RULES.ahead
    trough_below: Annotated[Number, Field(ge=0, le=1)] = DEFAULT_RULES.trough_below
    trough_power: Annotated[Number, Field(gt=0, le=1)] = DEFAULT_RULES.trough_power
    deadline: Annotated[Duration, Field(ge=0.1, le=HOUR_S)] = 60.0

    def rules(self) -> RebalanceRules:
        """The rules these keys describe."""
        return RebalanceRules(
            moves=self.moves,
            min_run_s=self.min_run,
            cool_down_s=self.cool_down,
            tenant_moves=self.tenant_moves,
            tenant_window_s=self.tenant_window,
            freeze=tuple(map(freeze_window, self.freeze)),
            max_age_s=self.max_age,
            gain_ratio=self.gain_ratio,
            horizon_s=self.horizon,
            idle_after_s=self.idle_after,
            idle_worth=self.idle_worth,
            predict=self.predict,
            ahead=self.ahead,
            trough_below=self.trough_below,
            trough_power=self.trough_power,
        )
