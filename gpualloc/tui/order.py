"""Which rows of a list are shown, and in what order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from gpualloc.tui.fields import Value
from gpualloc.tui.listing import Listing, Sort, Tree
from gpualloc.tui.rows import Moment

Row = TypeVar("Row")
Keeps = Callable[[Row, Moment], bool]


def arranged(
    listing: Listing[Row], rows: Sequence[Row], keeps: Keeps[Row] | None, sorts: Sequence[Sort], moment: Moment
) -> tuple[Row, ...]:
    """The rows that a filter keeps, by the sort keys, the first one first; what is unknown comes last either way.

    Rows that are equal in every key stay in the order in which they are given. In the order of its tree a list keeps
    the parents of kept rows; in any other order rows stand alone, and a heading only where nothing is below it.
    """
    tree = listing.tree
    if tree is not None and in_tree_order(tree, sorts):
        kept = rows if keeps is None else _with_parents(listing, tree, rows, keeps, moment)
        if tree.order is None:
            return _under_parents(listing, tree, _sorted(listing, list(kept), sorts, moment))
        return _families(tree, kept, descends=bool(sorts) and sorts[0].descends)
    alone = list(rows) if tree is None else _without_headings(listing, tree, rows)
    kept = alone if keeps is None else [row for row in alone if keeps(row, moment)]
    return tuple(_sorted(listing, kept, sorts, moment))


def in_tree_order(tree: Tree[Row], sorts: Sequence[Sort]) -> bool:
    """Whether rows stand under their parents in this order."""
    return tree.order is None or not sorts or sorts[0].field == tree.order


def _under_parents(listing: Listing[Row], tree: Tree[Row], rows: Sequence[Row]) -> tuple[Row, ...]:
    """Each row before those under it; siblings in the given order. No row is lost, whatever circle parents go in."""
    if all(tree.parent(row) is None for row in rows):
        return tuple(rows)
    keys = {listing.key(row) for row in rows}
    below: dict[str | None, list[Row]] = {}
    for row in rows:
        parent = tree.parent(row)
        below.setdefault(parent if parent in keys else None, []).append(row)
    found: dict[str, Row] = {}

    def take(first: Iterable[Row]) -> None:
        left = list(first)
        while left:
            row = left.pop()
            key = listing.key(row)
            if key not in found:
                found[key] = row
                left += reversed(below.get(key, ()))

    take(reversed(below.get(None, ())))
    if len(found) < len(keys):
        by_key = {listing.key(row): row for row in rows}
        for row in rows:
            if listing.key(row) not in found:
                take([_in_circle(listing, tree, by_key, row)])
    return tuple(found.values())


def _in_circle(listing: Listing[Row], tree: Tree[Row], by_key: Mapping[str, Row], row: Row) -> Row:
    """The first row met twice on the way up from one that nothing at the top is above of."""
    met: set[str] = set()
    while (key := listing.key(row)) not in met:
        met.add(key)
        row = by_key[tree.parent(row) or key]
    return row


def _families(tree: Tree[Row], rows: Sequence[Row], *, descends: bool) -> tuple[Row, ...]:
    """Each row at the top with those under it, in the given order or the other way round."""
    if not descends:
        return tuple(rows)
    families: list[list[Row]] = []
    for row in rows:
        if tree.parent(row) is None or not families:
            families.append([])
        families[-1].append(row)
    return tuple(row for family in reversed(families) for row in family)


def _with_parents(
    listing: Listing[Row], tree: Tree[Row], rows: Sequence[Row], keeps: Keeps[Row], moment: Moment
) -> list[Row]:
    parents = {listing.key(row): tree.parent(row) for row in rows}
    wanted: set[str] = set()
    for row in rows:
        if keeps(row, moment):
            key: str | None = listing.key(row)
            while key is not None and key not in wanted:
                wanted.add(key)
                key = parents.get(key)
    return [row for row in rows if listing.key(row) in wanted]


def _without_headings(listing: Listing[Row], tree: Tree[Row], rows: Sequence[Row]) -> list[Row]:
    above = {tree.parent(row) for row in rows}
    return [row for row in rows if not tree.heading(row) or listing.key(row) not in above]


def _sorted(listing: Listing[Row], rows: list[Row], sorts: Sequence[Sort], moment: Moment) -> list[Row]:
    # The least key first: sorting is stable.
    for sort in reversed(sorts):
        field = listing.field(sort.field)
        value = field.rank or field.value
        found = [(_comparable(value(row, moment)), row) for row in rows]
        known = [(key, row) for key, row in found if key is not None]
        known.sort(key=lambda pair: pair[0], reverse=sort.descends)
        rows = [*(row for _, row in known), *(row for key, row in found if key is None)]
    return rows


def _comparable(value: Value) -> tuple[float, str] | None:
    """Numbers before texts, texts whatever their case."""
    if value is None or value == ():
        return None
    if isinstance(value, tuple):
        value = value[0]
    return (float("inf"), value.casefold()) if isinstance(value, str) else (float(value), "")
