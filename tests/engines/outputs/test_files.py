"""CSV, Parquet parts, dead letters and the file beneath: formats, foreign files, disks that refuse."""

from __future__ import annotations

import errno
import io
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.engines.outputs import DeadLetters, Output, open_output
from shoal.engines.outputs.csv_lines import CsvOutput
from shoal.engines.outputs.json_lines import JsonLinesOutput, StandardOutput
from shoal.engines.outputs.parquet_parts import ParquetParts
from shoal.errors import BadInputError, DamagedFileError, ShoalError

ONE = pa.table({"cluster": [3, None], "score": [0.5, float("inf")], "text": ['a "b"\n', ""]})
FILES = ("labels.jsonl", "labels.csv")
ALL = (*FILES, "labels.parquet")


def begun(target) -> Output:
    output = open_output(str(target))
    output.start(None)
    return output


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# names


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jsonl", JsonLinesOutput),
        ("A.NDJSON", JsonLinesOutput),
        ("x/a.csv", CsvOutput),
        ("a.parquet", ParquetParts),
        ("a/", ParquetParts),
        ("a.csv/", ParquetParts),
        ("-", StandardOutput),
    ],
)
def test_names_say_the_kind(name, kind):
    output = open_output(name)
    assert type(output) is kind
    assert isinstance(output, Output)


def test_a_directory_that_is_there_means_parts(tmp_path):
    assert isinstance(open_output(tmp_path), ParquetParts)


@pytest.mark.parametrize("name", ["a.txt", "a", "", "s3://bucket/a.jsonl", "a.csv.gz", "kafka://h/t"])
def test_other_names_are_refused_with_the_kinds_there_are(name):
    with pytest.raises(BadInputError, match=r"name\.jsonl"):
        open_output(name)


# CSV


def test_csv_reads_back_and_has_one_header(tmp_path):
    output = begun(tmp_path / "a.csv")
    output.write(ONE)
    position = output.sync()
    output.close()
    output = open_output(tmp_path / "a.csv")
    output.start(position)
    output.write(ONE.slice(0, 1))
    output.close()
    options = pa_csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    back = pa_csv.read_csv(tmp_path / "a.csv", convert_options=options, parse_options=parse)
    assert back.to_pydict() == {
        "cluster": [3, None, 3],
        "score": [0.5, None, 0.5],
        "text": ['a "b"\n', "", 'a "b"\n'],
    }


def test_csv_of_rare_types(tmp_path):
    output = begun(tmp_path / "a.csv")
    output.write(
        pa.table(
            {
                "l": pa.array([[1.5, None], None]),
                "b": pa.array([b"\xff", None]),
                "n": pa.nulls(2),
                "d": pa.array(["x", None]).dictionary_encode(),
                "r": pa.RunEndEncodedArray.from_arrays([2], pa.array(['r"'])),
            }
        )
    )
    output.close()
    assert (tmp_path / "a.csv").read_text() == (
        '"l","b","n","d","r"\n"[1.5,null]","/w==",,"x","r"""\n,,,,"r"""\n'
    )


def test_csv_of_no_rows_is_a_header(tmp_path):
    output = begun(tmp_path / "a.csv")
    output.write(ONE.slice(0, 0))
    output.close()
    assert (tmp_path / "a.csv").read_text() == '"cluster","score","text"\n'


@pytest.mark.parametrize("resumed", [False, True])
def test_csv_with_other_columns_is_refused(tmp_path, resumed):
    output = begun(tmp_path / "a.csv")
    output.write(ONE)
    position = output.sync()
    if resumed:
        output.close()
        output = open_output(tmp_path / "a.csv")
        output.start(json.loads(json.dumps(position)))
    before = (tmp_path / "a.csv").read_bytes()
    with pytest.raises(BadInputError, match="the file has cluster, score, text"):
        output.write(ONE.select(["text", "cluster"]))
    assert (tmp_path / "a.csv").read_bytes() == before


# Parquet parts


