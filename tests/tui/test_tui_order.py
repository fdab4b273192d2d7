"""Which rows of a list are shown, and in what order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from gpualloc.tui.fields import Field, Unit
from gpualloc.tui.listing import Listing, Sort, Tree
from gpualloc.tui.order import arranged
from gpualloc.tui.rows import Moment

AT = Moment(0.0, 0.0, 2.0)


class Leaf(Struct, frozen=True):
    name: str
    above: str | None = None
    size: float | None = 1.0
    word: str = ""


FIELDS: tuple[Field[Leaf], ...] = (
    Field("name", "NAME", "", lambda row, _: row.name),
    Field("size", "SIZE", "", lambda row, _: row.size, Unit.COUNT),
    Field("word", "WORD", "", lambda row, _: row.word, rank=lambda row, _: ("low", "high").index(row.word)),
)
FLAT: Listing[Leaf] = Listing("leaves", FIELDS, key=lambda row: row.name)
TREE: Listing[Leaf] = Listing(
    "leaves", FIELDS, key=lambda row: row.name, tree=Tree(lambda row: row.above, lambda _: False)
)


@st.composite
def forests(draw: st.DrawFn) -> list[Leaf]:
    """Rows under each other in any way: alone, in circles, under themselves, under what is not there."""
    names = draw(st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=10))
    above = st.sampled_from([None, *names, "gone"])
    sizes = st.one_of(st.none(), st.floats(0, 9))
    return [Leaf(name, draw(above), draw(sizes)) for name in names]


def above_of(rows: list[Leaf], row: Leaf) -> list[str]:
    """The names above a row, up to the first met twice."""
    by_name = {one.name: one for one in rows}
    found: list[str] = []
    at: Leaf | None = by_name.get(row.above or "")
    while at is not None and at.name not in found:
        found.append(at.name)
        at = by_name.get(at.above or "")
    return found


@given(forests(), st.sampled_from([(), (Sort("size"),), (Sort("size", descends=True), Sort("name"))]))
def test_every_row_is_there_once_and_below_its_parent(rows: list[Leaf], sorts: tuple[Sort, ...]) -> None:
    found = [row.name for row in arranged(TREE, rows, None, sorts, AT)]
    assert sorted(found) == sorted(row.name for row in rows)
    for row in rows:
        above = above_of(rows, row)
        if row.name not in above and above:  # who is in a circle has nobody at the top
            assert found.index(above[0]) < found.index(row.name)


@given(forests(), st.sets(st.sampled_from("abcdefghij")))
def test_a_filter_keeps_what_it_keeps_and_the_rows_above_it(rows: list[Leaf], wanted: set[str]) -> None:
    found = {row.name for row in arranged(TREE, rows, lambda row, _: row.name in wanted, (), AT)}
    kept = [row for row in rows if row.name in wanted]
    assert found == {row.name for row in kept} | {name for row in kept for name in above_of(rows, row)}


@given(forests(), st.booleans())
def test_unknown_values_come_last_whatever_the_direction(rows: list[Leaf], descends: bool) -> None:
    sizes = [row.size for row in arranged(FLAT, rows, None, (Sort("size", descends=descends),), AT)]
    known = [size for size in sizes if size is not None]
    assert sizes == known + [None] * (len(sizes) - len(known))
    assert known == sorted(known, reverse=descends)


@given(forests())
def test_equal_rows_stay_as_they_are_given(rows: list[Leaf]) -> None:
    for descends in (False, True):
        found = arranged(FLAT, rows, None, (Sort("size", descends=descends),), AT)
        for size in {row.size for row in rows}:
            assert [row for row in found if row.size == size] == [row for row in rows if row.size == size]


def test_words_with_an_order_of_their_own_are_sorted_by_it() -> None:
    rows = [Leaf("a", word="high"), Leaf("b", word="low")]
    assert [row.name for row in arranged(FLAT, rows, None, (Sort("word"),), AT)] == ["b", "a"]
    assert [row.name for row in arranged(FLAT, rows, None, (Sort("word", descends=True),), AT)] == ["a", "b"]


def test_what_hangs_on_a_circle_stands_below_it() -> None:
    rows = [Leaf("child", "a"), Leaf("a", "b"), Leaf("b", "a"), Leaf("self", "self")]
    found = [row.name for row in arranged(TREE, rows, None, (), AT)]
    assert found == ["a", "child", "b", "self"]


def test_headings_stand_alone_only_where_nothing_is_below_them() -> None:
    listing: Listing[Leaf] = Listing(
        "leaves",
        FIELDS,
        key=lambda row: row.name,
        tree=Tree(lambda row: row.above, lambda row: row.above is None, order="name"),
    )
    rows = [Leaf("n1"), Leaf("d1", "n1", 3.0), Leaf("d0", "n1", 5.0), Leaf("n2")]
    by_name = [row.name for row in arranged(listing, rows, None, (Sort("name", descends=True),), AT)]
    assert by_name == ["n2", "n1", "d1", "d0"]
    by_size = [row.name for row in arranged(listing, rows, None, (Sort("size", descends=True),), AT)]
    assert by_size == ["d0", "d1", "n2"]


def test_sorting_by_a_field_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        arranged(FLAT, [Leaf("a")], None, (Sort("colour"),), AT)
