"""A directory that receives files: each once, complete, in an order that restarts do not change."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sources.stream_made import drained, opened, restarted

from shoal.errors import BadInputError


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("shoal.sources.stream_directory._SCAN", 0.0)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def put(folder, name, values, age):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"x": v}) + "\n" for v in values))
    os.utime(path, (time.time() - age,) * 2)
    return path


def x(rows):
    return [r[2]["x"] for r in rows]


def test_files_come_by_time_then_name_and_each_once(folder, tmp_path):
    put(folder, "b.jsonl", [3, 4], 100)
    put(folder, "a.jsonl", [5], 50)
    put(folder, "sub/c.jsonl", [1, 2], 200)
    for name in ("_SUCCESS", ".hidden.jsonl", "d.jsonl.tmp", "e.part", "notes.txt"):
        put(folder, name, [99], 300)
    stream = opened(folder, tmp_path / "s", follow=True)
    stream.start(None)
    rows, _, position = drained(stream, until=5)
    assert x(rows) == [1, 2, 3, 4, 5]
    assert stream.poll(10, 0.05) is None
    put(folder, "z.jsonl", [0], 1000)
    rows, _, position = drained(stream, until=1)
    assert x(rows) == [0]
    again = opened(folder, tmp_path / "s", follow=True)
    again.start(position)
    assert again.poll(10, 0.05) is None
    assert not again.finished


def test_a_file_that_is_still_written_waits(folder, tmp_path):
    from shoal.sources.options import ReadOptions
    from shoal.sources.stream_directory import ReceivedFiles
    from shoal.sources.stream_files import FilesStream

    received = ReceivedFiles(folder, tmp_path / "s", follow=True, settle=0.3)
    stream = FilesStream("in", received, ReadOptions(), strict=False)
    stream.start(None)
    path = folder / "a.jsonl"
    for i in range(4):
        with path.open("a") as file:
            file.write(f'{{"x": {i}}}\n')
        assert stream.poll(10, 0.1) is None
    assert x(drained(stream, until=4)[0]) == [0, 1, 2, 3]


def test_the_order_of_a_crashed_run_comes_again_although_older_files_came_meanwhile(folder, tmp_path):
    put(folder, "b.jsonl", [2, 3], 100)
    stream = opened(folder, tmp_path / "s", follow=True)
    stream.start(None)
    assert stream.poll(1, 5.0).table.to_pylist() == [{"x": 2.0}]
    put(folder, "a.jsonl", [1], 200)
    again = opened(folder, tmp_path / "s", follow=True)
    again.start(None)
    assert x(drained(again, until=3)[0]) == [2, 3, 1]


def test_without_follow_it_ends_with_what_is_there_and_restarts_change_nothing(folder, tmp_path):
    put(folder, "a.jsonl", range(7), 0)
    pq.write_table(pa.table({"x": np.arange(7.0, 20.0)}), folder / "b.parquet")
    (folder / "c.csv").write_text("x\n20\nbad\n22\n")
    (folder / "d.parquet").write_bytes(b"PAR1 broken")
    for name, age in (("a.jsonl", 9), ("b.parquet", 8), ("c.csv", 7), ("d.parquet", 6)):
        os.utime(folder / name, (time.time() - age,) * 2)
    stream = opened(folder, tmp_path / "s")
    stream.start(None)
    rows, dead, _ = drained(stream)
    assert stream.finished
    assert x(rows) == [*range(21), 22]
    assert [d.place.rpartition("/")[2].split(",")[0] for d in dead] == ["c.csv", "d.parquet"]
    for sizes, stops in (((1,), (3, 5, 1)), ((4, 2), (1, 1, 1)), ((100,), (2,))):
        state = tmp_path / f"s{len(sizes)}{len(stops)}"
        assert restarted(lambda state=state: opened(folder, state), sizes, stops) == (rows, dead)


def test_a_file_that_is_gone_is_told_and_a_lost_order_is_refused(folder, tmp_path):
    put(folder, "a.jsonl", [1], 100)
    put(folder, "b.jsonl", [2], 50)
    put(folder, "c.jsonl", [3], 20)
    stream = opened(folder, tmp_path / "s", follow=True)
    stream.start(None)
    stream.poll(1, 5.0)
    (folder / "b.jsonl").unlink()
    rows, dead, position = drained(stream, until=2)
    assert x(rows) == [3]
    assert "gone" in dead[0].reason
    with pytest.raises(BadInputError, match=r"c\.jsonl"):
        opened(folder, tmp_path / "other", follow=True).start(position)


def test_a_directory_that_is_not_there_any_more_is_an_error(folder, tmp_path):
    stream = opened(folder, tmp_path / "s", follow=True)
    folder.rmdir()
    stream.start(None)
    with pytest.raises(BadInputError, match="cannot be listed"):
        stream.poll(1, 0.0)
