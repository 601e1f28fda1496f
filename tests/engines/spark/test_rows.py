"""Arrow batches to rows, without Spark."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.engines.spark.rows import RowColumns, RowReader, as_vectors
from shoal.errors import BadInputError

ONE = RowColumns(("v",))


def spark_vectors(rows: list[list[float] | dict[int, float] | None], size: int) -> pa.Array:
    """As Spark hands out VectorUDT: dense rows as lists, sparse ones as {index: value}."""
    kind = pa.struct(
        [
            ("type", pa.int8()),
            ("size", pa.int32()),
            ("indices", pa.list_(pa.int32())),
            ("values", pa.list_(pa.float64())),
        ]
    )
    out = []
    for row in rows:
        if row is None:
            out.append(None)
        elif isinstance(row, dict):
            out.append({"type": 0, "size": size, "indices": list(row), "values": list(row.values())})
        else:
            out.append({"type": 1, "size": None, "indices": None, "values": row})
    return pa.array(out, kind)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1.0, 2.0], [3.0, 4.0]]),
        pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float64(), 2)),
        pa.array([[1, 2], [3, 4]], pa.large_list(pa.int32())),
        spark_vectors([[1.0, 2.0], [3.0, 4.0]], 2),
        spark_vectors([{0: 1.0, 1: 2.0}, [3.0, 4.0]], 2),
    ],
)
def test_every_kind_of_vector_is_read(column: pa.Array) -> None:
    rows = RowReader(ONE).read(pa.record_batch({"v": column}))
    assert rows.X.dtype == np.float64
    assert rows.X.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_float32_stays_float32() -> None:
    batch = pa.record_batch({"v": pa.array([[1.5, 2.5]], pa.list_(pa.float32()))})
    assert RowReader(ONE).read(batch).X.dtype == np.float32
    several = pa.record_batch({"a": pa.array([1.5], pa.float32()), "b": pa.array([2.5], pa.float32())})
    assert RowReader(RowColumns(("a", "b"))).read(several).X.dtype == np.float32


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.lists(st.floats(-5, 5), min_size=3, max_size=3),
            st.dictionaries(st.integers(0, 2), st.floats(-5, 5)),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 3),
)
def test_sparse_and_dense_rows_mix_in_any_slice(rows: list, start: int) -> None:
    column = spark_vectors(rows, 3).slice(min(start, len(rows)))
    expected = []
    for row in rows[start:]:
        if isinstance(row, dict):
            expected.append([row.get(j, 0.0) for j in range(3)])
        elif row is not None:
            expected.append(row)
    found = RowReader(RowColumns(("v",), invalid="skip"), width=3).read(pa.record_batch({"v": column}))
    assert found.X.tolist() == expected
    assert found.kept.tolist() == [i for i, row in enumerate(rows[start:]) if row is not None]


BAD = {
    "null row": ([[1.0, 2.0], None], "the row is null"),
    "null inside": ([[1.0, 2.0], [1.0, None]], "NaN or infinite"),
    "NaN": ([[1.0, 2.0], [float("nan"), 1.0]], "NaN or infinite"),
    "infinity": ([[1.0, 2.0], [1.0, float("-inf")]], "NaN or infinite"),
    "ragged": ([[1.0, 2.0], [1.0]], "the row has 1 numbers, not 2"),
    "too large": ([[1.0, 2.0], [1e200, 0.0]], "beyond 1e\\+100"),
}


@pytest.mark.parametrize(("values", "says"), BAD.values(), ids=BAD.keys())
def test_a_bad_row_is_named_or_skipped(values: list, says: str) -> None:
    batch = pa.record_batch({"v": pa.array([*values, [5.0, 6.0]])})
    with pytest.raises(BadInputError, match=f"column 'v'.*, row 2 of partition 7: .*{says}"):
        RowReader(ONE, partition=7).read(batch)
    reader = RowReader(RowColumns(("v",), invalid="skip"))
    assert reader.read(batch).X.tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert reader.rejects.total == 1


def test_row_numbers_go_on_over_batches() -> None:
    reader = RowReader(ONE)
    reader.read(pa.record_batch({"v": [[1.0], [2.0]]}))
    with pytest.raises(BadInputError, match="row 4 of partition 0"):
        reader.read(pa.record_batch({"v": [[3.0], None]}))


def test_the_column_of_several_is_named() -> None:
    batch = pa.record_batch({"a": [1.0, 2.0], "b": [1.0, float("nan")]})
    with pytest.raises(BadInputError, match="column 'b', row 2"):
        RowReader(RowColumns(("a", "b"))).read(batch)


@pytest.mark.parametrize("weight", [None, -1.0, float("nan"), float("inf")])
def test_bad_weights(weight: float | None) -> None:
    batch = pa.record_batch({"v": [[1.0], [2.0]], "w": pa.array([1.0, weight])})
    with pytest.raises(BadInputError, match="column 'w', row 2"):
        RowReader(RowColumns(("v",), weight="w")).read(batch)
    found = RowReader(RowColumns(("v",), weight="w", invalid="skip")).read(batch)
    assert (found.X.tolist(), found.weights.tolist()) == ([[1.0]], [1.0])


def test_times_are_seconds_whatever_their_type() -> None:
    moment = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    zoned = pa.array([moment], pa.timestamp("us", "UTC"))
    for column in (zoned, zoned.cast(pa.timestamp("ms", "UTC")), pa.array([moment.timestamp()])):
        rows = RowReader(RowColumns(("v",), time="t")).read(pa.record_batch({"v": [[1.0]], "t": column}))
        assert rows.times.tolist() == [moment.timestamp()]
    day = pa.record_batch({"v": [[1.0]], "t": pa.array([dt.date(1970, 1, 2)])})
    assert RowReader(RowColumns(("v",), time="t")).read(day).times.tolist() == [86400.0]


def test_cosine_rows_have_length_one_and_zeros_no_direction() -> None:
    batch = pa.record_batch({"v": [[3.0, 4.0], [0.0, 0.0]]})
    skipping = RowReader(RowColumns(("v",), cosine=True, invalid="skip"))
    assert skipping.read(batch).X.tolist() == [[0.6, 0.8]]
    with pytest.raises(BadInputError, match="no direction"):
        RowReader(RowColumns(("v",), cosine=True)).read(batch)


def test_an_empty_batch_is_no_rows() -> None:
    batch = pa.record_batch({"v": pa.array([], pa.list_(pa.float64()))})
    assert RowReader(ONE).read(batch).X.shape[0] == 0


def test_text_is_no_vector() -> None:
    with pytest.raises(BadInputError, match="is string, not vectors"):
        as_vectors(pa.array(["a"]), "v")