def test_parts_are_one_data_set_for_everyone(tmp_path):
    output = ParquetParts(tmp_path / "out.parquet", rows_per_part=10)
    output.start(None)
    for first in range(0, 25, 5):
        words = pa.array([f"w{i % 4}" for i in range(first, first + 5)]).dictionary_encode()
        output.write(pa.table({"i": np.arange(first, first + 5), "w": words}))
    assert list((tmp_path / "out.parquet").glob("*.parquet")) == []  # nothing is seen before the sync
    assert output.sync()["parts"] == 3
    assert output.sync()["parts"] == 3  # nothing written, no part
    output.close()
    assert names_in(tmp_path / "out.parquet") == [f"part-{i:06d}.parquet" for i in (1, 2, 3)]
    numbers = list(range(25))
    assert ds.dataset(tmp_path / "out.parquet").to_table()["i"].to_pylist() == numbers
    assert pl.read_parquet(str(tmp_path / "out.parquet" / "*.parquet"))["i"].to_list() == numbers
    assert pq.read_table(tmp_path / "out.parquet")["w"].to_pylist() == [f"w{i % 4}" for i in numbers]
    assert [pq.read_metadata(p).num_rows for p in sorted((tmp_path / "out.parquet").iterdir())] == [10, 10, 5]


def test_one_large_table_is_cut_into_parts(tmp_path):
    output = ParquetParts(tmp_path, rows_per_part=200_000)
    output.start(None)
    output.write(pa.table({"i": np.arange(450_000)}))
    assert output.sync()["parts"] == 3
    output.close()
    assert pq.read_table(tmp_path)["i"].to_numpy().tolist() == list(range(450_000))


@pytest.mark.parametrize("resumed", [False, True])
def test_tables_are_turned_to_the_first_types_or_refused(tmp_path, resumed):
    output = begun(tmp_path / "out.parquet")
    output.write(pa.table({"i": pa.array([1], pa.int64()), "w": pa.array(["a"]).dictionary_encode()}))
    position = output.sync()
    if resumed:
        output.close()
        output = open_output(tmp_path / "out.parquet")
        output.start(position)
    output.write(pa.table({"i": pa.array([2], pa.int32()), "w": ["b"]}))
    for bad in ({"i": [1.5], "w": ["c"]}, {"w": ["c"], "i": [3]}, {"i": [3]}):
        with pytest.raises(BadInputError, match="do not fit the parts before"):
            output.write(pa.table(bad))
    output.sync()
    output.close()
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {"i": [1, 2], "w": ["a", "b"]}


def test_files_of_others_stay_when_parts_are_removed(tmp_path):
    output = begun(tmp_path / "out.parquet")
    position = output.sync()
    output.write(ONE)
    output.sync()
    output.close()
    for name in ("notes.txt", "part-1.parquet", "part-000001.parquet.bak"):
        (tmp_path / "out.parquet" / name).write_text("mine")
    again = open_output(tmp_path / "out.parquet")
    again.start(position)
    again.close()
    assert names_in(tmp_path / "out.parquet") == ["notes.txt", "part-000001.parquet.bak", "part-1.parquet"]


@pytest.mark.parametrize("harm", ["gone", "short"])
def test_a_last_part_that_is_gone_or_damaged_is_noticed(tmp_path, harm):
    output = begun(tmp_path / "out.parquet")
    output.write(ONE)
    position = output.sync()
    output.close()
    part = tmp_path / "out.parquet" / "part-000001.parquet"
    part.unlink() if harm == "gone" else part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(DamagedFileError, match=r"part-000001\.parquet: is"):
        open_output(tmp_path / "out.parquet").start(position)


def test_a_part_holds_at_least_one_row():
    with pytest.raises(BadInputError, match="rows_per_part=0"):
        ParquetParts("out", rows_per_part=0)


# the file beneath


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_changed_or_cut_is_noticed(tmp_path, name):
    output = begun(tmp_path / name)
    output.write(ONE)
    position = output.sync()
    output.close()
    whole = (tmp_path / name).read_bytes()
    for harmed in (whole[:-3], whole[:-3] + b"!!!", b"x" * len(whole) * 2):
        (tmp_path / name).write_bytes(harmed)
        with pytest.raises(DamagedFileError, match=r"holds .* bytes|not the file"):
            open_output(tmp_path / name).start(position)
        assert (tmp_path / name).read_bytes() == harmed
    (tmp_path / name).unlink()
    with pytest.raises(DamagedFileError, match="is gone"):
        open_output(tmp_path / name).start(position)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ALL)
