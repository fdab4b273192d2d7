"""Parts that many nodes tell alike, kept once: a fleet of the same boards says the same of each of them."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from gpualloc.adapters.fields import Fields

_MAX_PARTS = 64
"""Of each kind; with more of them nodes are not alike."""
_ALIKE: Mapping[str, tuple[str, ...]] = {"inventory": ("mig_profiles", "settings"), "sample": ("nvlinks", "ecc")}
"""Of each answer, which parts of its devices are large or many, and hardly ever change."""
_JSON_ONLY = 2
"""With this format of marshal the bytes say what is in a value, and nothing of how it came about."""
_LATELY = 16
_T = TypeVar("_T")


class AlikeParts:
    """Puts one object in place of many that say the same. Usable from several threads."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, bytes], object] = {}

    def share(self, told: object) -> None:
        """Exchange what many nodes say in the answers of one, which are JSON; what is no such answer stays as it is."""
        for verb, names in _ALIKE.items():
            answer = told.get(verb) if isinstance(told, dict) else None
            devices = answer.get("devices") if isinstance(answer, dict) else None
            for row in devices if isinstance(devices, list) else ():
                if isinstance(row, dict):
                    row.update({name: self._one(name, row[name]) for name in names if name in row})

    def _one(self, name: str, part: Any) -> Any:
        try:
            # Not compared by their worth: true is 1 then, and what one node garbles would be told of another.
            key = name, marshal.dumps(part, _JSON_ONLY)
        except ValueError:
            return part  # Nested too deep to be anything that we know.
        if key not in self._parts and len(self._parts) >= _MAX_PARTS * len(_ALIKE):
            self._parts.clear()
        return self._parts.setdefault(key, part)


class DecodedOnce(Generic[_T]):
    """Reads a part of a record, but for those that were read lately: they are known again as the objects they came in.

    Usable from several threads.

    Args:
        name: key of the part.
        decode: reads it, and nothing else of the record that it is in.
    """

    def __init__(self, name: str, decode: Callable[[Fields], _T]) -> None:
        self._name = name
        self._decode = decode
        self._lately: tuple[tuple[object, _T], ...] = ()

    def __call__(self, record: Fields) -> _T:
        """What the part says; raises what `decode` raises."""
        part = record.told.get(self._name)
        for before, made in self._lately:
            if before is part:
                return made
        made = self._decode(record)
        self._lately = ((part, made), *self._lately[: _LATELY - 1])
        return made
