"""Paths, globs, directories, standard input and S3."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal.errors import BadInputError
from shoal.sources.files import open_files
from shoal.sources.options import ReadOptions


def names(*specs):
    return [n.rpartition("/")[2] for n in open_files(specs).names]


def values(source):
    return [v for b in source.batches() for v in b.table.column(0).to_pylist()]


@pytest.fixture
def tree(tmp_path):
    for name in (
        "b.csv",
        "a.CSV",
        "sub/c.csv",
        "sub/deep/d.csv",
        "_SUCCESS",
        ".hidden.csv",
        "_tmp/e.csv",
        "x.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n1\n")
    return tmp_path


def test_a_directory_is_read_sorted_without_hidden_and_marker_files(tree):
    assert names(tree) == ["a.CSV", "b.csv", "c.csv", "d.csv"]


def test_globs_stay_in_a_folder_unless_doubled(tree):
    assert names(tree / "*.csv") == ["b.csv"]
    assert names(tree / ".*.csv") == [".hidden.csv"]
    assert names(tree / "sub/**/*.csv") == ["c.csv", "d.csv"]
    assert names(tree / "[ab].*") == ["a.CSV", "b.csv"]
    assert names(tree / "sub/?.csv") == ["c.csv"]


def test_relative_paths_and_the_current_directory(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert names("b.csv") == ["b.csv"]
    assert names("sub/*.csv") == ["c.csv"]
    assert names(".") == ["a.CSV", "b.csv", "c.csv", "d.csv"]
    assert names("[b]*.csv") == ["b.csv"]


def test_a_file_named_twice_is_refused(tree):
    with pytest.raises(BadInputError, match="named twice"):
        open_files([tree / "b.csv", tree / "*.csv"])


class Stdin:
    def __init__(self, data):
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize(
    "data",
    [b"x,y\n1,2\n3,4\n", b'{"x": 1, "y": 2}\n{"x": 3, "y": 4}\n', gzip.compress(b"x\ty\n1\t2\n3\t4\n")],
    ids=["csv", "jsonl", "gz"],
)
def test_a_pipe_can_be_looked_at_and_then_read_once(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", Stdin(data))
    source = open_files(["-"])
    assert source.schema().names == ["x", "y"]
    assert source.peek(1).num_rows == 1
    assert source.total_bytes is None
    assert values(source) == [1, 3]
    with pytest.raises(BadInputError, match="only once"):
        list(source.batches())


def test_a_long_pipe_is_read_whole_after_a_look(monkeypatch):
    n = 600_000
    monkeypatch.setattr(sys, "stdin", Stdin(b"x\n" + b"".join(b"%d\n" % i for i in range(n))))
    source = open_files(["-"])
    assert source.peek(10).num_rows == 10
    assert values(source) == list(range(n))


def test_parquet_cannot_come_through_a_pipe(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(b"PAR1...."))
    with pytest.raises(BadInputError, match="cannot be read from a pipe"):
        open_files(["-"]).schema()


def test_a_named_pipe_is_read_like_standard_input(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"x\n1\n2\n"))
    writer.start()
    source = open_files([path])
    assert source.peek(1).num_rows == 1
    assert values(source) == [1, 2]
    writer.join()


@pytest.fixture(scope="module")
def s3():
    """A bucket on a real S3 server on loopback."""
    boto3 = pytest.importorskip("boto3")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"b-{uuid.uuid4().hex[:8]}"
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket=bucket)

    def put(key, data):
        client.put_object(Bucket=bucket, Key=key, Body=data)
        return f"s3://{bucket}/{key}"

    yield bucket, put, f"{host}:{port}"
    patch.undo()
    server.stop()


def parquet_bytes(value):
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": [value, value + 1]}), sink)
    return sink.getvalue()


def test_s3_files_directories_globs_and_prefixes(s3):
    bucket, put, _ = s3
    put("data/part-0.parquet", parquet_bytes(1.0))
    put("data/part-1.parquet", parquet_bytes(3.0))
    put("data/_SUCCESS", b"")
    put("data/more/part-2.parquet", parquet_bytes(5.0))
    root = f"s3://{bucket}/data"
    assert values(open_files([f"{root}/part-1.parquet"])) == [3, 4]
    assert values(open_files([f"{root}/*.parquet"])) == [1, 2, 3, 4]
    assert values(open_files([f"{root}/**/*.parquet"])) == [5, 6, 1, 2, 3, 4]
    assert values(open_files([root])) == [5, 6, 1, 2, 3, 4]
    assert values(open_files([f"{root}/part-"])) == [1, 2, 3, 4]
    assert open_files([f"{root}/part-?.parquet"]).names == [
        f"{root}/part-0.parquet",
        f"{root}/part-1.parquet",
    ]


def test_s3_text_and_arrays_stream(s3, tmp_path):
    _, put, _ = s3
    assert values(open_files([put("t/a.csv.gz", gzip.compress(b"x\n1\n2\n"))])) == [1, 2]
    array = io.BytesIO()
    np.save(array, np.ones((5, 2)))
    source = open_files([put("t/a.npy", array.getvalue())])
    assert len(values(source)) == 5
    archive = io.BytesIO()
    np.savez_compressed(archive, X=np.ones((6, 2)))
    assert len(values(open_files([put("t/a.npz", archive.getvalue())]))) == 6


def test_a_row_read_from_s3_has_the_identity_of_the_local_file(s3, tmp_path):
    _, put, _ = s3
    (tmp_path / "a.csv").write_bytes(b"x\n1\n2\n")
    remote = next(iter(open_files([put("deep/er/a.csv", b"x\n1\n2\n")]).batches()))
    assert remote.key == next(iter(open_files([tmp_path / "a.csv"]).batches())).key


def test_s3_endpoint_as_query_parameter(s3, monkeypatch):
    _, put, address = s3
    uri = put("q/a.csv", b"x\n1\n")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert values(open_files([f"{uri}?endpoint_override={address}&scheme=http"])) == [1]
    with pytest.raises(BadInputError, match="unknown parameter 'endpont'"):
        open_files([f"{uri}?endpont=x"])


def test_s3_names_that_are_not_there_are_errors(s3):
    bucket, _, _ = s3
    with pytest.raises(BadInputError, match="no file matches"):
        open_files([f"s3://{bucket}/nothing/*.csv"])
    with pytest.raises(BadInputError, match="no such file"):
        open_files([f"s3://{bucket}/nothing/a.csv"])


def test_options_are_checked():
    with pytest.raises(BadInputError, match="unknown format"):
        ReadOptions(format="xls")
    with pytest.raises(BadInputError, match="delimiter"):
        ReadOptions(delimiter="||")
