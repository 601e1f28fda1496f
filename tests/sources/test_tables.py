"""Tables in memory give the same rows and identities whatever library holds them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from shoal.errors import BadInputError
from shoal.sources.tables import open_table

X = np.random.default_rng(0).normal(size=(100, 2))
ARROW = pa.table({"a": X[:, 0], "b": X[:, 1]})


def frame(kind):
    if kind == "arrow":
        return ARROW
    if kind == "batch":
        return ARROW.combine_chunks().to_batches()[0]
    if kind == "reader":
        return ARROW.to_reader(max_chunksize=7)
    library = pytest.importorskip(kind)
    return library.DataFrame({"a": X[:, 0], "b": X[:, 1]})


def rows(source, columns=None):
    return np.concatenate(
        [np.column_stack([c.to_numpy() for c in b.table.columns]) for b in source.batches(columns)]
    )


@pytest.mark.parametrize("kind", ["arrow", "batch", "reader", "pandas", "polars"])
def test_frames_give_their_rows_in_small_batches(kind):
    source = open_table(frame(kind), batch_rows=10)
    assert source.schema().names == ["a", "b"]
    assert source.peek(33, ["b"]).num_rows == 33
    batches = list(source.batches())
    assert max(b.table.num_rows for b in batches) <= 10
    assert np.concatenate([b.row_numbers for b in batches]).tolist() == list(range(100))
    got = np.concatenate([np.column_stack([c.to_numpy() for c in b.table.columns]) for b in batches])
    np.testing.assert_array_equal(got, X)


def test_any_object_with_an_arrow_stream_is_read():
    class Capsule:
        def __arrow_c_stream__(self, requested_schema=None):
            return ARROW.__arrow_c_stream__(requested_schema)

    np.testing.assert_array_equal(rows(open_table(Capsule())), X)


def test_a_stream_can_be_read_only_once():
    source = open_table(ARROW.to_reader())
    assert len(rows(source)) == 100
    with pytest.raises(BadInputError, match="only once"):
        source.batches()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8, bool])
def test_arrays_of_any_number_type_and_layout(dtype):
    A = np.asfortranarray((X * 10).astype(dtype))[::2]
    batches = list(open_table(A, batch_rows=16).batches())
    got = np.concatenate([b.table.column(0).flatten().to_numpy().reshape(-1, 2) for b in batches])
    np.testing.assert_array_equal(got, A.astype(np.float64))


def test_sparse_matrices_are_made_dense_piece_by_piece():
    sparse = pytest.importorskip("scipy.sparse")
    source = open_table(sparse.random(50, 4, density=0.2, format="coo", random_state=0), batch_rows=8)
    assert [b.table.num_rows for b in source.batches()] == [8] * 6 + [2]


def test_identity_is_of_the_name_or_the_content():
    key = lambda data, **kw: next(iter(open_table(data, **kw).batches())).key  # noqa: E731
    assert key(X) == key(X.copy())
    assert key(X) != key(X + 1)
    assert key(X, name="mine") == key(X + 1, name="mine")
    assert key(X, batch_rows=7) == key(X)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((2, 0)), np.array([["a"]]), object(), 3])
def test_what_is_no_table_is_refused(bad):
    with pytest.raises(BadInputError):
        open_table(bad)


def test_mixed_values_and_empty_tables_are_refused():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(BadInputError, match="several types"):
        open_table(pandas.DataFrame({"a": [1, "x", {}]})).schema()
    with pytest.raises(BadInputError, match="no data rows"):
        list(open_table(np.zeros((0, 3))).batches())
