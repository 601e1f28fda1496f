"""Numbers in JSON: read in one sweep as Python would read them one by one, or left to the general way."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal.serve.rows as rows_module
from shoal.serve.json_rows import number_rows
from shoal.serve.limits import TooManyRowsError
from shoal.serve.models import Models
from shoal.serve.rows import JSON, read_rows

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1), st.just(-0.0)
)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 6).flatmap(lambda w: st.lists(st.lists(NUMBERS, min_size=w, max_size=w), min_size=1)))
def test_numbers_are_those_python_reads_to_the_bit(rows):
    got = number_rows(json.dumps({"rows": rows}, indent=1).encode(), len(rows[0]), 1000)
    assert got.tobytes() == np.array([[float(v) for v in row] for row in rows]).tobytes()


HARD = (
    "0.1 1e22 1e23 9007199254740993 1.7976931348623157e308 4.9e-324 2.2250738585072011e-308 "
    "123456789012345678901234567890.5 0.500000000000000166533453693773481063544750213623046875"
)


@pytest.mark.parametrize("text", HARD.split())
def test_numbers_that_are_hard_to_round_are_rounded_as_python_does(text):
    assert number_rows(f'{{"rows": [[{text}]]}}'.encode(), 1, 9)[0, 0] == float(text)


@pytest.mark.parametrize(
    "body",
    [
        '{"rows": [[1, 2], [3]]}',
        '{"rows": [[1, 2], [3, [4]]]}',
        '{"rows": [[1, 2], [[3, 4]]]}',
        '{"rows": [[1], [[2, 3], 4]]}',
        '{"rows": [[1, 2], 3, 4]}',
        '{"rows": [1, [[2]]]}',
        '{"rows": [[], [1, 2]]}',
        '{"rows": [[1, true]]}',
        '{"rows": [[1, null]]}',
        '{"rows": [[1, "2"]]}',
        '{"rows": [[1, NaN]]}',
        '{"rows": [[1, 1e999]]}',
        '{"rows": [[1, 100000000000000000000]]}',
        '{"rows": [{"a": 1, "b": 2}]}',
        '{"rows": {"a": [1, 2]}}',
        '{"rows": [[9, 9]], "rows": [[1, 2]]}',
        '{"rows": [[9, 9]], "r\\u006fws": [[1, 2]]}',
        '{"rows": []}',
        '{"rows": [[1, 2]]',
        '{"rows": [[1, 2]]} x',
        "[[1, 2]]",
        "[" * 5000,
        "",
        "\x00",
    ],
)
def test_all_else_is_left_to_the_general_way(body):
    assert number_rows(body.encode(), 2, 1000) is None


def test_bytes_that_are_no_text_are_left_to_the_general_way():
    assert number_rows(b'{"rows": [[1, 2]], "\xff": 1}', 2, 10) is None


def test_too_many_rows_are_told_before_they_are_looked_at():
    with pytest.raises(TooManyRowsError, match="3 rows"):
        number_rows(b'{"rows": [[1], [2], [3, 4]]}', 1, 2)


@pytest.mark.parametrize("which", ["plain", "embedded"])
def test_both_ways_lead_to_the_same_vectors(request, rows, which, monkeypatch):
    path, _ = request.getfixturevalue(which)
    models = Models.of_path(path)
    served = models.get(models.names[0])
    body = json.dumps({"rows": rows.astype(float).tolist()}).encode()
    quick = read_rows(served, JSON, body)
    monkeypatch.setattr(rows_module, "number_rows", lambda *_: None)
    slow = read_rows(served, JSON, body)
    assert quick.matrix.dtype == slow.matrix.dtype
    assert quick.matrix.tobytes() == slow.matrix.tobytes()
    assert quick.kept.tolist() == slow.kept.tolist()
