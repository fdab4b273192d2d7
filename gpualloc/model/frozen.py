"""`dataclass(frozen=True, slots=True)` that is made in a third of the time.

The standard library compiles some six functions for each class, which took a third of the time of a short command.
Here only `__init__` is compiled; the others are closures over the names of the fields and do the same. Import it in
place of `dataclasses.dataclass`; what it does not know, the standard library does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

_ORDINARY = {"init": True, "repr": True, "compare": True, "hash": None, "kw_only": dataclasses.MISSING}
"""Options of a field that every class here knows."""
_SPECIAL = ("KW_ONLY", "InitVar")

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool = False, **more: Any) -> Any:
        """As `dataclasses.dataclass`, called with arguments."""
        standard = dataclasses.dataclass(frozen=frozen, slots=slots, **more)
        if not (frozen and slots) or more:
            return standard
        return lambda cls: _made(cls) if _is_ordinary(cls) else standard(cls)


def _is_ordinary(cls: type) -> bool:
    own = vars(cls)
    given = [value for value in own.values() if isinstance(value, dataclasses.Field)]
    annotated = own.get("__annotations__", {}).values()
    return (
        not any(hasattr(base, "__dataclass_fields__") for base in cls.__bases__)
        and all(getattr(value, name) is wanted for value in given for name, wanted in _ORDINARY.items())
        and not any(special in str(annotation) for annotation in annotated for special in _SPECIAL)
        and "__setattr__" not in own
        and "__delattr__" not in own
    )


def _made(plain: type) -> type:
    cls: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(plain)
    fields = dataclasses.fields(cls)
    names = tuple(field.name for field in fields)
    own = vars(cls)
    methods = {
        "__init__": _init(cls, fields),
        "__repr__": _repr(names),
        "__setattr__": _setattr(cls, names),
        "__delattr__": _delattr(cls, names),
        "__getstate__": lambda self: [getattr(self, name) for name in names],
        "__setstate__": _setstate(names),
        **_comparison(names, own),
    }
    for name, method in methods.items():
        if name not in own or name == "__hash__":
            method.__qualname__ = f"{cls.__qualname__}.{name}"
            setattr(cls, name, method)
    cls.__dataclass_params__.frozen = True
    return cls  # type: ignore[no-any-return]


def _init(cls: Any, fields: tuple[dataclasses.Field[Any], ...]) -> Any:
    known: dict[str, Any] = {"_set": object.__setattr__, "_made": dataclasses.MISSING}
    arguments, lines = ["self"], []
    for field in fields:
        name, value = field.name, field.name
        if field.default is not dataclasses.MISSING:
            known[f"_{name}"] = field.default
            arguments.append(f"{name}=_{name}")
        elif field.default_factory is not dataclasses.MISSING:
            known[f"_{name}"] = field.default_factory
            arguments.append(f"{name}=_made")
            value = f"_{name}() if {name} is _made else {name}"
        else:
            arguments.append(name)
        lines.append(f" _set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    exec(f"def __init__({', '.join(arguments)}):\n" + ("\n".join(lines) or " pass"), known)  # noqa: S102 - our own text
    return known["__init__"]


def _repr(names: tuple[str, ...]) -> Any:
    @recursive_repr()
    def __repr__(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return __repr__


def _comparison(names: tuple[str, ...], own: Any) -> dict[str, Any]:
    values: Any = attrgetter(*names) if len(names) > 1 else lambda self: tuple(getattr(self, name) for name in names)

    def __eq__(self: Any, other: object) -> bool:
        return bool(values(self) == values(other)) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    # A class that defines __eq__ alone has no hash of its own: Python put None there.
    return {"__eq__": __eq__} if own.get("__hash__") is not None else {"__eq__": __eq__, "__hash__": __hash__}


def _setattr(cls: Any, names: tuple[str, ...]) -> Any:
    def __setattr__(self: Any, name: str, value: object) -> None:
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    return __setattr__


def _delattr(cls: Any, names: tuple[str, ...]) -> Any:
    def __delattr__(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return __delattr__


def _setstate(names: tuple[str, ...]) -> Any:
    def __setstate__(self: Any, state: list[Any]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return __setstate__
