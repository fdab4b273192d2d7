"""Expressions as data: their values, their JSON, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.errors import BrokenInputError
from gpualloc.policies.expression import (
    LARGEST,
    MOST_LEVELS,
    OPERATIONS,
    Feature,
    Number,
    Operation,
    expression_of,
    levels,
    parts,
    plain,
    value_of,
)

KNOWN = ("a", "b")
A, B = Feature("a"), Feature("b")
FEATURES = {"a": np.array([1.0, -2.0, 0.0]), "b": np.array([4.0, 0.0, 1e-12])}

expressions = st.recursive(
    st.sampled_from((A, B)) | st.floats(-LARGEST, LARGEST).map(Number),
    lambda below: st.builds(Operation, st.sampled_from(tuple(OPERATIONS)), below, below),
    max_leaves=30,
)


@pytest.mark.parametrize(
    ("sign", "values"),
    [
        ("+", [5, -2, 1e-12]),
        ("-", [-3, -2, -1e-12]),
        ("*", [4, 0, 0]),
        ("/", [0.25, 0, 0]),
        ("max", [4, 0, 1e-12]),
        ("min", [1, -2, 0]),
    ],
)
def test_the_value_of_each_operation(sign, values):
    assert value_of(Operation(sign, A, B), FEATURES).tolist() == values


def test_a_number_is_the_same_for_all_options():
    assert value_of(Number(2.5), FEATURES).tolist() == [2.5, 2.5, 2.5]


@given(expressions, st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4))
def test_every_value_is_within_bounds(expression, numbers):
    values = value_of(expression, {"a": np.array(numbers), "b": np.array(numbers[::-1])})
    assert (np.abs(values) <= LARGEST).all()
    assert len(values) == len(numbers)


@given(expressions)
def test_json_gives_the_expression_back(expression):
    if levels(expression) <= MOST_LEVELS:
        assert expression_of(plain(expression), KNOWN, "f") == expression


def nested(deep):
    found = "a"
    for _ in range(deep):
        found = ["+", found, "b"]
    return found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("c", "no feature is called 'c'"),
        ("__class__", "no feature is called"),
        (None, "None is no part of an expression"),
        (True, "True is no part of an expression"),
        ([], "no part of an expression"),
        (["+", "a"], "no part of an expression"),
        (["**", "a", "b"], "no part of an expression"),
        ([["+"], "a", "b"], "no part of an expression"),
        (["+", "a", {"b": 1}], "no part of an expression"),
        (1e7, "a number beyond"),
        (10**400, "a number beyond"),
        (float("nan"), "a number beyond"),
        (nested(MOST_LEVELS), "more than 20 levels"),
        (nested(5000), "more than 20 levels"),
        (
            ["+", *[["*", *[["-", *[["+", *[["*", *[["-", *[["*", "a", "b"]] * 2]] * 2]] * 2]] * 2]] * 2]] * 2],
            "more than 200 parts",
        ),
    ],
)
def test_what_is_no_expression_is_refused(found, message):
    with pytest.raises(BrokenInputError) as refused:
        expression_of(found, KNOWN, "f")
    assert refused.value.message.startswith("f: ")
    assert message in refused.value.message


def test_parts_come_from_the_left():
    expression = Operation("+", Operation("*", A, Number(2.0)), B)
    assert parts(expression)[1:] == (expression.left, A, Number(2.0), B)
    assert levels(expression) == 3
