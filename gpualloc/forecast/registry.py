"""Forecasters by name; built-in and third-party ones come in by the entry points `gpualloc.forecasters`."""

from __future__ import annotations

from typing import cast

from gpualloc.ports import Forecaster
from gpualloc.ports.plug_ins import PlugIns

FORECASTERS = PlugIns("gpualloc.forecasters", "forecaster", "forecasters", "forecast(grid, horizons)")


def names() -> tuple[str, ...]:
    """Names of all installed forecasters, sorted; none of them is imported."""
    return FORECASTERS.names()


def load(name: str) -> Forecaster:
    """Import the forecaster of that name; raises as `PlugIns.load`."""
    return cast("Forecaster", FORECASTERS.load(name))
