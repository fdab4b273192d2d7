"""The model's values as JSON values and back: strict, for plan files, simulated clusters and the databases.

Own code instead of pydantic, because reading state lies on the path of every command and importing
pydantic alone would cost more than the whole command.

A field that is added to a struct must have a default: then older documents can still be read.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import TypeVar

from msgspec import Struct, structs

from gpualloc.errors import BrokenInputError

T = TypeVar("T")
_Reader = Callable[[object], object]
_Writer = Callable[[typing.Any], object]

_ATOMS = frozenset({str, int, float, bool, type(None)})
_INT_LIMIT = 1 << 63
"""Whole numbers must fit the 64 bits that SQLite stores."""
_SHOWN_CHARS = 40


class _Wrong(Exception):
    """A value does not fit its type; the path to it grows while the readers return."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str] = []

    def inside(self, part: str) -> _Wrong:
        self.path.append(part)
        return self


def to_plain(value: object) -> object:
    """Turn a value of the model into dicts, lists, strings, numbers, booleans and None.

    Every field is written, those with their default too; tuples become lists, enums their words.

    Raises:
        TypeError: the value, or one inside it, is not of the kinds that the model is made of.
    """
    kind = type(value)
    return value if kind in _ATOMS else _writer(kind)(value)


def from_plain(kind: type[T], plain: object) -> T:
    """Build a value of the model from what `to_plain` (and a trip through JSON) made of it.

    Strict: unknown keys, missing keys without a default, numbers that are not finite or do not fit 64 bits,
    and booleans in place of numbers are refused. A whole number is accepted where a float is wanted. What is declared
    as `object` comes back as the JSON value it is, so a tuple there comes back as a list.

    Raises:
        BrokenInputError: names the path of the field, such as `steps[2].kind`, what is there and what was expected.
        TypeError: `kind` is not a type the model is made of.
    """
    try:
        return typing.cast(T, _reader(kind)(plain))
    except _Wrong as wrong:
        path = "".join(reversed(wrong.path)).removeprefix(".")
        raise BrokenInputError(f"{path or _type_name(kind)}: {wrong.problem}") from None


def _build_writer(kind: type) -> _Writer:
    if issubclass(kind, Struct):
        names = kind.__struct_fields__
        return lambda value: {name: to_plain(getattr(value, name)) for name in names}
    if issubclass(kind, Enum):
        return attrgetter("value")
    if issubclass(kind, (tuple, list)):
        return lambda value: [to_plain(item) for item in value]
    if issubclass(kind, Mapping):
        return _write_mapping
    raise TypeError(f"{kind.__name__} cannot be written as JSON")


def _write_mapping(value: Mapping[object, object]) -> dict[str, object]:
    plain: dict[str, object] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"a mapping key must be a string, not {key!r}")
        plain[str(key)] = to_plain(item)
    return plain


def _build_reader(kind: object) -> _Reader:
    if kind in _ATOM_READERS:
        return _ATOM_READERS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _optional_reader(arguments)
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin in (Mapping, dict) and arguments[0] is str:
        return _mapping_reader(_reader(arguments[1]))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum_reader(kind)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _struct_reader(kind)
    raise TypeError(f"{kind!r} is not a type the model is made of")


def _struct_reader(kind: type[Struct]) -> _Reader:
    hints = typing.get_type_hints(kind)
    fields = [(name, _reader(hints[name])) for name in kind.__struct_fields__]
    required = frozenset(field.name for field in structs.fields(kind) if field.required)

    def read(plain: object) -> object:
        document = _object(plain)
        values: dict[str, object] = {}
        for name, reader in fields:
            if name in document:
                try:
                    values[name] = reader(document[name])
                except _Wrong as wrong:
                    raise wrong.inside(f".{name}") from None
            elif name in required:
                raise _Wrong("is missing").inside(f".{name}")
        if len(values) != len(document):
            unknown = next(key for key in document if key not in values)
            raise _Wrong(f"unknown key {_shown(unknown)}")
        return kind(**values)

    return read


def _enum_reader(kind: type[Enum]) -> _Reader:
    members: dict[object, Enum] = {member.value: member for member in kind}
    words = ", ".join(str(member.value) for member in kind)

    def read(plain: object) -> object:
        if not isinstance(plain, str) or plain not in members:
            raise _Wrong(f"{_shown(plain)} is none of: {words}")
        return members[plain]

    return read