def test_two_writers_of_one_output_are_refused(tmp_path, name):
    first = begun(tmp_path / name)
    position = first.sync()
    with pytest.raises(BadInputError, match="another process is writing"):
        open_output(tmp_path / name).start(position)
    first.write(ONE)
    first.sync()
    first.close()
    second = open_output(tmp_path / name)
    second.start(position)
    second.close()


@pytest.mark.parametrize("name", ALL)
def test_folders_above_are_made(tmp_path, name):
    output = begun(tmp_path / "a" / "b" / name)
    output.write(ONE)
    output.sync()
    output.close()
    assert (tmp_path / "a" / "b" / name).exists()


@pytest.mark.parametrize("name", ALL)
def test_a_file_where_a_folder_should_be(tmp_path, name):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(ShoalError, match="choose another output"):
        open_output(tmp_path / "a" / name).start(None)
    assert (tmp_path / "a").read_text() == "a file"


def test_a_folder_where_a_file_should_be_and_the_reverse(tmp_path):
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(ShoalError, match="a directory is where a file should be"):
        JsonLinesOutput(tmp_path / "a.jsonl").start(None)
    (tmp_path / "b.parquet").write_text("a file")
    with pytest.raises(ShoalError, match="a file is where a directory should be"):
        open_output(tmp_path / "b.parquet").start(None)


def test_a_pipe_is_not_an_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(BadInputError, match="is not an ordinary file"):
        JsonLinesOutput(tmp_path / "a.jsonl").start(None)


