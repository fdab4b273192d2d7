"""What was decoded before, made new where the node told something else: the rest is neither read nor checked again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Generic, TypeVar

from msgspec import Struct

from gpualloc.adapters.fields import Fields

_T = TypeVar("_T", bound=Struct)
_MISSING = object()


class Again(Generic[_T]):
    """Makes a value of one kind anew from one that was made of the record before.

    Args:
        kind: a struct whose fields are all given to it by their place.
        readers: by key of the record what reads the field of the same name, and nothing else of the record.
    """

    def __init__(self, kind: type[_T], readers: Mapping[str, Callable[[Fields], object]]) -> None:
        names = kind.__struct_fields__
        self._kind = kind
        self._readers = readers
        self._values: Callable[[_T], tuple[object, ...]] = attrgetter(*names)
        self._places = {name: place for place, name in enumerate(names)}

    def made(self, old: _T, before: Mapping[str, object], record: Fields) -> _T | None:
        """The value that the record tells of; None where that is more than some readings of other worth.

        A reading that comes, goes or is not known any more may say something of others; so may what nobody reads alone.

        Args:
            old: what was made of `before`.
            before: the record as it was; what did not change since is the same object in both.
            record: the record as it is.

        Raises:
            MalformedError: what is new is nonsense.
        """
        told = record.told
        if len(told) != len(before):
            return None
        values: list[object] | None = None
        for key, value in told.items():
            if before.get(key, _MISSING) is value:
                continue
            place, read = self._places.get(key), self._readers.get(key)
            if place is None or read is None:
                return None
            values = values or list(self._values(old))
            new = read(record)
            if new is None or values[place] is None:
                return None
            values[place] = new
        return old if values is None else self._kind(*values)
