"""RecordIO-protobuf as a source: the same rows by template and by parsing, from files and pipes, damaged or not."""

from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import shoal.sources.recordio_source as module
from shoal.cli.app import app
from shoal.engines.local import fit
from shoal.engines.reading import Pass
from shoal.errors import BadInputError
from shoal.features.spec import RecipeSpec
from shoal.sources.files import open_files
from shoal.sources.locate import locate
from shoal.sources.options import ReadOptions
from shoal.sources.recordio import frame
from shoal.sources.recordio_records import Record, Tensor, encode_record, write_sparse
from shoal.sources.recordio_source import read_rows, read_stream
from shoal.sources.recordio_template import write_dense
from shoal.sources.stream_files import FilesStream, NamedFiles

DIGITS = Path(__file__).resolve().parents[3] / "shared/data/mnist/t10k-images-idx3-ubyte.gz"
some = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def table(n: int = 50, d: int = 4) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, d)).astype(np.float32)


def dense(rows, labels=None) -> bytes:
    file = io.BytesIO()
    write_dense(file, rows, labels)
    return file.getvalue()


def one(row, **rest) -> bytes:
    return frame(encode_record(Record({"values": Tensor(np.asarray(row, np.float32))}, **rest)))


def read(path, columns=None, **options):
    """Values, row numbers and the source."""
    source = open_files([path], options=ReadOptions(**options))
    values, numbers = [], []
    for batch in source.batches(columns):
        values += batch.table.column("values").to_pylist()
        numbers += batch.row_numbers.tolist()
    return np.array(values), numbers, source


def write(path, data: bytes):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["x.pbr", "x.recordio", "X.REC", "x.pbr.gz", "x.data", "no_suffix"])
def test_files_are_recognised_by_name_and_by_their_first_bytes(tmp_path, name):
    X, data = table(), dense(table())
    values, numbers, source = read(write(tmp_path / name, gzip.compress(data) if "gz" in name else data))
    np.testing.assert_array_equal(values, X)
    assert numbers == list(range(len(X)))
    assert source.bytes_read == source.total_bytes


@some
@given(n=st.integers(1, 60), d=st.integers(1, 9), labelled=st.booleans(), batch_rows=st.integers(1, 70))
def test_template_and_parser_give_the_same_rows(tmp_path, n, d, labelled, batch_rows):
    X = table(n, d)
    path = write(tmp_path / "x.pbr", dense(X, X[:, 0] if labelled else None))
    columns = ["values", "label"] if labelled else None
    source = open_files([path], options=ReadOptions(batch_rows=batch_rows))
    fast = [row for b in source.batches(columns) for row in b.table.to_pylist()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "template_of", lambda *_: None)
        slow = [row for b in source.batches(columns) for row in b.table.to_pylist()]
    assert fast == slow
    assert len(fast) == n


def test_the_label_is_no_feature_unless_it_is_asked_for(tmp_path):
    X = table()
    path = write(tmp_path / "x.pbr", dense(X, np.arange(50, dtype=np.float32)))
    source = open_files([path])
    assert source.schema().names == ["values"]
    ((_, found),) = Pass(source, RecipeSpec()).features()
    assert found.matrix.shape == (50, 4)
    ((_, found),) = Pass(source, RecipeSpec(columns=("values", "label"), scale="none")).features()
    np.testing.assert_array_equal(found.matrix[:, 4], np.arange(50))
    assert source.peek(2, ["label"]).to_pylist() == [{"label": 0.0}, {"label": 1.0}]


def test_sparse_and_dense_records_make_the_same_rows(tmp_path):
    X = table(40, 6) * (table(40, 6) > 0.5)
    file = io.BytesIO()
    write_sparse(file, sp.csr_matrix(X), np.arange(40))
    values, _, _ = read(write(tmp_path / "x.pbr", file.getvalue() + dense(X)))
    np.testing.assert_array_equal(values, np.concatenate([X, X]))


def test_records_of_all_kinds_can_be_mixed_and_runs_go_back_to_the_template(tmp_path, monkeypatch):
    X = table(3000)
    odd = one(X[0], uid="u") + one(X[1], metadata="m")
    path = write(tmp_path / "x.pbr", dense(X) + odd + dense(X.astype(np.float64), X[:, 0]) + dense(X))
    parsed = []
    real = module.parse_record
    monkeypatch.setattr(module, "parse_record", lambda p: parsed.append(1) or real(p))
    values, numbers, _ = read(path)
    np.testing.assert_array_equal(values, np.concatenate([X, X[:2], X, X]))
    assert numbers == list(range(9002))
    assert len(parsed) < 3500


