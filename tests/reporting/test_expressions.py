"""Expressions over columns, on a table made by hand."""

import numpy as np
import pandas as pd
import pytest

from whereabouts.errors import InputError
from whereabouts.reporting.expressions import parse

TABLE = pd.DataFrame({"a": [5.0, 3.0, -2.0], "b": [1.0, 4.0, 8.0]})


@pytest.mark.parametrize(
    ("expression", "oracle"),
    [
        ("a - b", lambda a, b: a - b),
        ("2 - ((a - b) ** 2) ** 0.5", lambda a, b: 2 - abs(a - b)),
        ("100 * a / +b - -a", lambda a, b: 100 * a / b + a),
        ("-" * 240 + "a", lambda a, b: a),
        ("a + 0 * (9 ** 9 ** 9)", lambda a, b: np.nan * a),  # too large for any number: no value, at once
        ("b / (a - 5)", lambda a, b: np.where(a == 5, np.nan, b / np.where(a == 5, 1, a - 5))),
    ],
)
def test_arithmetic(expression, oracle):
    np.testing.assert_allclose(parse(expression).of(TABLE), oracle(TABLE.a, TABLE.b))


@pytest.mark.parametrize(
    "expression",
    [
        "'a' * 10 ** 9",
        "a << 9 ** 9",
        "a @ b",
        "a if b else a",
        "a < b",
        "[a for b in a]",
        "a.b",
        "a[0]",
        "f(a)",
        "`a b`",
        "a - 1e999",
        "a - True",
        "a - 2j",
        f"a - {'9' * 400}",
        "7",
        "",
        "a\0",
        "-" * 240 + "a +",
        "(" * 240 + "a",
        "a + " * 1_000 + "a",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_arithmetic_is_refused_unevaluated(expression):
    with pytest.raises(InputError) as error:
        parse(expression)
    (problem,) = error.value.problems
    assert problem.startswith("expression ") and len(problem) < 250


def test_sides_are_those_of_the_last_difference():
    a, b = parse("(a - 2) - (b - a)").sides()
    np.testing.assert_allclose(a.of(TABLE) - b.of(TABLE), (TABLE.a - 2) - (TABLE.b - TABLE.a))
    assert b.columns == {"a", "b"}
    assert [parse(text).sides() for text in ("a", "a + b", "a - 5", "55 - a")] == [None] * 4
