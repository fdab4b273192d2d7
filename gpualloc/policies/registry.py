"""Policies by name. Built-in and third-party ones come in by the same door: the entry points `gpualloc.policies`."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from gpualloc.errors import ConfigError, NotFoundError
from gpualloc.ports import Policy

GROUP = "gpualloc.policies"


def names() -> tuple[str, ...]:
    """Names of all installed policies, sorted; none of them is imported."""
    return tuple(sorted(entries()))


def load(name: str) -> Policy:
    """Import the policy of that name.

    Raises:
        NotFoundError: no installed package brings it; the hint names the nearest.
        ConfigError: the package that brings it is broken; names the package's entry point.
    """
    found = entries()
    if name not in found:
        raise NotFoundError(f"there is no policy {name!r}", hint=_nearest(name, tuple(sorted(found))))
    entry = found[name]
    try:
        policy = entry.load()()
    except Exception as error:  # foreign code may raise anything; it is told, with its cause, not hidden
        raise ConfigError(
            f"the policy {name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}",
            hint="repair or uninstall the package that brings it, or choose another policy",
        ) from error
    return _checked(policy, entry)


def entries() -> dict[str, EntryPoint]:
    """Entry points by name, none imported; of two with the same name the last in the order of their values."""
    return {
        entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))
    }


def _checked(policy: object, entry: EntryPoint) -> Policy:
    for attribute, kind in (("name", str), ("version", str)):
        if not isinstance(getattr(policy, attribute, None), kind):
            raise ConfigError(f"the policy {entry.name!r} ({entry.value}) has no {attribute}")
    if not callable(getattr(policy, "begin", None)):
        raise ConfigError(f"the policy {entry.name!r} ({entry.value}) has no begin(problem)")
    return policy  # type: ignore[return-value]


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known policies: {', '.join(known)}"