def _optional_reader(arguments: tuple[object, ...]) -> _Reader:
    wanted = [argument for argument in arguments if argument is not type(None)]
    if len(wanted) != 1 or len(arguments) != 2:
        raise TypeError(f"only unions with None can be read, not {arguments!r}")
    reader = _reader(wanted[0])
    return lambda plain: None if plain is None else reader(plain)


def _tuple_reader(arguments: tuple[object, ...]) -> _Reader:
    repeated = len(arguments) == 2 and arguments[1] is Ellipsis
    readers = [_reader(argument) for argument in arguments if argument is not Ellipsis]

    def read(plain: object) -> object:
        if not isinstance(plain, list):
            raise _Wrong(f"expected a list, not {_kind_of(plain)}")
        if not repeated and len(plain) != len(readers):
            raise _Wrong(f"expected {len(readers)} items, not {len(plain)}")
        items = []
        for index, item in enumerate(plain):
            try:
                items.append(readers[0 if repeated else index](item))
            except _Wrong as wrong:
                raise wrong.inside(f"[{index}]") from None
        return tuple(items)

    return read


def _mapping_reader(reader: _Reader) -> _Reader:
    def read(plain: object) -> object:
        values = {}
        for key, item in _object(plain).items():
            try:
                values[key] = reader(item)
            except _Wrong as wrong:
                raise wrong.inside(f"[{_shown(key)}]") from None
        return values

    return read


def _read_str(plain: object) -> object:
    if type(plain) is not str:
        raise _Wrong(f"expected text, not {_kind_of(plain)}")
    return plain


def _read_bool(plain: object) -> object:
    if type(plain) is not bool:
        raise _Wrong(f"expected true or false, not {_kind_of(plain)}")
    return plain


def _read_int(plain: object) -> object:
    if type(plain) is not int:
        raise _Wrong(f"expected a whole number, not {_kind_of(plain)}")
    if not -_INT_LIMIT <= plain < _INT_LIMIT:
        raise _Wrong("the number does not fit 64 bits")
    return plain


def _read_float(plain: object) -> object:
    if type(plain) is int:
        return float(typing.cast(int, _read_int(plain)))
    if type(plain) is not float:
        raise _Wrong(f"expected a number, not {_kind_of(plain)}")
    if not math.isfinite(plain):
        raise _Wrong(f"expected a finite number, not {plain}")
    return plain


def _read_json(plain: object) -> object:
    """Any JSON value, checked to the bottom."""
    if isinstance(plain, dict):
        return _read_json_object(plain)
    if isinstance(plain, list):
        return list(typing.cast("tuple[object, ...]", _read_json_list(plain)))
    if plain is None or type(plain) in (str, bool):
        return plain
    return _read_int(plain) if type(plain) is int else _read_float(plain)


_writer: Callable[[type], _Writer] = cache(_build_writer)
"""The function that writes values of a type; built once per type."""
_reader: Callable[[object], _Reader] = cache(_build_reader)
"""The function that reads values of a type; built once per type."""
_ATOM_READERS: dict[object, _Reader] = {
    str: _read_str,
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    object: _read_json,
}
_read_json_object = _mapping_reader(_read_json)
_read_json_list = _tuple_reader((object, ...))


def _object(plain: object) -> dict[str, object]:
    if not isinstance(plain, dict):
        raise _Wrong(f"expected an object, not {_kind_of(plain)}")
    return plain


def _kind_of(plain: object) -> str:
    """What a JSON value is, in words for a message; its content may be secret and is left out."""
    if plain is None:
        return "null"
    if isinstance(plain, bool):
        return "true" if plain else "false"
    words = {str: "text", int: "a whole number", float: "a fraction", list: "a list", dict: "an object"}
    return words.get(type(plain), type(plain).__name__)


def _shown(plain: object) -> str:
    """A key or word for a message: quoted, bounded, without control characters."""
    if not isinstance(plain, str):
        return _kind_of(plain)
    return repr(plain if len(plain) <= _SHOWN_CHARS else plain[:_SHOWN_CHARS] + "…")


def _type_name(kind: object) -> str:
    return getattr(kind, "__name__", str(kind))
