"""Forecasters by name; built-in and third-party ones come in by the entry points `gpualloc.forecasters`."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from gpualloc.errors import ConfigError, GpuallocError, NotFoundError
from gpualloc.ports import Forecaster

GROUP = "gpualloc.forecasters"


def names() -> tuple[str, ...]:
    """Names of all installed forecasters, sorted; none of them is imported."""
    return tuple(sorted(entries()))


def load(name: str) -> Forecaster:
    """Import the forecaster of that name.

    Raises:
        NotFoundError: no installed package brings it; the hint names the nearest.
        ConfigError: the package that brings it is broken or needs another one; names the package's entry point.
    """
    found = entries()
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known forecasters: {', '.join(sorted(found))}"
        raise NotFoundError(f"there is no forecaster {name!r}", hint=hint)
    entry = found[name]
    try:
        forecaster = entry.load()()
    except GpuallocError:
        raise
    except Exception as error:  # foreign code may raise anything; it is told, with its cause, not hidden
        raise ConfigError(
            f"the forecaster {name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}",
            hint="repair or uninstall the package that brings it, or choose another forecaster",
        ) from error
    return _checked(forecaster, entry)


def entries() -> dict[str, EntryPoint]:
    """Entry points by name, none imported; of two with the same name the last in the order of their values."""
    return {
        entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))
    }


def _checked(forecaster: object, entry: EntryPoint) -> Forecaster:
    for attribute in ("name", "version"):
        if not isinstance(getattr(forecaster, attribute, None), str):
            raise ConfigError(f"the forecaster {entry.name!r} ({entry.value}) has no {attribute}")
    if not callable(getattr(forecaster, "forecast", None)):
        raise ConfigError(f"the forecaster {entry.name!r} ({entry.value}) has no forecast(grid, horizons)")
    return forecaster  # type: ignore[return-value]
