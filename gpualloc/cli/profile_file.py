"""Declared profiles on disk: what work is expected to use over its run (docs/phases.md)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from gpualloc.errors import BrokenInputError, UsageError
from gpualloc.model.declared import DeclaredPhase
from gpualloc.model.units import parse_duration_s, parse_memory_mib

_TABLE = "profile"
_KEYS = ("for", "gpu", "memory", "phase")


def read_profile(path: Path) -> tuple[DeclaredPhase, ...]:
    """Read a declared profile: TOML, or JSON when its name ends in `.json`.

    Raises:
        BrokenInputError: it cannot be read, or says something that is no profile.
    """
    kind = "JSON" if path.suffix == ".json" else "TOML"
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if kind == "JSON" else tomllib.loads(text)
    except OSError as error:
        raise BrokenInputError(f"the profile file {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BrokenInputError(f"the profile file {path} is not {kind}: {error}") from error
    phases = document.get(_TABLE) if isinstance(document, dict) and set(document) == {_TABLE} else None
    if not isinstance(phases, list) or not phases:
        raise BrokenInputError(
            f"{path} holds no {_TABLE!r} list, or something beside it",
            hint=f'write a [[{_TABLE}]] table for each phase, with for = "30m", gpu = 0.9, memory = "20GiB"',
        )
    return tuple(_phase(f"{path}, phase {number}", plain) for number, plain in enumerate(phases, start=1))


def _phase(where: str, plain: object) -> DeclaredPhase:
    if not isinstance(plain, dict):
        raise BrokenInputError(f"{where} is not a table")
    for key in plain:
        if key not in _KEYS:
            near = get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(_KEYS)}"
            raise BrokenInputError(f"{where}: {key!r} is not a key", hint=hint)
    lasts, memory = _text(where, plain, "for"), _text(where, plain, "memory")
    try:
        return DeclaredPhase(
            for_s=None if lasts is None else parse_duration_s(lasts),
            gpu=_number(where, plain, "gpu"),
            memory_mib=None if memory is None else parse_memory_mib(memory),
            phase=_text(where, plain, "phase"),
        )
    except UsageError as error:
        raise BrokenInputError(f"{where}: {error.message}", hint=error.hint) from error


def _text(where: str, plain: Mapping[str, object], key: str) -> str | None:
    value = plain.get(key)
    if value is not None and not isinstance(value, str):
        raise BrokenInputError(f"{where}: {key} is not a text", hint='write for = "30m" and memory = "20GiB"')
    return value


def _number(where: str, plain: Mapping[str, object], key: str) -> float | None:
    value = plain.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BrokenInputError(f"{where}: {key} is not a number", hint="write gpu = 0.9 for 90 %")
    return float(value)
