"""Every format gives the same rows, in batches, whatever the compression and batch size."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.sources.files import open_files
from shoal.sources.options import ReadOptions

N = 1000
COLUMNS = ["a", "b"]


def sample_rows(n: int = N) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n, 2)).astype(np.float32).astype(np.float64)


def write(path, X, kind):
    """Write X as a table with columns a and b (or one vector column)."""
    table = pa.table({"a": X[:, 0], "b": X[:, 1]})
    text = io.BytesIO()
    pacsv.write_csv(table, text)
    lines = b"".join(
        b'{"a": %s, "b": %s}\n' % (repr(float(a)).encode(), repr(float(b)).encode()) for a, b in X
    )
    zst = lambda data: pa.compress(data, codec="zstd", asbytes=True)  # noqa: E731
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=300)
    elif kind in ("arrow", "feather"):
        with pa.ipc.new_file(path, table.schema) as out:
            out.write_table(table, max_chunksize=170)
    elif kind == "ipc":
        with pa.ipc.new_stream(path, table.schema) as out:
            out.write_table(table, max_chunksize=170)
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, X)
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, X=X, y=np.zeros(len(X)))
    else:
        plain = {
            "csv": text.getvalue(),
            "tsv": text.getvalue().replace(b",", b"\t"),
            "jsonl": lines,
        }[kind.split(".")[0]]
        packers = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": zst}
        path.write_bytes(packers.get(kind.split(".")[-1], bytes)(plain))


def read_matrix(source, **kwargs) -> np.ndarray:
    parts = []
    for batch in source.batches(**kwargs):
        columns = [batch.table.column(i) for i in range(batch.table.num_columns)]
        if pa.types.is_fixed_size_list(columns[0].type):
            parts.append(columns[0].flatten().to_numpy().reshape(len(columns[0]), -1))
        else:
            parts.append(np.column_stack([c.to_numpy(zero_copy_only=False) for c in columns]))
    return np.concatenate(parts)


TEXT = [f"{f}{c}" for f in ("csv", "tsv", "jsonl") for c in ("", ".gz", ".xz", ".bz2", ".zst")]
KINDS = ["parquet", "arrow", "feather", "ipc", "npy", "npz", *TEXT]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_rows(tmp_path, kind):
    X = sample_rows()
    path = tmp_path / f"Data.{kind.upper()}"
    write(path, X, kind)
    source = open_files([path], options=ReadOptions(batch_rows=64))
    batches = list(source.batches())
    assert max(b.table.num_rows for b in batches) <= 64
    assert np.concatenate([b.row_numbers for b in batches]).tolist() == list(range(N))
    np.testing.assert_array_equal(read_matrix(source), X)
    assert source.bytes_read == source.total_bytes == path.stat().st_size


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv", "csv.gz", "jsonl"])
def test_only_the_columns_asked_for_come_in_that_order(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    write(path, sample_rows(), kind)
    batch = next(iter(open_files([path]).batches(["b", "a"])))
    assert batch.table.schema.names == ["b", "a"]
    assert next(iter(open_files([path]).batches(["b"]))).table.schema.names == ["b"]


@pytest.mark.parametrize("kind", KINDS)
def test_progress_never_goes_back_and_ends_at_the_total(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    write(path, sample_rows(), kind)
    source = open_files([path], options=ReadOptions(batch_rows=50))
    seen = [source.bytes_read for _ in source.batches()] + [source.bytes_read]
    assert seen == sorted(seen)
    assert seen[-1] == source.total_bytes


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch_rows=st.integers(1, 400),
    kind=st.sampled_from(["parquet", "arrow", "csv.gz", "jsonl", "npy", "npz"]),
)
def test_batch_rows_does_not_change_the_rows(tmp_path, batch_rows, kind):
    path = tmp_path / f"x.{kind}"
    X = sample_rows(300)
    write(path, X, kind)
    source = open_files([path], options=ReadOptions(batch_rows=batch_rows))
    np.testing.assert_array_equal(read_matrix(source), X)
    assert source.peek(rows=17).num_rows == 17


def test_peek_does_not_depend_on_batch_rows_and_counts_nothing(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "".join(f"{i},{'oops' if i == 90 else 1}\n" for i in range(100)))
    tables = []
    for batch_rows in (3, 1000):
        source = open_files([path], options=ReadOptions(batch_rows=batch_rows, on_error="skip"))
        tables.append(source.peek(rows=95))
        assert source.rejects.total == 0
        assert source.bytes_read == 0
    assert tables[0].num_rows == 95
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i4", "|u1", "<f2", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_numpy_types_and_orders_all_give_the_values(tmp_path, dtype, order, suffix):
    X = np.asarray(np.random.default_rng(0).integers(0, 2, size=(50, 3)).astype(dtype), order=order)
    path = tmp_path / f"x.{suffix}"
    np.save(path, X) if suffix == "npy" else np.savez_compressed(path, X=X)
    np.testing.assert_array_equal(read_matrix(open_files([path])), X.astype(np.float64))


def test_images_become_long_rows(tmp_path):
    X = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.save(tmp_path / "x.npy", X)
    np.testing.assert_array_equal(read_matrix(open_files([tmp_path / "x.npy"])), X.reshape(2, 12))


def test_npz_member_is_chosen_by_name_or_by_being_the_only_table(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, left=np.ones((3, 2)), right=np.zeros((4, 2)))
    assert len(read_matrix(open_files([f"{path}::right"]))) == 4
    with pytest.raises(ValueError, match=r"file\.npz::name among left, right"):
        open_files([path]).schema()
    np.savez(path, only=np.ones((3, 2)), y=np.zeros(3))
    assert len(read_matrix(open_files([path]))) == 3


def test_fixed_size_list_column_survives_parquet(tmp_path):
    X = np.arange(12, dtype=np.float32)
    table = pa.table({"v": pa.FixedSizeListArray.from_arrays(pa.array(X), 3), "id": list("abcd")})
    pq.write_table(table, tmp_path / "x.parquet")
    batch = next(iter(open_files([tmp_path / "x.parquet"]).batches(["v"])))
    assert batch.table.column("v").flatten().to_pylist() == X.tolist()


def test_text_columns_of_parquet_are_cast(tmp_path):
    pq.write_table(pa.table({"code": [43, 7]}), tmp_path / "x.parquet")
    source = open_files([tmp_path / "x.parquet"], options=ReadOptions(text_columns=frozenset({"code"})))
    assert next(iter(source.batches())).table.column("code").to_pylist() == ["43", "7"]


def test_format_is_known_by_content_where_the_name_says_nothing(tmp_path):
    X = sample_rows(20)
    for kind in ("parquet", "arrow", "npy", "npz", "csv.gz", "jsonl.xz"):
        write(tmp_path / f"x.{kind}", X, kind)
        plain = (tmp_path / f"x.{kind}").rename(tmp_path / f"noname-{kind.replace('.', '-')}")
        np.testing.assert_array_equal(read_matrix(open_files([plain])), X)


def test_json_lines_numbers_nulls_and_lists(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1, "v": [1, 2], "s": "x"}\n\n{"a": 2.5, "v": [3, 4.5], "t": 1}\n{"s": null}\n')
    table = open_files([path]).peek()
    assert table.column("a").to_pylist() == [1.0, 2.5, None]
    assert table.column("v").to_pylist() == [[1.0, 2.0], [3.0, 4.5], None]
    assert table.column("s").to_pylist() == ["x", None, None]


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "parquet", "arrow", "npz"])
def test_memory_stays_at_a_few_batches(tmp_path, kind):
    X = sample_rows(600_000)
    path = tmp_path / f"x.{kind}"
    if kind == "jsonl":
        path.write_bytes(b'{"a": 0.123456, "b": 0.654321}\n' * len(X))
    elif kind == "npz":
        np.savez_compressed(path, X=X)
    else:
        write(path, X, kind)
    before = pa.total_allocated_bytes()
    held, rows = [], 0
    for batch in open_files([path], options=ReadOptions(batch_rows=8192)).batches():
        held.append(pa.total_allocated_bytes() - before)
        rows += batch.table.num_rows
    assert rows == len(X)
    assert max(held) < X.nbytes / 2
