"""Which rows of a piece are accepted, and what becomes of the others."""

from __future__ import annotations

import json
import time

import numpy as np
import pyarrow as pa
import pytest

from shoal.engines.stream.parts import Piece, accept
from shoal.errors import BadInputError, Rejects
from shoal.features.spec import RecipeSpec
from shoal.sources.stream_protocol import DeadLetter

SCHEMA = pa.schema([("id", pa.string()), ("a", pa.float64()), ("at", pa.float64())])
RECIPE = RecipeSpec(columns=("a",), scale="none", where="id != 'out'").learn(
    pa.table({"id": ["x"], "a": [1.0], "at": [1.0]}), place="t"
)


def piece(rows):
    table = pa.RecordBatch.from_pylist([dict(zip(("id", "a", "at"), r)) for r in rows], schema=SCHEMA)
    return Piece(table, "s.jsonl", 5, np.arange(100, 100 + len(rows)))


def accepted(rows, *, time="at", timed=True, keep=("id",), rejects=None):
    return accept(
        piece(rows), RECIPE, time=time, time_unit="s", timed=timed, keep=keep, rejects=rejects or Rejects()
    )


def test_good_rows_keep_their_numbers_times_and_columns():
    rejects = Rejects()
    done = accepted(
        [("p", 1.0, 10.0), ("q", None, 11.0), ("out", 7.0, 12.0), ("s", 3.0, 13.0)], rejects=rejects
    )
    assert done.part.matrix.ravel().tolist() == [1.0, 3.0]
    assert done.part.rows.tolist() == [100, 103]
    assert done.part.times.tolist() == [10.0, 13.0]
    assert done.part.carried.to_pydict() == {"id": ["p", "s"]}
    assert done.filtered == 1
    assert rejects.counts == {"missing value": 1}


def test_refused_rows_are_letters_with_reason_place_and_record():
    future = time.time() + 10 * 86_400
    done = accepted([("p", None, 1.0), ("q", 1.0, None), ("r", 2.0, future), ("s", 3.0, 4.0)])
    assert [letter.reason for letter in done.dead] == [
        "missing value, column 'a'",
        "no event time in 'at'",
        "event time in 'at' lies in the future; is the unit right?",
    ]
    assert done.dead[0].place == "s.jsonl, row 101"
    assert json.loads(done.dead[1].raw) == {"id": "q", "a": 1.0, "at": None}
    assert done.part.rows.tolist() == [103]


def test_a_piece_of_bad_rows_only():
    done = accepted([("p", None, 1.0), ("q", np.inf, 2.0)])
    assert len(done.part) == 0
    assert [json.loads(letter.raw)["a"] for letter in done.dead] == [None, "inf"]


def test_columns_that_are_not_there_are_named():
    with pytest.raises(BadInputError, match="when"):
        accepted([("p", 1.0, 1.0)], time="when")
    with pytest.raises(BadInputError, match="name"):
        accepted([("p", 1.0, 1.0)], keep=("name",))
    with pytest.raises(BadInputError, match="--time"):
        accepted([("p", 1.0, 1.0)], time=None)


def test_without_need_for_times_none_are_asked():
    assert accepted([("p", 1.0, None)], time=None, timed=False).part.times is None


def test_letters_of_the_source_stand_in_the_order_of_the_rows():
    whole = piece([("p", None, 1.0), ("q", 1.0, 2.0), ("r", np.inf, 3.0)])
    lost = DeadLetter("file cut short", "s.jsonl", "")
    torn = DeadLetter("not a JSON object", "s.jsonl, row 102", "{", 101)
    found = Piece(whole.table, whole.origin, whole.key, np.array([100, 102, 103]), dead=(lost, torn))
    done = accept(found, RECIPE, time="at", time_unit="s", timed=True, keep=(), rejects=Rejects())
    assert [letter.row for letter in done.dead] == [100, 101, 103, None]


def test_slicing_a_part():
    part = accepted([("p", 1.0, 1.0), ("q", 2.0, 2.0), ("r", 3.0, 3.0)]).part.slice(1, 3)
    assert part.rows.tolist() == [101, 102]
    assert part.carried.to_pydict() == {"id": ["q", "r"]}


def test_what_a_summary_would_refuse_is_a_letter_and_does_not_end_the_stream():
    rejects = Rejects()
    recipe = RecipeSpec(columns=("a",), weight="at", scale="none").learn(
        pa.table({"a": [1.0], "at": [1.0]}), place="t"
    )
    found = piece([("p", 1e20, 1.0), ("q", -1e20, 1.0), ("r", 2.0, 1e200), ("s", 3.0, 4.0)])
    done = accept(found, recipe, time=None, time_unit="s", timed=False, keep=(), rejects=rejects)
    assert done.part.rows.tolist() == [103]
    assert done.part.weights.tolist() == [4.0]
    assert [letter.row for letter in done.dead] == [100, 101, 102]
    assert "1e+17" in done.dead[0].reason
    assert "'a'" in done.dead[0].reason
    assert sum(rejects.counts.values()) == 3


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.duration("s"), pa.list_(pa.timestamp("us"))])
def test_a_letter_is_written_though_python_has_no_word_for_a_value(kind):
    far = [10**18] if pa.types.is_list(kind) else 10**18
    table = pa.record_batch({"a": pa.array([np.nan]), "far": pa.array([far], kind)})
    recipe = RecipeSpec(columns=("a",), scale="none").learn(pa.table({"a": [1.0]}), place="t")
    found = Piece(table, "s", 5, np.arange(1))
    done = accept(found, recipe, time=None, time_unit="s", timed=False, keep=(), rejects=Rejects())
    assert "1000000000000000000" in json.loads(done.dead[0].raw)["far"]
