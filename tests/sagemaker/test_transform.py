"""Batch transform: files in, files out, records in order, however they are cut."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sagemaker import served_made
from typer.testing import CliRunner

from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.answering import Answering
from shoal.sagemaker.joining import Joining
from shoal.sagemaker.json_path import JsonPath
from shoal.sagemaker.requests import JSON, JSON_LINES
from shoal.sagemaker.splitting import payloads
from shoal.sagemaker.transform import TransformSettings, transform
from shoal.sagemaker.tree import CSV, RECORDIO
from shoal.sources.recordio import frame
from shoal.sources.recordio_source import read_rows
from shoal.sources.recordio_template import write_dense

MNIST = Path(__file__).parents[3] / "shared/data/mnist"
LINES = TransformSettings(split="Line", accept=CSV)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    X, path = served_made.made_artefact(tmp_path_factory.mktemp("transform"))
    return X, Answering.of_artefact(path), served_made.expected(X, path), path


def csv_of(X) -> bytes:
    return "".join(",".join(map(repr, row)) + "\n" for row in np.asarray(X).tolist()).encode()


def recordio_of(X) -> bytes:
    file = io.BytesIO()
    write_dense(file, X)
    return file.getvalue()


def pairs(path: Path) -> np.ndarray:
    return np.array([line.split(",") for line in path.read_text().splitlines()], float)


def test_each_file_has_its_answers_beside_its_name(tmp_path, made):
    X, answering, (positions, distances), _ = made
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/a.csv").write_bytes(csv_of(X[:120]))
    (tmp_path / "in/deep/part-0").write_bytes(csv_of(X[120:]))
    (tmp_path / "in/_SUCCESS").write_bytes(b"")
    (tmp_path / "in/.hidden").write_bytes(b"x")
    seen = []
    done = transform(answering, str(tmp_path / "in"), str(tmp_path / "out"), LINES, on_progress=seen.append)
    assert (done.files, done.rows) == (2, 200)
    files = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()
    )
    assert files == ["a.csv.out", "deep/part-0.out"]
    found = np.concatenate([pairs(tmp_path / "out" / name) for name in files])
    np.testing.assert_array_equal(found[:, 0], positions)
    np.testing.assert_allclose(found[:, 1], distances, rtol=1e-9)
    assert seen[-1].bytes_read == seen[-1].total_bytes


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("kind", [CSV, JSON_LINES, RECORDIO])
@pytest.mark.parametrize("accept", [CSV, JSON_LINES, RECORDIO])
def test_however_it_is_cut_the_answers_are_the_same(tmp_path, made, kind, accept, strategy):
    X, answering, (positions, distances), _ = made
    lines = "".join(json.dumps({"features": row}) + "\n" for row in X.tolist()).encode()
    body = {CSV: csv_of(X), JSON_LINES: lines, RECORDIO: recordio_of(X)}[kind]
    (tmp_path / "rows").write_bytes(body)
    split = "RecordIO" if kind == RECORDIO else "Line"
    chosen = TransformSettings(
        kind, accept, split, strategy=strategy, assemble=None if accept == RECORDIO else "Line"
    )
    transform(answering, str(tmp_path / "rows"), str(tmp_path), chosen)
    raw = (tmp_path / "rows.out").read_bytes()
    if accept == RECORDIO:
        assert raw == answering.answer(kind, body, RECORDIO)
    elif accept == CSV:
        np.testing.assert_array_equal(pairs(tmp_path / "rows.out")[:, 0], positions)
    else:
        found = [json.loads(line)["distance_to_cluster"] for line in raw.splitlines()]
        np.testing.assert_allclose(found, distances, rtol=1e-9)


def test_a_file_that_is_not_split_is_one_request(tmp_path, made):
    X, answering, (positions, _), _ = made
    (tmp_path / "rows.json").write_text(json.dumps({"instances": [{"features": row} for row in X.tolist()]}))
    transform(answering, str(tmp_path / "*.json"), str(tmp_path / "out"), TransformSettings(JSON))
    found = json.loads((tmp_path / "out/rows.json.out").read_bytes())["predictions"]
    assert [one["closest_cluster"] for one in found] == positions.tolist()


def test_compressed_files_are_unpacked(tmp_path, made):
    X, answering, (positions, _), _ = made
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(csv_of(X)))
    transform(answering, str(tmp_path / "rows.csv.gz"), str(tmp_path), LINES)
    np.testing.assert_array_equal(pairs(tmp_path / "rows.csv.gz.out")[:, 0], positions)


def test_a_record_is_joined_to_its_answer_and_filtered(tmp_path, made):
    X, answering, (positions, _), _ = made
    text = "".join(f'"id, {i}",{",".join(map(repr, row))}\n' for i, row in enumerate(X.tolist()))
    (tmp_path / "rows.csv").write_text(text)
    chosen = TransformSettings(
        CSV, CSV, "Line", input_filter="$[1:]", output_filter="$[0,-2]", join_source="Input"
    )
    transform(answering, str(tmp_path / "rows.csv"), str(tmp_path), chosen)
    expected = [f'"id, {i}",{float(c)!r}' for i, c in enumerate(positions)]
    assert (tmp_path / "rows.csv.out").read_text().splitlines() == expected


def test_json_records_are_joined_under_the_names_of_the_service(tmp_path, made):
    X, answering, (positions, _), _ = made
    text = "".join(json.dumps({"id": i, "row": {"features": row}}) + "\n" for i, row in enumerate(X.tolist()))
    (tmp_path / "rows.jsonl").write_text(text)
    more = {"input_filter": "$.row", "output_filter": "$['id','SageMakerOutput']", "join_source": "Input"}
    for strategy in ("MultiRecord", "SingleRecord"):
        chosen = TransformSettings(JSON_LINES, JSON_LINES, "Line", strategy=strategy, **more)
        transform(answering, str(tmp_path / "rows.jsonl"), str(tmp_path), chosen)
        found = [json.loads(line) for line in (tmp_path / "rows.jsonl.out").read_text().splitlines()]
        assert [one["id"] for one in found] == list(range(len(X)))
        assert [one["SageMakerOutput"]["closest_cluster"] for one in found] == positions.tolist()


def test_a_bad_record_is_named_by_its_place_in_the_file_and_leaves_no_answers(tmp_path, made):
    X, answering, _, _ = made
    wide = np.tile(X, (800, 1))
    (tmp_path / "rows.csv").write_bytes(csv_of(wide) + b"1,2,nan,4\n")
    one_mib = TransformSettings(split="Line", accept=CSV, max_payload_mb=1)
    with pytest.raises(BadInputError, match=f"rows.csv, record {len(wide) + 1}, value 3: value is nan"):
        transform(answering, str(tmp_path / "rows.csv"), str(tmp_path), one_mib)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("join", ["None", "Input"])
@pytest.mark.parametrize("row", ["b", "  "])
def test_a_row_that_the_filter_empties_is_refused_and_not_lost(tmp_path, made, row, join):
    X, answering, _, _ = made
    first, last = ("id," + ",".join(map(repr, one)) for one in X[:2].tolist())
    (tmp_path / "rows.csv").write_text(f"{first}\n{row}\n{last}\n")
    chosen = TransformSettings(split="Line", accept=CSV, input_filter="$[1:]", join_source=join)
    with pytest.raises(BadInputError, match=r"rows.csv, record 2: has nothing at \$\[1:\]; leave") as caught:
        transform(answering, str(tmp_path / "rows.csv"), str(tmp_path), chosen)
    assert caught.value.remedy
    assert not list(tmp_path.glob("*.out"))


def test_records_and_answers_of_different_number_are_not_joined():
    joining = Joining(CSV, CSV, join=True)
    records, _ = joining.sent(b"1,2\n3,4")
    with pytest.raises(BadInputError, match="2 records, and 1 answers"):
        joining.answered(records, b"0.0,1.0")


@pytest.mark.parametrize("target", ["in", "in/answers"])
def test_answers_among_the_files_are_not_answered(tmp_path, made, target):
    X, answering, _, _ = made
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_bytes(csv_of(X))
    for _ in range(3):
        assert transform(answering, str(tmp_path / "in"), str(tmp_path / target), LINES).files == 1
    assert [p.name for p in (tmp_path / target).rglob("*.out")] == ["a.csv.out"]


def test_damaged_files_are_errors_and_no_tracebacks(tmp_path, made):
    X, answering, _, _ = made
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(csv_of(X))[:-20])
    (tmp_path / "cut.pbr").write_bytes(recordio_of(X)[:-3])
    with pytest.raises(BadInputError, match=r"cut\.csv\.gz: breaks off"):
        transform(answering, str(tmp_path / "cut.csv.gz"), str(tmp_path), LINES)
    by_record = TransformSettings(RECORDIO, split="RecordIO")
    with pytest.raises(BadInputError, match=r"cut\.pbr: record 200 \(byte"):
        transform(answering, str(tmp_path / "cut.pbr"), str(tmp_path), by_record)
    assert not list(tmp_path.glob("*.out*"))


def test_memory_does_not_grow_with_the_file(tmp_path, made):
    X, answering, _, _ = made
    peaks = []
    for times in (300, 1500):
        file = tmp_path / f"{times}.pbr"
        file.write_bytes(recordio_of(np.tile(X.astype(np.float32), (times, 1))))
        tracemalloc.start()
        transform(
            answering,
            str(file),
            str(tmp_path),
            TransformSettings(RECORDIO, RECORDIO, "RecordIO", max_payload_mb=1),
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"split": "TFRecord"}, "not split by 'TFRecord'"),
        ({"split": "RecordIO"}, "text/csv is not split by RecordIO"),
        ({"content_type": RECORDIO, "split": "Line"}, "is not split by Line"),
        ({"content_type": JSON, "split": "Line"}, "lines together are no application/json"),
        ({"content_type": "image/png"}, "requests are not sent as 'image/png'"),
        ({"accept": "image/png"}, "cannot answer as 'image/png'"),
        ({"join_source": "Input"}, "joined records and answers have one format"),
        ({"content_type": RECORDIO, "input_filter": "$[1:]"}, "has no fields to filter"),
        ({"input_filter": "$..x"}, "cannot be read at '..x'"),
        ({"output_filter": "closest_cluster"}, "cannot be read"),
        ({"max_payload_mb": 0}, "must be at least 1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(wrong, reason):
    with pytest.raises(ShoalError, match=reason.replace("$", r"\$")):
        TransformSettings(**wrong)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"\n", b"")), max_size=20),
    st.integers(10, 40),
    st.integers(1, 17),
    st.booleans(),
)
def test_no_line_is_lost_or_cut(lines, most, step, single):
    text = b"\n".join(lines)
    chunks = iter([*(text[i : i + step] for i in range(0, len(text), step)), b""])
    found = list(payloads(chunks.__next__, "Line", most, single=single))
    kept = [line for part in found for line in part.split(b"\n") if line.strip()]
    assert kept == [line for line in lines if line.strip()]
    assert all(len(part) <= most for part in found)
    assert not single or len(found) == len(kept)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from([0, 7, 7, 7, 30]), max_size=25),
    st.integers(40, 120),
    st.integers(1, 50),
    st.booleans(),
)
def test_no_recordio_record_is_lost_or_cut(sizes, most, step, single):
    frames = [frame(bytes([i]) * size) for i, size in enumerate(sizes)]
    text = b"".join(frames)
    chunks = iter([*(text[i : i + step] for i in range(0, len(text), step)), b""])
    found = list(payloads(chunks.__next__, "RecordIO", most, single=single))
    assert b"".join(found) == text
    assert all(len(part) <= most for part in found)
    if single:
        assert found == frames


def test_a_record_in_parts_stays_whole():
    first, last = (struct.pack("<II", 0xCED7230A, kind << 29 | 4) + b"abcd" for kind in (1, 3))
    text = (first + last + frame(b"12345678")) * 40
    found = list(payloads(iter([text, b""]).__next__, "RecordIO", 100))
    assert b"".join(found) == text
    assert all(part.startswith((first, frame(b"12345678"))) for part in found)
    single = list(payloads(iter([text, b""]).__next__, "RecordIO", 100, single=True))
    assert single == [first + last, frame(b"12345678")] * 40


@pytest.mark.parametrize("split", ["None", "Line", "RecordIO"])
def test_what_fits_into_no_request_is_an_error(split):
    text = struct.pack("<II", 0xCED7230A, 100) + bytes(100) if split == "RecordIO" else b"1" * 100
    with pytest.raises(BadInputError, match="longer than 50 bytes"):
        list(payloads(iter([text, b""]).__next__, split, 50))


@pytest.mark.parametrize(
    ("path", "record", "chosen"),
    [
        ("$", [1], [1]),
        ("$.a.b", {"a": {"b": 2}}, 2),
        ("$['a b']", {"a b": 2}, 2),
        ("$['a', 'b']", {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}),
        ("$[ 0 , 2 ]", [5, 6, 7], [5, 7]),
        ("$[-1]", [5, 6], 6),
        ("$[:-1]", [5, 6, 7], [5, 6]),
        ("$.a[1:2]", {"a": [5, 6, 7]}, [6]),
    ],
)
def test_the_documented_paths_choose_what_they_say(path, record, chosen):
    assert JsonPath(path).of(record) == chosen


@pytest.mark.parametrize(
    ("path", "record"), [("$.a", {"b": 1}), ("$.a", [1]), ("$[3]", [1]), ("$[0]", "text")]
)
def test_a_field_that_is_not_there_is_named(path, record):
    with pytest.raises(BadInputError, match="has nothing at"):
        JsonPath(path).of(record)


@pytest.mark.parametrize("path", ["", "a", "$a", "$[*]", "$.*", "$[?(@.x)]", "$[0:4:2]", "$.", "$["])
def test_other_paths_are_refused(path):
    with pytest.raises(ShoalError, match="cannot be read"):
        JsonPath(path)


def test_objects_of_a_store_are_answered_in_the_store(made, monkeypatch):
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        for name, value in (
            ("AWS_ENDPOINT_URL", address),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
        ):
            monkeypatch.setenv(name, value)
        s3 = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
        s3.create_bucket(Bucket="jobs")
        X, answering, (positions, _), _ = made
        s3.put_object(Bucket="jobs", Key="in/a/rows.csv", Body=csv_of(X))
        transform(answering, "s3://jobs/in", "s3://jobs/out", LINES)
        text = s3.get_object(Bucket="jobs", Key="out/a/rows.csv.out")["Body"].read().decode()
        assert [float(line.split(",")[0]) for line in text.splitlines()] == positions.tolist()
        s3.put_object(Bucket="jobs", Key="bad/rows.csv", Body=b"1,2\n")
        with pytest.raises(BadInputError, match="record 1: has 2 values"):
            transform(answering, "s3://jobs/bad", "s3://jobs/out", LINES)
        assert s3.list_objects_v2(Bucket="jobs", Prefix="out/")["KeyCount"] == 1
    finally:
        server.stop()


def test_the_command_says_what_it_did(tmp_path, made):
    import typer

    from shoal.cli.sagemaker import transform as sagemaker_transform

    app = typer.Typer()
    app.command()(sagemaker_transform.run)
    X, _, (positions, _), path = made
    (tmp_path / "rows.csv").write_bytes(csv_of(X))
    out = CliRunner().invoke(
        app,
        [
            str(path),
            str(tmp_path / "rows.csv"),
            str(tmp_path),
            "--split-type",
            "Line",
            "--accept",
            "text/csv",
        ],
    )
    assert out.exit_code == 0, out.output
    assert "200 records of 1 file" in out.output
    np.testing.assert_array_equal(pairs(tmp_path / "rows.csv.out")[:, 0], positions)
    refused = CliRunner().invoke(app, [str(path), "x", "y", "--split-type", "TFRecord"])
    assert isinstance(refused.exception, ShoalError)


@pytest.mark.skipif(
    not (MNIST / "README.md").exists() and not MNIST.is_dir(), reason="../shared/data is not here"
)
def test_the_digits_get_their_nearest_centres(tmp_path):
    file = next(
        (p for p in sorted(MNIST.rglob("*images*idx3*")) if "t10k" in p.name or "test" in p.name), None
    )
    if file is None:
        pytest.skip("no test images in ../shared/data/mnist")
    raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    X = (np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784)[:2000] / 255).astype(np.float32)
    from shoal.engines.local import fit
    from shoal.sagemaker.artefact import portable_centres, write_artefact

    model = fit(X, k=10).model
    write_artefact(tmp_path / "model", model)
    (tmp_path / "digits.pbr").write_bytes(recordio_of(X))
    assert len(read_rows(recordio_of(X[:3]))) == 3
    settings_ = TransformSettings(RECORDIO, CSV, "RecordIO", assemble="Line", max_payload_mb=1)
    done = transform(
        Answering.of_artefact(tmp_path / "model"), str(tmp_path / "digits.pbr"), str(tmp_path), settings_
    )
    centres = portable_centres(model).astype(float)
    found = pairs(tmp_path / "digits.pbr.out")
    distances = np.sqrt(((X[:, None].astype(float) - centres) ** 2).sum(axis=2))
    assert done.rows == len(X)
    np.testing.assert_allclose(found[:, 1], distances.min(axis=1), rtol=1e-4)
    assert (found[:, 0] == distances.argmin(axis=1)).mean() > 0.999