@pytest.fixture
def locked_folder():
    """A directory that this process may read and not write, though the tests may run as root."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    user = os.geteuid()
    folder.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.rmdir()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("below", ["", "new/"])
def test_a_directory_without_the_right_to_write(locked_folder, name, below):
    with pytest.raises(ShoalError, match="give this user the right") as caught:
        open_output(locked_folder / f"{below}{name}").start(None)
    assert str(locked_folder) in str(caught.value)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EACCES, "give this user the right"), (errno.EROFS, "a disk that can be written")],
)
def test_a_directory_that_refuses(tmp_path, monkeypatch, name, code, said):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr("shoal.engines.outputs.disk.Path.mkdir", refuse)
        patched.setattr("shoal.engines.outputs.appended_file.os.open", refuse)
        with pytest.raises(ShoalError, match=said) as caught:
            open_output(tmp_path / "new" / name).start(None)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_full_disk_leaves_whole_lines_and_a_restart_goes_on(tmp_path, monkeypatch, name):
    output = begun(tmp_path / name)
    output.write(ONE)
    position = output.sync()
    before = (tmp_path / name).read_bytes()
    real = os.write

    def half(descriptor, data):
        if len(data) > 20:
            return real(descriptor, bytes(data[:20]))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("shoal.engines.outputs.appended_file.os.write", half)
        with pytest.raises(ShoalError, match="No space left on device; free some space"):
            output.write(ONE)
    assert (tmp_path / name).read_bytes() == before
    with pytest.raises(ShoalError, match="call start first"):
        output.write(ONE)
    again = open_output(tmp_path / name)
    again.start(position)
    again.write(ONE)
    again.close()
    assert (tmp_path / name).read_bytes().startswith(before)
    assert len((tmp_path / name).read_bytes()) > len(before)


@pytest.mark.parametrize("name", ALL)
def test_after_a_failed_fsync_only_a_new_start_goes_on(tmp_path, monkeypatch, name):
    output = begun(tmp_path / name)
    position = output.sync()
    output.write(ONE)

    def refuse(_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(ShoalError, match="Input/output error; mend the disk"):
            output.sync()
    with pytest.raises(ShoalError, match="call start first"):
        output.sync()
    again = open_output(tmp_path / name)
    again.start(position)
    again.write(ONE)
    again.sync()
    again.close()
    if name.endswith(".parquet"):
        assert pq.read_table(tmp_path / name).num_rows == 2
    else:
        assert (tmp_path / name).read_bytes().count(b"a ") == 1


@pytest.mark.parametrize("name", FILES)
def test_a_table_that_cannot_be_written_leaves_nothing_of_itself(tmp_path, monkeypatch, name):
    output = begun(tmp_path / name)
    output.write(ONE)
    before = (tmp_path / name).read_bytes()

    def one_then_fail(*_args, **_more):
        yield b"half of it"
        raise BadInputError("a value has no form")

    module = "json_lines.json_lines" if name.endswith("jsonl") else "csv_lines._blocks"
    with monkeypatch.context() as patched:
        patched.setattr(f"shoal.engines.outputs.{module}", one_then_fail)
        with pytest.raises(BadInputError, match="no form"):
            output.write(ONE)
    assert (tmp_path / name).read_bytes() == before
    output.write(ONE)  # the next one may go on
    output.close()
    assert (tmp_path / name).read_bytes().startswith(before)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4000), min_size=1, max_size=5))
def test_the_tail_checksum_holds_for_any_sizes(tmp_path_factory, sizes):
    path = tmp_path_factory.mktemp("tail") / "a.jsonl"
    output = begun(path)
    for size in sizes:
        output.write(pa.table({"t": ["x" * size]}))
        position = output.sync()
    output.close()
    again = open_output(path)
    again.start(position)
    assert again.sync() == position
    again.close()


# standard output


def test_standard_output_counts_rows_and_leaves_the_stream_open():
    stream = io.BytesIO()
    output = StandardOutput(stream)
    output.start(None)
    output.write(ONE)
    position = output.sync()
    again = StandardOutput(stream)
    again.start(position)
    again.write(ONE.slice(1))
    assert again.sync() == {"kind": "standard-output", "rows": 3}
    again.close()
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["cluster"] for row in found] == [3, None, None]


# dead letters


def letters(path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b'{"a": "\n', '{"a": "\n'),
        (b"\xff\x00", {"base64": "/wA="}),
        ("🐟\u2028\ud800", "🐟\u2028\ud800"),
        (None, None),
        (float("nan"), "nan"),
        ({b"k": [b"\xff", 1.5, {"n": None}]}, {"k": [{"base64": "/w=="}, 1.5, {"n": None}]}),
        (memoryview(b"m"), "m"),
    ],
)
def test_a_dead_letter_keeps_the_whole_message(tmp_path, raw, kept):
    dead = DeadLetters(tmp_path / "dead.jsonl")
    dead.start(None)
    dead.add("stream", "message 1-0", "not JSON", raw)
    dead.close()
    (letter,) = letters(tmp_path / "dead.jsonl")
    assert letter["raw"] == kept
    assert list(letter) == ["time", "source", "place", "reason", "raw"]
    assert letter["time"].endswith("+00:00")


def test_dead_letters_and_their_counts_go_back_together(tmp_path):
    dead = DeadLetters(tmp_path / "dead.jsonl")
    dead.start(None)
    dead.add("s", "1", "NaN", "x", time="t")
    position = json.loads(json.dumps(dead.sync()))
    dead.add("s", "2", "NaN", "x", time="t")
    dead.add("s", "3", "too long", "x", time="t")
    assert dead.counts == {"NaN": 2, "too long": 1}
    dead.close()
    again = DeadLetters(tmp_path / "dead.jsonl")
    again.start(position)
    assert again.counts == {"NaN": 1}
    assert again.total == 1
    again.add("s", "2", "NaN", "x", time="t")
    again.sync()
    again.close()
    assert [letter["place"] for letter in letters(tmp_path / "dead.jsonl")] == ["1", "2"]


def test_dead_letters_refuse_damaged_counts_and_foreign_files(tmp_path):
    dead = DeadLetters(tmp_path / "dead.jsonl")
    dead.start(None)
    dead.add("s", "1", "NaN", "x")
    position = dead.sync()
    dead.close()
    with pytest.raises(BadInputError, match="counts of dead letters"):
        dead.start(position | {"counts": {"NaN": "many"}})
    with pytest.raises(BadInputError, match="already holds"):
        dead.start(None)
    assert len(letters(tmp_path / "dead.jsonl")) == 1
