"""Empty, truncated, missing and mixed files: named, or counted under skip with what came before kept."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal.errors import BadInputError
from shoal.sources.files import open_files
from shoal.sources.options import DAMAGED, ReadOptions

SKIP = ReadOptions(on_error="skip")
ROWS = 40_000


def count(source) -> int:
    return sum(b.table.num_rows for b in source.batches())


def lines_of(kind: str) -> bytes:
    rng = random.Random(1)
    values = [rng.random() for _ in range(ROWS)]
    if kind == "csv":
        return b"x,y\n" + b"".join(f"{v},{i}\n".encode() for i, v in enumerate(values))
    return b"".join(json.dumps({"x": v, "y": i}).encode() + b"\n" for i, v in enumerate(values))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("packer", ["gz", "xz", "bz2", "zst"])
def test_truncated_compressed_text_keeps_what_came_before(tmp_path, kind, packer):
    pack = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}.get(packer)
    data = lines_of(kind)
    packed = pack(data) if pack else pa.compress(data, codec="zstd", asbytes=True)
    path = tmp_path / f"x.{kind}.{packer}"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    with pytest.raises(BadInputError, match=rf"x\.{kind}\.{packer}.*{DAMAGED}"):
        count(open_files([path]))
    whole = tmp_path / f"whole.{kind}"
    whole.write_bytes(b"x,y\n1,2\n" if kind == "csv" else b'{"x": 1, "y": 2}\n')
    source = open_files([path, whole], options=SKIP)
    rows = [r for b in source.batches() for r in b.table.to_pylist()]
    assert source.rejects.counts == {DAMAGED: 1}
    assert rows[-1] == {"x": 1.0, "y": 2.0}
    assert [r["y"] for r in rows[:-1]] == list(range(len(rows) - 1)), "only whole rows, in order"
    if packer != "bz2":
        assert len(rows) > ROWS // 3


def test_damaged_gzip_bytes_are_named(tmp_path):
    packed = bytearray(gzip.compress(lines_of("csv")))
    packed[len(packed) // 2 : len(packed) // 2 + 50] = bytes(50)
    path = tmp_path / "x.csv.gz"
    path.write_bytes(packed)
    with pytest.raises(BadInputError, match=r"x\.csv\.gz"):
        count(open_files([path]))


@pytest.mark.parametrize("cut", [0.0001, 0.5, 0.99])
def test_truncated_parquet_is_named_and_skipped(tmp_path, cut):
    path, good = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"x": np.random.default_rng(0).random(5000)}), path)
    pq.write_table(pa.table({"x": [1.0, 2.0]}), good)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut) + 4])
    with pytest.raises(BadInputError, match=rf"a\.parquet.*{DAMAGED}"):
        count(open_files([path]))
    source = open_files([path, good], options=SKIP)
    assert count(source) == 2
    assert source.rejects.counts == {DAMAGED: 1}


def test_a_damaged_row_group_is_named_and_the_others_are_kept(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"x": np.random.default_rng(0).random(4000)})
    pq.write_table(table, path, row_group_size=1000, use_dictionary=False, compression="zstd")
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = chunk.data_page_offset
    data[start : start + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(BadInputError, match=r"a\.parquet, row group 2, after row 1000: " + DAMAGED):
        count(open_files([path]))
    source = open_files([path], options=SKIP)
    numbers = np.concatenate([b.row_numbers for b in source.batches()])
    assert source.rejects.counts == {DAMAGED: 1000}
    assert numbers.tolist() == [*range(1000), *range(2000, 4000)]


def test_truncated_arrow_keeps_the_batches_before(tmp_path):
    path = tmp_path / "a.arrow"
    table = pa.table({"x": np.arange(5000.0)})
    with pa.ipc.new_file(path, table.schema) as out:
        out.write_table(table, max_chunksize=500)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInputError, match=r"a\.arrow, after row \d+00: " + DAMAGED):
        count(open_files([path]))
    source = open_files([path], options=SKIP)
    assert 1500 <= count(source) < 3000
    assert source.rejects.counts == {DAMAGED: 1}


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_truncated_numpy_is_named(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    X = np.random.default_rng(0).random((1000, 3))
    np.save(path, X) if suffix == "npy" else np.savez(path, X=X)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInputError, match=rf"a\.{suffix}.*{DAMAGED}"):
        count(open_files([path]))
    if suffix == "npy":
        source = open_files([path], options=SKIP)
        kept = count(source)
        assert 400 < kept < 500
        assert source.rejects.counts == {DAMAGED: 1000 - kept}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}, {}], dtype=object), "Python objects"),
        (np.array(["a"]), "not numbers"),
        (np.zeros(3), "1 dimension"),
        (np.zeros((3, 0)), "no columns"),
    ],
)
def test_arrays_that_are_no_tables_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(BadInputError, match=message):
        open_files([tmp_path / "a.npy"]).schema()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl", "parquet", "arrow", "npy", "npz"])
def test_an_empty_file_is_an_error_and_skipped_among_others(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"")
    with pytest.raises(BadInputError, match=r"a\..*file is empty"):
        count(open_files([path]))
    (tmp_path / "b.csv").write_text("x\n1\n")
    source = open_files([path, tmp_path / "b.csv"], options=SKIP)
    assert count(source) == 1
    assert source.rejects.counts == {"file is empty": 1}


def test_header_only_is_an_error_alone_and_nothing_among_others(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n")
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    with pytest.raises(BadInputError, match="no data rows"):
        count(open_files([tmp_path / "a.csv"]))
    assert count(open_files([tmp_path])) == 1


def test_missing_files_globs_and_directories_are_named(tmp_path):
    (tmp_path / "notes.md").write_text("x")
    for spec, message in [
        ("no.csv", "no such file"),
        ("*.csv", "no file matches"),
        ("", "no file of a known format"),
    ]:
        with pytest.raises(BadInputError, match=message):
            open_files([tmp_path / spec])


def test_columns_that_differ_between_files_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(BadInputError, match=r"b\.csv: no column named 'y'"):
        count(open_files([tmp_path]))
    (tmp_path / "b.csv").write_text("x,y,z\n1,2,3\n")
    with pytest.raises(BadInputError, match=r"b\.csv: column 'z' is not in .*a\.csv"):
        count(open_files([tmp_path]))
    assert sum(b.table.num_rows for b in open_files([tmp_path]).batches(["x"])) == 2


def test_an_unknown_column_names_the_nearest(tmp_path):
    (tmp_path / "a.csv").write_text("median_income\n1\n")
    with pytest.raises(BadInputError, match="did you mean median_income"):
        open_files([tmp_path / "a.csv"]).batches(["median_incme"])


def test_types_of_later_files_follow_the_first(tmp_path):
    pq.write_table(pa.table({"x": [1.5]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [2]}), tmp_path / "b.parquet")
    assert [b.table.column("x").to_pylist() for b in open_files([tmp_path]).batches()] == [[1.5], [2.0]]
    pq.write_table(pa.table({"x": ["two"]}), tmp_path / "b.parquet")
    with pytest.raises(BadInputError, match=r"b\.parquet, from row 1, column 'x'"):
        count(open_files([tmp_path]))


def test_a_bad_json_line_is_named_or_skipped(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": 1}\n{"x": \n[3]\n{"x": "four"}\n{"x": NaN}\n{"x": 6}\n')
    with pytest.raises(BadInputError, match=r"a\.jsonl, row 2: not a JSON object"):
        count(open_files([path]))
    source = open_files([path], options=SKIP)
    rows = [
        (n, r["x"]) for b in source.batches() for n, r in zip(b.row_numbers.tolist(), b.table.to_pylist())
    ]
    assert [n for n, _ in rows] == [0, 4, 5]
    assert source.rejects.counts == {"not a JSON object": 2, "not a number": 1}


def test_a_json_array_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "a.json").write_text('[{"x": 1}]')
    with pytest.raises(BadInputError, match="jq -c"):
        open_files([tmp_path / "a.json"]).schema()
