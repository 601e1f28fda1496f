"""Conditions: two spellings, three-valued logic, and nothing that is run."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError
from shoal.features.where import Where

BATCH = pa.record_batch(
    {
        "x": [1.0, 2.0, None, float("nan"), 5.0],
        "n": [1, 2, 3, 4, 5],
        "name": ["a", "b", None, "d", "it's"],
        "my col": [0, 1, 0, 1, 0],
        "flag": [True, False, None, True, False],
        "class": [1, 1, 2, 2, 2],
        "day": [datetime.date(2020, 1, d) for d in range(1, 6)],
        "kind": pa.array(["u", "v", "u", "v", "u"]).dictionary_encode(),
    }
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x > 1", [1, 4]),
        ("x >= 1 and n < 5", [0, 1]),
        ("x > 1 OR NOT n = 2", [0, 1, 2, 3, 4]),
        ("not (x == 1)", [1, 4]),
        ("x is null", [2, 3]),
        ("x IS NOT NULL", [0, 1, 4]),
        ("1 < x <= 5", [1, 4]),
        ("n in (1, 3, 9)", [0, 2]),
        ("n NOT IN [1, 3]", [1, 3, 4]),
        ("name in ('a', \"b\")", [0, 1]),
        ("name not in ('a')", [1, 3, 4]),
        ("name = 'it''s'", [4]),
        ("name != 'a'", [1, 3, 4]),
        ("name <> 'a'", [1, 3, 4]),
        ("`my col` = 1", [1, 3]),
        ("class = 2", [2, 3, 4]),
        ("flag", [0, 3]),
        ("not flag", [1, 4]),
        ("flag = true", [0, 3]),
        ("n * 2 + 1 > 7", [3, 4]),
        ("n / 2 = 1.5", [2]),
        ("-n < -4", [4]),
        ("n > 1e0 and x = 2", [1]),
        ("day >= '2020-01-04'", [3, 4]),
        ("kind = 'v'", [1, 3]),
        ("n / 0 > 1", [0, 1, 2, 3, 4]),
        ("1 = 1", [0, 1, 2, 3, 4]),
    ],
)
def test_conditions_keep_the_right_rows(text, kept):
    assert np.flatnonzero(Where(text).mask(BATCH)).tolist() == kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os')", "a call is not allowed"),
        ("__import__('os').system('x')", "'.' has no meaning"),
        ("x.real > 1", "near"),
        ("(lambda: 1)()", "near|not allowed"),
        ("[i for i in (1, 2)]", "near|not allowed"),
        ("x > 1 if n else 2", "near|not allowed"),
        ("x ** 2 > 1", "Pow is not allowed"),
        ("n % 2 = 0", "'%' has no meaning"),
        ("x >", "cannot be understood"),
        ("x between 1 and 2", "cannot be understood"),
        ("", "cannot be understood"),
        ("x", "is no condition"),
        ("x and n > 1", r"at 'x': is no condition"),
        ("name > 3", "compares text with number; quote the value"),
        ("x = 'a'", "compares number with text; quote the value"),
        ("x is 3", "only with null"),
        ("x in (n, 2)", "list of numbers or texts"),
        ("name + 1 > 2", "not a number"),
        ("day > 'soon'", "is no date"),
        ("nam = 'a'", "no column named 'nam'; did you mean name"),
        ("(" * 500 + "x" + ")" * 500, "too deep|understood"),
        ("x > 1 and " * 2000 + "x > 1", "longer than"),
    ],
)
def test_what_is_not_understood_is_named(text, message):
    with pytest.raises(BadInputError, match=message):
        Where(text).mask(BATCH)


def test_columns_and_those_compared_with_text():
    where = Where("a = '04' and b > 1 and c in ('x') and `d e` is null")
    assert where.columns == ("a", "b", "c", "d e")
    assert where.text_columns == ("a", "c")


def test_errors_show_columns_as_they_were_written():
    with pytest.raises(BadInputError, match="at 'my col': is no condition"):
        Where("n > 1 or not `my col`").mask(BATCH)


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from("xn()'\"`=<>!+-*/ 1.andornotisin_,[]\\\n"), max_size=30))
def test_any_text_is_either_a_condition_or_a_clear_error(text):
    try:
        answer = Where(text).mask(BATCH)
    except BadInputError as error:
        answer = error
    if isinstance(answer, BadInputError):
        assert answer.remedy
    else:
        assert answer.shape == (5,)
