"""A list view as data: what its rows tell, what names them, and how they are ordered at first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.tui.fields import Field
from gpualloc.tui.rows import Moment

Row = TypeVar("Row")


class Sort(Struct, frozen=True):
    """One key of an order."""

    field: str
    """Name of the field."""
    descends: bool = False
    """Whether the largest comes first."""


class Tree(Struct, Generic[Row], frozen=True):
    """How some rows of a list stand under others."""

    parent: Callable[[Row], str | None]
    """Key of the row that it stands under; None at the top."""
    heading: Callable[[Row], bool]
    """Whether it is there for those below it: it is left out where they stand alone."""
    order: str | None = None
    """Name of the field whose order keeps rows, in the order in which they are given, under their parents, while in
    any other they stand alone; None: rows are under their parents in every order, which is that of siblings."""


class Listing(Struct, Generic[Row], frozen=True):
    """A list view."""

    name: str
    """Names it in settings, exports and tests: `processes`."""
    fields: tuple[Field[Row], ...]
    """In the order of their columns."""
    key: Callable[[Row], str]
    """Names a row for as long as it exists."""
    sorts: tuple[Sort, ...] = ()
    """The order until somebody wants another; empty: as the rows are given."""
    tree: Tree[Row] | None = None
    stale: Callable[[Row, Moment], bool] = lambda _row, _moment: False
    """Whether what the row shows is no longer known to be true; it is drawn dim."""
    absent: str = "nothing to show"
    """What stands there when there is no row."""

    def field(self, name: str) -> Field[Row]:
        """The field of that name; raises KeyError."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    def chosen(self, names: Sequence[str] | None) -> tuple[Field[Row], ...]:
        """The fields with these names in this order, those that do not exist left out; None, or none of
        them: those shown at first."""
        if names is None:
            return tuple(field for field in self.fields if field.shown)
        known = {field.name: field for field in self.fields}
        found = tuple(known[name] for name in names if name in known)
        return found or self.chosen(None)

    def without(self, *names: str) -> Listing[Row]:
        """The same list with no column for these fields until somebody chooses them."""
        fields = tuple(replace(field, shown=False) if field.name in names else field for field in self.fields)
        return replace(self, fields=fields)