def test_a_record_of_another_width_is_a_bad_row_named_with_its_byte(tmp_path):
    X = table(20)
    path = write(tmp_path / "x.pbr", dense(X[:16]) + one([1, 2]) + dense(X[16:]))
    with pytest.raises(BadInputError, match=r"x\.pbr, record 17 \(byte 640\): .*2 values where 4 are due"):
        read(path)
    values, numbers, source = read(path, on_error="skip")
    np.testing.assert_array_equal(values, X)
    assert numbers == [*range(16), *range(17, 21)]
    assert source.rejects.total == 1


@some
@given(at=st.integers(8, 50 * 40 - 1), byte=st.integers(1, 255))
def test_one_damaged_byte_costs_one_record_or_changes_one_number(tmp_path, at, byte):
    X = table()
    data = bytearray(dense(X))
    data[at] ^= byte
    values, _, source = read(write(tmp_path / "x.pbr", bytes(data)), on_error="skip")
    lost = at // 40
    kept = [i for i in range(50) if i != lost]
    assert len(values) + source.rejects.total == 50
    same = [i for i, row in enumerate(X) if (values == row).all(axis=1).any()]
    assert set(kept) <= set(same)


@pytest.mark.parametrize(("cut", "problem"), [(5, "byte 1960"), (36, "byte 1960")])
def test_a_truncated_last_record_is_named_or_left_out(tmp_path, cut, problem):
    X = table()
    path = write(tmp_path / "x.pbr", dense(X)[:-cut])
    with pytest.raises(BadInputError, match=rf"record 50 \({problem}\).*ends within"):
        read(path)
    values, _, source = read(path, on_error="skip")
    np.testing.assert_array_equal(values, X[:49])
    assert source.rejects.total == 1


def test_a_shape_that_claims_too_much_is_named_with_its_record(tmp_path):
    huge = Tensor(np.float32([1]), np.uint64([0]), (2**62,) * 300)
    path = write(tmp_path / "a.pbr", one([1, 2]) + frame(encode_record(Record({"values": huge}))))
    with pytest.raises(BadInputError, match=r"record 2 \(byte \d+\).*300 dimensions"):
        read(path)


def test_damage_in_the_middle_is_named_and_reading_goes_on_behind_it(tmp_path):
    X = table()
    data = bytearray(dense(X))
    data[400:404] = b"oops"
    path = write(tmp_path / "x.pbr", bytes(data))
    with pytest.raises(BadInputError, match=r"record 11 \(byte 400\).*magic"):
        read(path)
    values, numbers, source = read(path, on_error="skip")
    np.testing.assert_array_equal(values, np.delete(X, 10, axis=0))
    assert numbers == [i for i in range(50) if i != 10]
    assert source.rejects.total == 1


