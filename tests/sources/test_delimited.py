"""Delimited text: types, quotes, headers, and the place of every bad row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError
from shoal.sources import blocks
from shoal.sources.blocks import RecordBlocks, quoted_records_end
from shoal.sources.files import open_files
from shoal.sources.options import ReadOptions


def read(path, columns=None, **options):
    source = open_files([path], options=ReadOptions(**options))
    rows, numbers = [], []
    for batch in source.batches(columns):
        rows += batch.table.to_pylist()
        numbers += batch.row_numbers.tolist()
    return rows, numbers, source.rejects


def long_csv(path, n=300_000, change=lambda i, line: line):
    """A file of several blocks: the first MiB is only a part of it."""
    path.write_text("x,name\n" + "".join(change(i, f"{i},n{i}\n") for i in range(n)))
    assert path.stat().st_size > 3 * blocks.FIRST_BLOCK
    return path


def test_a_column_that_turns_from_integer_to_float_later_is_read(tmp_path):
    path = long_csv(tmp_path / "x.csv", change=lambda i, line: f"{i + 0.5},n{i}\n" if i > 250_000 else line)
    source = open_files([path])
    x = np.concatenate([b.table.column("x").to_numpy() for b in source.batches(["x"])])
    assert len(x) == 300_000
    assert x[-1] == 299_999.5


def test_text_among_numbers_far_down_names_file_row_column_and_value(tmp_path):
    path = long_csv(tmp_path / "x.csv", change=lambda i, line: f"oops,n{i}\n" if i == 280_000 else line)
    with pytest.raises(
        BadInputError, match=r"x\.csv, row 280001, column 'x': not a number: 'oops'; .*--on-error skip"
    ):
        read(path)


def test_text_among_numbers_is_skipped_and_counted_and_other_rows_keep_their_numbers(tmp_path):
    path = long_csv(tmp_path / "x.csv", change=lambda i, line: f"oops,n{i}\n" if i in (5, 280_000) else line)
    rows, numbers, rejects = read(path, on_error="skip")
    assert rejects.counts == {"not a number": 2}
    assert len(rows) == 299_998
    assert [r["x"] for r in rows] == [float(n) for n in numbers]
    assert 280_000 not in numbers


def test_a_bad_value_in_a_column_not_asked_for_does_not_matter(tmp_path):
    path = long_csv(tmp_path / "x.csv", change=lambda i, line: f"oops,n{i}\n" if i == 280_000 else line)
    assert len(read(path, ["name"])[0]) == 300_000


@pytest.mark.parametrize("line", ["1,2\n", "1,2,3,4\n"])
def test_ragged_rows_are_named_or_skipped(tmp_path, line):
    path = tmp_path / "x.csv"
    path.write_text("a,b,c\n1,2,3\n\n" + line + "7,8,9\n")
    with pytest.raises(BadInputError, match=r"x\.csv, row 2: wrong number of cells \(\d where 3 are due\)"):
        read(path)
    rows, numbers, rejects = read(path, on_error="skip")
    assert [r["a"] for r in rows] == [1, 7]
    assert numbers == [0, 2]
    assert rejects.first == {"wrong number of cells": f"{path}, row 2"}


def test_quoted_newlines_quotes_and_delimiters(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,"two\nlines, and ""quotes"""\n2,5" pipe\n')
    rows, _, _ = read(path)
    assert [r["b"] for r in rows] == ['two\nlines, and "quotes"', '5" pipe']


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(st.sampled_from('ab",\n'), max_size=6), min_size=1, max_size=40),
    chunk=st.integers(1, 30),
    size=st.integers(1, 60),
)
def test_blocks_end_where_records_end(texts, chunk, size):
    quoted = ['"' + t.replace('"', '""') + '"' for t in texts]
    data = "".join(f"{i},{q}\n" for i, q in enumerate(quoted)).encode()
    pieces = iter([data[i : i + chunk] for i in range(0, len(data), chunk)])
    cutter = RecordBlocks(lambda: next(pieces, b""), quoted_records_end(",", '"'))
    ends = np.cumsum([len(f"{i},{q}\n") for i, q in enumerate(quoted)]).tolist()
    taken = []
    while block := cutter.take(size):
        taken.append(block)
    assert b"".join(taken) == data
    assert set(np.cumsum([len(b) for b in taken]).tolist()) <= set(ends)


def test_a_quote_that_never_closes_is_an_error_not_a_full_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "LONGEST_RECORD", 3 << 20)
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,"open\n' + "2,x\n" * 2_000_000)
    with pytest.raises(BadInputError, match="a quoted value does not end"):
        read(path)
    assert len(read(path, ["a"], quote=None)[0]) == 2_000_001


@pytest.mark.parametrize(
    ("text", "names", "first"),
    [
        ("a,b\n1,2\n", ["a", "b"], {"a": 1.0, "b": 2.0}),
        ("1,2\n3,4\n", ["c0", "c1"], {"c0": 1.0, "c1": 2.0}),
        ("a;b\n1,5;2\n", ["a", "b"], {"a": "1,5", "b": 2.0}),
        ("a|b\n1|2\n", ["a", "b"], {"a": 1.0, "b": 2.0}),
        ("1 2\n 3  4 \n", ["c0", "c1"], {"c0": 1.0, "c1": 2.0}),
        ("\ufeffa\tb\r\n1\t2\r\n", ["a", "b"], {"a": 1.0, "b": 2.0}),
        ("a,b,\n1,2,\n", ["a", "b", "c2"], {"a": 1.0, "b": 2.0, "c2": None}),
        (",b\n1,2\n", ["c0", "b"], {"c0": 1.0, "b": 2.0}),
        ("a,b\r1,2\r", ["a", "b"], {"a": 1.0, "b": 2.0}),
        ("word\nother\n", ["word"], {"word": "other"}),
    ],
)
def test_delimiter_and_header_are_found(tmp_path, text, names, first):
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    assert open_files([path]).schema().names == names
    assert read(path)[0][0] == first


def test_names_given_for_a_file_without_header(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("043,1\n010,2\n")
    rows, _, _ = read(path, names=("code", "n"), text_columns=frozenset({"code"}))
    assert rows == [{"code": "043", "n": 1.0}, {"code": "010", "n": 2.0}]
    with pytest.raises(BadInputError, match="2 columns in the first row but 1 names"):
        read(path, names=("code",))


def test_missing_words_are_null_in_numbers_but_namibia_in_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("x,land\n1,NA\nNA,US\n,\nnan,null\n")
    rows, _, _ = read(path)
    assert [r["x"] for r in rows] == [1.0, None, None, None]
    assert [r["land"] for r in rows] == ["NA", "US", None, "null"]
    assert read(path, null_values=("NA", "nan"))[0][0]["land"] is None


def test_careful_and_fast_paths_agree(tmp_path):
    lines = ["x,land,ok", "1,NA,true", " 2.5 ,US,false", "NaN,,true", "1e3,é,false"]
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("\n".join(lines) + "\n")
    bad.write_text("\n".join([*lines, "ragged"]) + "\n")
    assert str(read(good)[0]) == str(read(bad, on_error="skip")[0])


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,caf\xe9\n2,tea\n")
    with pytest.raises(BadInputError, match=r"row 1, column 'b': not a text in UTF-8"):
        read(path)
    assert [r["b"] for r in read(path, encoding="latin-1")[0]] == ["café", "tea"]
    assert read(path, on_error="skip")[2].total == 1


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,a\n1,2\n")
    with pytest.raises(BadInputError, match="two columns are named 'a'"):
        read(path)
