"""Elements of every kind become rows, or are refused with a reason."""

from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.engines.beam.rows import ElementReader, Fields, id_of
from shoal.errors import BadInputError


class Point(NamedTuple):
    x: float
    y: float


KINDS = [
    (1.0, 2.0),
    [1, 2],
    np.array([1.0, 2.0]),
    np.array([1.0, 2.0], np.float32),
    {"x": 1.0, "y": 2.0},
    {"v": [1.0, 2.0]},
    {"v": np.array([1.0, 2.0])},
    beam.Row(x=1.0, y=2.0),
    beam.Row(v=[1.0, 2.0]),
    Point(1.0, 2.0),
    pd.Series({"x": 1.0, "y": 2.0}),
]


@pytest.mark.parametrize("element", KINDS, ids=lambda e: type(e).__name__)
def test_every_kind_is_a_row(element: object) -> None:
    found = ElementReader(Fields()).read([element, element])
    assert found.rows.X.tolist() == [[1.0, 2.0]] * 2
    assert found.refused == []


def test_named_fields_weights_times_and_ids() -> None:
    fields = Fields(("b", "a"), weight="w", time="t", id="i")
    element = {"a": 1, "b": 2, "w": 3, "t": 4, "i": "five", "more": "text"}
    rows = ElementReader(fields, timed=True).read([element]).rows
    assert rows.X.tolist() == [[2.0, 1.0]]
    assert (rows.weights.tolist(), rows.times.tolist(), rows.ids.tolist()) == ([3.0], [4.0], [id_of("five")])


BAD = [
    ("text", "str is no vector of numbers"),
    (None, "NoneType"),
    ((1.0,), "the row has 1 numbers, not 2"),
    ((1.0, float("nan")), "value is NaN or infinite"),
    ((1.0, float("-inf")), "value is NaN or infinite"),
    ((1.0, 1e200), "value is beyond"),
    (np.eye(2), "2 dimensions"),
    ({"x": 1.0, "y": "two"}, "no vector of numbers"),
    ((), "the row has 0 numbers"),
    (7, "0 dimensions"),
]


@pytest.mark.parametrize(("element", "says"), BAD, ids=lambda e: repr(e)[:20])
@pytest.mark.parametrize("first", [True, False])
def test_what_is_no_row_is_refused_and_the_rest_goes_on(element: object, says: str, first: bool) -> None:
    good = [(1.0, 2.0), (3.0, 4.0)]
    found = ElementReader(Fields(), None if not first else 2).read(
        [element, *good] if first else [*good, element]
    )
    assert found.rows.X.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert len(found.refused) == 1
    assert says in found.refused[0].reason
    assert found.rows.kept.tolist() == ([1, 2] if first else [0, 1])


def test_fields_that_are_missing_or_wrong() -> None:
    fields = Fields("v", weight="w", id="i")
    good = {"v": [1.0], "w": 1, "i": 1}
    bad = [good | {"w": -1}, good | {"w": "x"}, {"v": [1.0], "w": 1}, good | {"i": 1.5}, {"w": 1, "i": 1}]
    found = ElementReader(fields).read([good, *bad])
    assert found.rows.kept.tolist() == [0]
    assert [r.reason for r in found.refused] == [
        "field 'w' is NaN, negative or too large",
        "field 'w' is missing or no number",
        "field 'i' is missing or no id",
        "field 'i' is missing or no id",
        "dict has no field 'v'",
    ]
    with pytest.raises(BadInputError, match="named twice"):
        Fields(("a", "b"), weight="a")


def test_a_row_without_direction_or_time() -> None:
    found = ElementReader(Fields(cosine=True), timed=True).read(
        [(3.0, 4.0), (0.0, 0.0), (1.0, 0.0)], [1.0, 2.0, np.nan]
    )
    assert found.rows.X.tolist() == [[0.6, 0.8]]
    assert [r.reason for r in found.refused] == [
        "the row is all zeros, which has no direction",
        "there is no event time",
    ]


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1), st.randoms())
def test_mixed_kinds_give_the_same_numbers(rows: list, random: object) -> None:
    kinds = [tuple, list, np.array, lambda r: {"a": r[0], "b": r[1]}, lambda r: {"b": r[1], "a": r[0]}]
    mixed = [random.choice(kinds)(row) for row in rows]  # type: ignore[attr-defined]
    assert np.array_equal(ElementReader(Fields()).read(mixed).rows.X, np.array(rows))
