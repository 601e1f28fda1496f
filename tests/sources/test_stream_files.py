"""Finished files as streams: the same rows whatever the chunk sizes and restarts."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sources.stream_made import drained, opened, restarted

from shoal.errors import BadInputError
from shoal.sources.files import open_files
from shoal.sources.options import ReadOptions
from shoal.sources.stream_open import open_stream
from shoal.sources.stream_protocol import StreamSource

TEXTS = {
    "a.csv": "x,name\n"
    + "".join(f"{i},n{i}\n" for i in range(30))
    + "oops,bad\n5\n"
    + '7,"two\nlines"\n8,end',
    "b.jsonl": "".join(f'{{"name": "m{i}", "x": {i}}}\n' for i in range(20))
    + 'nonsense\n\n{"x": "y"}\n{"x": 3}\n',
}


def folder_of(tmp_path):
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    with gzip.open(tmp_path / "c.csv.gz", "wt") as file:
        file.write("name;x\n" + "".join(f"z{i};{i}.5\n" for i in range(25)))
    pq.write_table(
        pa.table({"x": np.arange(40.0), "other": ["o"] * 40}), tmp_path / "d.parquet", row_group_size=15
    )
    return tmp_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("files"))


def test_files_give_their_rows_in_order_with_missing_columns_null(folder, tmp_path):
    stream = opened(folder / "*", tmp_path)
    assert isinstance(stream, StreamSource)
    stream.start(None)
    rows, dead, _ = drained(stream)
    assert stream.finished
    assert [r[2]["x"] for r in rows[:30]] == [float(i) for i in range(30)]
    assert rows[30][1:] == (32, {"x": 7.0, "name": "two\nlines"})
    assert rows[31][1:] == (33, {"x": 8.0, "name": "end"})
    assert [r[1] for r in rows[52:53]] == [22]
    assert rows[-1][2] == {"x": 39.0, "name": None}
    assert len(rows) == 32 + 21 + 25 + 40
    assert [letter.reason for letter in dead] == [
        "not a number", "wrong number of cells", "not a JSON object", "not a number",
    ]  # fmt: skip
    assert [letter.raw for letter in dead] == ["oops,bad", "5", "nonsense", '{"x": "y"}']
    assert dead[0].place == f"{folder}/a.csv, row 31, column 'x'"


def test_keys_and_numbers_are_those_of_the_table_engine(folder, tmp_path):
    stream = opened(folder / "d.parquet", tmp_path)
    stream.start(None)
    rows, _, _ = drained(stream)
    batches = list(open_files([folder / "d.parquet"]).batches())
    assert [r[0] for r in rows] == [b.key for b in batches for _ in range(b.table.num_rows)]
    assert [r[1] for r in rows] == [n for b in batches for n in b.row_numbers.tolist()]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4), stops=st.lists(st.integers(1, 6), max_size=4)
)
def test_any_sizes_and_restarts_give_the_same_rows(folder, tmp_path, sizes, stops):
    whole = opened(folder / "*", tmp_path)
    whole.start(None)
    rows, dead, _ = drained(whole)
    assert restarted(lambda: opened(folder / "*", tmp_path), sizes, stops) == (rows, dead)


def test_a_block_border_within_a_large_csv_changes_nothing(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(
        "x,t\n" + "".join(f'{i},"a\nb{i}"\n' if i % 7 == 0 else f"{i},c{i}\n" for i in range(200_000))
    )
    stream = opened(path, tmp_path)
    stream.start(None)
    rows, dead, _ = drained(stream, sizes=(65_536, 1000))
    assert not dead
    assert [r[1] for r in rows] == list(range(200_000))
    assert rows[199_997 // 7 * 7][2]["t"] == f"a\nb{199_997 // 7 * 7}"


def test_a_changed_or_missing_file_is_an_error_on_resuming(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("x\n1\n2\n3\n")
    stream = opened(path, tmp_path)
    stream.start(None)
    position = stream.poll(1, 0).position
    path.write_text("x\n1\n2\n4\n")
    with pytest.raises(BadInputError, match=r"x\.csv.*was changed since.*--state"):
        opened(path, tmp_path).start(position)
    with pytest.raises(BadInputError, match="another kind of source"):
        opened(path, tmp_path).start({"kind": "redis"})


def test_a_truncated_gzip_gives_its_rows_and_says_so(tmp_path):
    path = tmp_path / "x.csv.gz"
    data = gzip.compress(("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(5000))).encode())
    path.write_bytes(data[: len(data) // 2])
    stream = opened(path, tmp_path)
    stream.start(None)
    rows, dead, position = drained(stream)
    assert [r[1] for r in rows] == list(range(len(rows)))
    assert len(rows) > 500
    assert dead[-1].reason.startswith("file truncated or damaged")
    again = opened(path, tmp_path)
    again.start(position)
    assert drained(again)[:2] == ([], [])


def test_a_damaged_parquet_row_group_is_a_dead_letter_and_the_others_are_read(tmp_path):
    path = tmp_path / "x.parquet"
    table = pa.table({"x": np.random.default_rng(0).normal(size=3000)})
    pq.write_table(table, path, row_group_size=1000, compression="zstd")
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 200] = b"\xff" * 200
    path.write_bytes(data)
    stream = opened(path, tmp_path)
    stream.start(None)
    rows, dead, _ = drained(stream)
    assert [r[1] for r in rows] == [*range(1000), *range(2000, 3000)]
    assert len(dead) == 1
    assert "row group 2" in dead[0].place


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet", "x.npy"])
def test_an_empty_file_is_an_error_when_it_is_the_first(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    stream = opened(tmp_path / name, tmp_path)
    stream.start(None)
    with pytest.raises(BadInputError, match=name.replace(".", r"\.")):
        drained(stream)


def test_an_unclosed_quote_costs_one_line(tmp_path):
    (tmp_path / "x.csv").write_text('x,t\n1,a\n2,"b\n3,c\n4,d\n')
    stream = opened(tmp_path / "x.csv", tmp_path)
    stream.start(None)
    rows, dead, _ = drained(stream)
    assert [r[1:] for r in rows] == [
        (0, {"x": 1.0, "t": "a"}),
        (2, {"x": 3.0, "t": "c"}),
        (3, {"x": 4.0, "t": "d"}),
    ]
    assert [(d.reason, d.raw) for d in dead] == [("a quoted value does not end", '2,"b')]


def test_what_becomes_of_a_line_does_not_depend_on_its_neighbours(tmp_path):
    good = '{"at": "2024-05-01T10:00:00.25", "x": 1}\n'
    text = good * 30 + "bad\n" + good * 30 + '{"x": 1}{"x": 2}\n\n{"x":\n' + good + '{"at": "noon", "x": 1}\n'
    (tmp_path / "x.jsonl").write_text(text)
    schema = pa.schema({"at": pa.timestamp("us"), "x": pa.float64()})
    stream = open_stream(
        str(tmp_path / "x.jsonl"), follow=False, options=ReadOptions(), state=tmp_path, schema_hint=schema
    )
    stream.start(None)
    rows, dead, _ = drained(stream)
    assert [r[1] for r in rows] == [*range(30), *range(31, 61), 63]
    assert {str(r[2]["at"]) for r in rows} == {"2024-05-01 10:00:00.250000"}
    assert [d.raw for d in dead] == ["bad", '{"x": 1}{"x": 2}', '{"x":', '{"at": "noon", "x": 1}']
