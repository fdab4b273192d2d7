"""Our quick `dataclass(frozen=True, slots=True)` beside the standard library's."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.model import frozen


def classes(dataclass):
    """The same classes, made one way or the other."""

    @dataclass(frozen=True, slots=True)
    class Point:
        """A point."""

        x: int
        y: float | None = None
        names: tuple[str, ...] = ()
        more: dict[str, int] = field(default_factory=dict)

        @property
        def double(self) -> int:
            return 2 * self.x

    @dataclass(frozen=True, slots=True)
    class One:
        only: object

    @dataclass(frozen=True, slots=True)
    class Checked:
        x: int

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("below 0")

    @dataclass(frozen=True, slots=True)
    class Own:
        x: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own)

        def __repr__(self) -> str:
            return "mine"

    @dataclass(frozen=True, slots=True)
    class Empty:
        pass

    @dataclass(frozen=True, slots=True)
    class Special:
        x: int
        y: int = field(default=0, compare=False, repr=False)
        z: int = field(default=3, kw_only=True)

    @dataclass(frozen=True, slots=True)
    class Below(One):
        besides: int = 0

    return {each.__name__: each for each in (Point, One, Checked, Own, Empty, Special, Below)}


OURS, THEIRS = classes(frozen.dataclass), classes(dataclasses.dataclass)
VALUES = st.one_of(st.integers(), st.text(), st.none(), st.tuples(st.integers()), st.floats(allow_nan=False))


@frozen.dataclass(frozen=True, slots=True)
class Kept:
    """Found by pickle."""

    a: int
    b: str = "b"


def test_it_is_the_quick_one_that_is_looked_at():
    assert "__eq__" in vars(OURS["Point"])
    assert OURS["Point"].__init__.__code__.co_filename == "<string>"
    assert OURS["Point"].__eq__.__code__.co_filename == frozen.__file__


@pytest.mark.parametrize("name", OURS)
def test_they_are_dataclasses_of_the_same_shape(name):
    ours, theirs = OURS[name], THEIRS[name]
    shape = [(each.name, each.type, each.init, each.repr, each.compare) for each in dataclasses.fields(ours)]
    assert shape == [(each.name, each.type, each.init, each.repr, each.compare) for each in dataclasses.fields(theirs)]
    assert (ours.__slots__, ours.__match_args__) == (theirs.__slots__, theirs.__match_args__)
    assert ours.__dataclass_params__.frozen


@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=2))
def test_equality_hash_and_text_are_those_of_the_standard_library(pairs):
    ours = [OURS["Point"](x, y) for x, y in pairs]
    theirs = [THEIRS["Point"](x, y) for x, y in pairs]
    assert (ours[0] == ours[1]) is (theirs[0] == theirs[1])
    assert repr(ours[0]) == repr(theirs[0])
    assert ours[0] != theirs[0]
    assert dataclasses.asdict(ours[0]) == dataclasses.asdict(theirs[0])
    one = [OURS["One"](x) for x, _ in pairs]
    assert hash(one[0]) == hash(THEIRS["One"](pairs[0][0]))
    assert (one[0] == one[1]) is (pairs[0][0] == pairs[1][0])


def test_nothing_can_be_changed():
    point = OURS["Point"](1)
    for change in (lambda: setattr(point, "x", 2), lambda: setattr(point, "other", 2), lambda: delattr(point, "x")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    assert point.x == 1


@pytest.mark.parametrize("made", [OURS, THEIRS], ids=["ours", "theirs"])
def test_defaults_are_given_and_made_anew(made):
    point, other = made["Point"](1), made["Point"](x=1, more={})
    assert (point.y, point.names, point.more, point.double) == (None, (), {}, 2)
    assert point.more is not made["Point"](1).more
    assert point == other
    with pytest.raises(TypeError, match="x"):
        made["Point"]()
    with pytest.raises(TypeError):
        made["Point"](1, nonsense=2)
    assert dataclasses.replace(point, x=5).x == 5
    with pytest.raises(TypeError, match="unhashable"):
        hash(point)


@pytest.mark.parametrize("made", [OURS, THEIRS], ids=["ours", "theirs"])
def test_what_a_class_defines_itself_stays(made):
    with pytest.raises(ValueError, match="below 0"):
        made["Checked"](-1)
    with pytest.raises(ValueError, match="below 0"):
        dataclasses.replace(made["Checked"](1), x=-1)
    assert made["Own"](1) == made["Own"](2)
    assert repr(made["Own"](1)) == "mine"
    assert hash(made["Own"](1)) == hash((1,))
    assert made["Empty"]() == made["Empty"]()


@pytest.mark.parametrize("made", [OURS, THEIRS], ids=["ours", "theirs"])
def test_what_it_does_not_know_the_standard_library_makes(made):
    assert made["Special"](1, 2) == made["Special"](1, 9)
    assert "y=" not in repr(made["Special"](1, 2))
    with pytest.raises(TypeError):
        made["Special"](1, 2, 3)
    below = made["Below"]("o", 7)
    assert (below.only, below.besides) == ("o", 7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        below.only = 1


def test_copies_are_equal():
    kept = Kept(1)
    for other in (copy.copy(kept), copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        assert other == kept
        assert other is not kept


def test_a_value_that_holds_itself_has_a_text():
    inner: list[object] = []
    one = OURS["One"](inner)
    inner.append(one)
    assert "..." in repr(one)
