"""What the tables of a configuration file are made of, as pydantic types."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from gpualloc.errors import UsageError
from gpualloc.model.units import parse_duration_s

HOUR_S = 3600.0


def duration_s(value: object) -> object:
    """A duration from text or a plain number of seconds; anything else is left for the strict check to refuse."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return value
    try:
        return parse_duration_s(str(value))
    except UsageError as error:
        raise ValueError(error.hint) from error


def _count(value: object) -> object:
    """A whole number, or the text of one as variables and flags give it."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) else value


def _number(value: object) -> object:
    """A number, whole or not, or the text of one as variables and flags give it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return float(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else value


def _flag(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

Duration = Annotated[float, BeforeValidator(duration_s)]
Count = Annotated[int, BeforeValidator(_count)]
Number = Annotated[float, BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_flag)]


class Table(BaseModel):
    """A TOML table: no unknown keys, no values of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