def test_a_compressed_file_cut_short_keeps_its_first_records(tmp_path):
    X = table(3000)
    data = gzip.compress(dense(X))
    path = write(tmp_path / "x.pbr.gz", data[: len(data) // 2])
    with pytest.raises(BadInputError, match="damaged"):
        read(path)
    values, _, source = read(path, on_error="skip")
    np.testing.assert_array_equal(values, X[: len(values)])
    assert 0 < len(values) < 3000
    assert source.rejects.total == 1


@pytest.mark.parametrize(
    "data",
    [
        frame(encode_record(Record(label={"values": Tensor(np.float32([1]))}))),
        frame(encode_record(Record({"values": (b"jpeg",)}))),
        frame(encode_record(Record({"values": Tensor(np.float32([1]), np.uint64([1]), (1 << 50,))}))),
        frame(b"no protobuf at all"),
        frame(b"abc")[:8],
    ],
)
def test_files_without_any_row_say_why(tmp_path, data):
    path = write(tmp_path / "x.pbr", data)
    with pytest.raises(BadInputError, match=r"record 1 \(byte 0\)"):
        read(path)
    with pytest.raises(BadInputError, match="no file has any columns"):
        read(path, on_error="skip")


def labels_of(data: bytes) -> list:
    return [label for batch in read_stream(io.BytesIO(data)) for label in batch.column("label").to_pylist()]


def test_records_without_a_label_among_labelled_ones_have_none(tmp_path):
    label = {"values": Tensor(np.float32([7]))}
    data = one([1, 2], label=label) + one([3, 4])
    assert labels_of(data) == [7, None]
    wide = {"values": Tensor(np.float32([7, 8]))}
    with pytest.raises(BadInputError, match="2 labels where 1 are due"):
        read_rows(data + one([5, 6], label=wide))
    assert labels_of(one([1], label=wide) + one([2])) == [[7, 8], None]


@pytest.mark.parametrize("name", ["x.pbr", "x.pbr.gz"])
def test_rows_behind_megabytes_of_damage_are_all_read(tmp_path, name):
    X = np.random.default_rng(0).normal(size=(3000, 5)).astype(np.float32)
    data = bytes(24 << 20) + dense(X)
    path = write(tmp_path / name, gzip.compress(data, 1) if name.endswith("gz") else data)
    values, _, source = read(path, on_error="skip")
    np.testing.assert_array_equal(values, X)
    assert source.rejects.total == 1
    with pytest.raises(BadInputError, match=r"record 1 \(byte 0\)"):
        read(path)


def test_a_pipe_gives_the_rows_of_the_file(tmp_path):
    X, fifo = table(5000, 8), tmp_path / "train_0"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(dense(X, X[:, 0])))
    writer.start()
    values, numbers, _ = read(fifo, format="recordio")
    writer.join()
    np.testing.assert_array_equal(values, X)
    assert numbers == list(range(5000))


def test_a_stream_of_batches_reads_no_further_than_it_must():
    X = table(20_000, 100)

    class Endless(io.RawIOBase):
        handed_out = 0

        def read(self, size=-1):
            start, self.handed_out = self.handed_out, self.handed_out + size
            return data[start : self.handed_out]

    data, file = dense(X), Endless()
    first = next(read_stream(file, batch_rows=100))
    np.testing.assert_array_equal(first.column("values").flatten().to_numpy().reshape(-1, 100), X[:100])
    assert file.handed_out < len(data) / 2


def test_a_stream_of_files_goes_on_where_it_stopped(tmp_path):
    X = table(300)
    for i in range(3):
        write(tmp_path / f"matrix_{i}.pbr", dense(X[i * 100 : i * 100 + 100], np.zeros(100, np.float32)))
    stream = FilesStream("x", NamedFiles(locate([tmp_path])), ReadOptions())
    stream.start(None)
    rows = []
    while (chunk := stream.poll(70, 0.0)) is not None:
        assert chunk.table.schema.names == ["values"]
        rows += chunk.table.column("values").to_pylist()
        stream.start(chunk.position)
    np.testing.assert_array_equal(np.array(rows), X)


def test_row_identities_do_not_depend_on_batches_or_the_path(tmp_path):
    path = write(tmp_path / "x.pbr", dense(table(200)))
    keys = {(b.key, tuple(b.row_numbers)) for b in open_files([path]).batches()}
    again = list(open_files([path], options=ReadOptions(batch_rows=7)).batches())
    assert keys == {(again[0].key, tuple(np.concatenate([b.row_numbers for b in again])))}


@pytest.mark.skipif(not DIGITS.exists(), reason="../shared/data is not here")
def test_real_digits_cluster_as_they_do_from_an_array(tmp_path):
    with gzip.open(DIGITS) as file:
        X = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 784)[:2000].astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    write(tmp_path / "x.pbr", dense(X, np.zeros(len(X))))
    ours, array = (fit(str(tmp_path / name), k=5).model for name in ("x.pbr", "x.npy"))
    assert ours.provenance.rows_seen == len(X)
    assert ours.inertia == pytest.approx(array.inertia, rel=0.02)


@pytest.mark.parametrize(("name", "options"), [("x.pbr", []), ("x.data", ["--format", "recordio"])])
def test_the_command_line_fits_such_files(tmp_path, name, options):
    path = write(tmp_path / name, dense(table(200), np.ones(200)))
    done = CliRunner().invoke(app, ["fit", str(path), "--k", "3", "--out", str(tmp_path / "m"), *options])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "m" / "manifest.json").exists()
