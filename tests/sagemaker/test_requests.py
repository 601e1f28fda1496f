"""Bodies of requests and answers: every documented form means the same rows, and what is wrong is named.

The golden answers for clusters 1 and 2 at distances 3 and 5: ``answers.json``, ``.jsonl`` and ``.csv`` were written by hand
after the documentation of the built-in k-means; ``answers.pbr`` was made by the protobuf classes of the SageMaker Python
SDK 2.257.7::

    import io
    from sagemaker.amazon.common import _write_recordio
    from sagemaker.amazon.record_pb2 import Record
    file = io.BytesIO()
    for closest, distance in ((1.0, 3.0), (2.0, 5.0)):
        record = Record()
        record.label["closest_cluster"].float32_tensor.values.append(closest)
        record.label["distance_to_cluster"].float32_tensor.values.append(distance)
        _write_recordio(file, record.SerializeToString(deterministic=True))
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, ShoalError
from shoal.sagemaker.requests import JSON, JSON_LINES, SPARSE_NUMBERS, read_request
from shoal.sagemaker.responses import checked_answer, chosen_answer, write_answer
from shoal.sagemaker.tree import CSV, RECORDIO
from shoal.sources.recordio import StreamedBytes, frame, read_frame
from shoal.sources.recordio_records import Record, Tensor, encode_record, parse_record, write_sparse
from shoal.sources.recordio_template import write_dense

GOLDEN = Path(__file__).parent / "golden"
ROWS = [[0.0, 1.5, -2.0], [3.0, 0.0, 4e-7]]
POSITIONS, DISTANCES = np.array([1, 2]), np.array([3.0, 5.0])


def recordio(write=write_dense, dtype=np.float32, rows=ROWS, labels=None) -> bytes:
    file = io.BytesIO()
    table = np.array(rows, dtype)
    write(file, sp.csr_matrix(table) if write is write_sparse else table, labels)
    return file.getvalue()


def sparse(row: list[float]) -> dict:
    places = [j for j, value in enumerate(row) if value]
    return {"keys": places, "shape": [len(row)], "values": [row[j] for j in places]}


def lines(*objects) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in objects)


FORMS = {
    "csv": ("text/csv;label_size=0", "\n".join(",".join(map(str, row)) for row in ROWS).encode()),
    "csv with an end": (CSV, b"0,1.5,-2\r\n\r\n3,0,4e-7\r\n"),
    "csv quoted": ("TEXT/CSV; charset=utf-8", b'\xef\xbb\xbf"0"," 1.5 ","-2"\n3,0,4e-7'),
    "features": (JSON, lines({"instances": [{"features": row} for row in ROWS]})),
    "data": (JSON, lines({"instances": [{"data": {"features": {"values": row}}} for row in ROWS]})),
    "sparse": (JSON, lines({"instances": [{"data": {"features": sparse(row)}} for row in ROWS]})),
    "mixed": (JSON, lines({"instances": [{"features": ROWS[0]}, {"features": sparse(ROWS[1])}]})),
    "json lines": (JSON_LINES, lines(*({"features": row} for row in ROWS)) + b"\n"),
    "json lines, data": (
        JSON_LINES,
        b"\n" + lines(*({"data": {"features": {"values": row}}} for row in ROWS)),
    ),
    "float32": (RECORDIO, recordio()),
    "labelled": (RECORDIO, recordio(labels=np.float32([1, 2]))),
    "float64": (RECORDIO, recordio(dtype=np.float64)),
    "sparse float32": (RECORDIO, recordio(write_sparse)),
    "sparse float64": (RECORDIO, recordio(write_sparse, np.float64)),
    "dense, then sparse": (
        RECORDIO,
        recordio(rows=ROWS[:1]) + recordio(write_sparse, np.float64, rows=ROWS[1:]),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_means_the_same_rows(form):
    found = read_request(*FORMS[form], 3)
    np.testing.assert_allclose(found.matrix, ROWS, rtol=1e-7)
    assert found.matrix.dtype in (np.float32, np.float64)
    assert found.marks is None


def test_whole_numbers_are_numbers():
    rows = [[-1, 2, 300], [0, 0, 2**31 - 1]]
    np.testing.assert_array_equal(read_request(RECORDIO, recordio(dtype=np.int64, rows=rows), 3).matrix, rows)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=2), min_size=1, max_size=5))
def test_text_and_json_keep_every_bit(rows):
    for kind, body in (
        (CSV, "\n".join(",".join(map(repr, row)) for row in rows).encode()),
        (JSON, lines({"instances": [{"features": row} for row in rows]})),
        (JSON_LINES, lines(*({"features": row} for row in rows))),
    ):
        assert read_request(kind, body, 2).matrix.tolist() == rows


def test_records_may_bear_a_name_and_their_answers_bear_it_too():
    named = [
        encode_record(Record({"values": Tensor(np.float32([1, 2]))}, uid="seven", metadata="{}")),
        encode_record(Record({"values": Tensor(np.float32([1, 2]))})),
    ]
    found = read_request(RECORDIO, b"".join(map(frame, named)), 2)
    assert found.marks == (("seven", "{}"), (None, None))
    written = write_answer(RECORDIO, POSITIONS, DISTANCES, found.marks)
    first = parse_record(read_frame(StreamedBytes(iter([written, b""]).__next__), 0).payload)
    assert (first.uid, first.metadata) == ("seven", "{}")
    assert first.label["distance_to_cluster"].values.tolist() == [3.0]


HOSTILE = {
    "empty csv": (CSV, b"", "request: holds no records"),
    "blank lines": (CSV, b"\n\n", "request: holds no records"),
    "empty json": (JSON, b"", "request: is no JSON"),
    "no instances": (JSON, b"[[1, 2, 3]]", "request: has no list of instances"),
    "none at all": (JSON, b'{"instances": []}', "request: holds no records"),
    "empty lines": (JSON_LINES, b"", "request: holds no records"),
    "empty recordio": (RECORDIO, b"", "request: holds no records"),
    "narrow": (CSV, b"1,2,3\n1,2\n", "request, record 2: has 2 values, the model takes 3"),
    "wide": (CSV, b"1,2,3,4\n", "request, record 1: has 4 values, the model takes 3"),
    "header": (CSV, b"a,b,c\n1,2,3\n", "request, record 1, value 1: not a number: 'a'"),
    "missing": (CSV, b"1,2,3\n1,,3\n", "request, record 2, value 2: not a number: ''"),
    "nan": (CSV, b"1,2,3\n1,nan,3\n", "request, record 2, value 2: value is nan"),
    "underscore": (CSV, b"1_0,2,3\n", "request, record 1, value 1: not a number"),
    "labels": ("text/csv;label_size=1", b"1,1,2,3", "request: rows to be labelled hold no label"),
    "bytes": (CSV, b"\xff\xfe\x00", "request: is no CSV"),
    "json nan": (JSON, b'{"instances": [{"features": [1, NaN, 3]}]}', "record 1, value 2: value is nan"),
    "json words": (JSON, b'{"instances": [{"features": ["1", "2", "3"]}]}', "record 1, value 1: not a number"),
    "json null": (JSON, b'{"instances": [{"features": [1, null, 3]}]}', "record 1, value 2: not a number"),
    "json truth": (JSON, b'{"instances": [{"features": [true, true, true]}]}', "value 1: not a number: True"),
    "json huge": (JSON, b'{"instances": [{"features": [1' + b"0" * 400 + b", 2, 3]}]}", "beyond float64"),
    "json lists": (JSON, b'{"instances": [{"features": [[1], [2], [3]]}]}', "value 1: not a number: [1]"),
    "json deep": (JSON, b"[" * 200_000, "request: is no JSON"),
    "json no features": (JSON, b'{"instances": [{"features": [1, 2, 3]}, {"x": 1}]}', "record 2: has no features"),
    "json list": (JSON, b'{"instances": [[1, 2, 3]]}', "record 1: has no features"),
    "json line": (JSON_LINES, b'{"features": [1, 2, 3]}\n{"features": [1,', "record 2: is no JSON"),
    "key beyond": (
        JSON,
        b'{"instances": [{"features": {"keys": [3], "shape": [3], "values": [1]}}]}',
        "record 1: has the key 3",
    ),
    "key below": (
        JSON,
        b'{"instances": [{"features": {"keys": [-1], "shape": [3], "values": [1]}}]}',
        "no lists of positions",
    ),
    "too few keys": (
        JSON,
        b'{"instances": [{"features": {"keys": [1], "shape": [3], "values": [1, 2]}}]}',
        "record 1: has 1 keys for 2 values",
    ),
    "claims a lot": (
        JSON,
        b'{"instances": [{"features": {"keys": [1], "shape": [99999999999, 9], "values": [1]}}]}',
        "record 1: claims more than 16777216 columns",
    ),
    "many dimensions": (
        JSON,
        json.dumps({"instances": [{"features": {"keys": [0], "shape": [2**62] * 300, "values": [1]}}]}).encode(),
        "record 1: has a shape of 300 dimensions",
    ),
    "json truth among numbers": (
        JSON,
        b'{"instances": [{"features": [1, 2, 3]}, {"features": [1.5, true, 3]}]}',
        "record 2, value 2: not a number: True",
    ),
    "digits of another script": (CSV, "1,2,3\n1,\u0661,3".encode(), "record 2, value 2: not a number"),
    "other shape": (RECORDIO, recordio(rows=[[1, 2]]), "record 1 (byte 0): has 2 values, the model takes 3"),
    "no frame": (RECORDIO, b"not recordio at all", "record 1 (byte 0): starts with"),
    "cut": (RECORDIO, recordio()[:-5], "record 2 (byte 36): should be 28 bytes long"),
    "bytes in it": (
        RECORDIO,
        frame(encode_record(Record({"values": (b"jpeg",)}))),
        "record 1 (byte 0): has no numbers named 'values'",
    ),
    "nan in it": (RECORDIO, recordio(rows=[[1, 2, 3], [1, 2, np.nan]]), "record 2, value 3: value is nan"),
    "image": ("image/png", b"", "request: 'image/png' is not read"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_wrong_is_named_with_its_record_and_a_remedy(case):
    kind, body, expected = HOSTILE[case]
    with pytest.raises(BadInputError) as caught:
        read_request(kind, body, 3)
    assert expected in str(caught.value)
    assert caught.value.remedy


def test_few_bytes_do_not_unpack_to_more_than_memory_holds():
    wide = 1 << 20
    tensor = Tensor(np.float32([1]), np.uint64([5]), (wide,))
    one = frame(encode_record(Record({"values": tensor})))
    with pytest.raises(BadInputError, match="unpacks to more than"):
        read_request(RECORDIO, one * (SPARSE_NUMBERS // wide + 1), wide)
    spelt = json.dumps({"features": {"keys": [0], "shape": [wide], "values": [1]}}).encode() + b"\n"
    with pytest.raises(BadInputError, match="unpacks to more than"):
        read_request(JSON_LINES, spelt * (SPARSE_NUMBERS // wide + 1), wide)


@pytest.mark.parametrize(
    ("kind", "name"), [(JSON, "json"), (JSON_LINES, "jsonl"), (CSV, "csv"), (RECORDIO, "pbr")]
)
def test_answers_are_the_golden_ones(kind, name):
    assert write_answer(kind, POSITIONS, DISTANCES) == (GOLDEN / f"answers.{name}").read_bytes()


def test_answers_with_and_without_names_are_of_one_form():
    plain = write_answer(RECORDIO, POSITIONS, DISTANCES)
    assert write_answer(RECORDIO, POSITIONS, DISTANCES, [(None, None)] * 2) == plain


def test_a_distance_that_no_float_holds_is_an_error_and_no_infinity():
    with pytest.raises(BadInputError, match="record 2: lies too far out"):
        write_answer(JSON, POSITIONS, np.array([1.0, np.inf]))
    with pytest.raises(BadInputError, match="record 1: lies too far out"):
        write_answer(RECORDIO, POSITIONS, np.array([1e39, 1.0]))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", CSV),
        ("*/*", CSV),
        ("application/*", JSON),
        ("text/csv;q=0, */*", JSON),
        ("*/*;q=0.5, text/csv;q=0.1, application/*;q=0", CSV),
        ("*/*;q=nan", None),
        ("text/*;q=0.1", CSV),
        ("application/json; verbose=true", JSON),
        ("text/csv;q=0, application/json;q=0.1", JSON),
        ("application/x-recordio-protobuf, application/json", RECORDIO),
        ("text/html", None),
        ("application/json;q=much", None),
    ],
)
def test_the_answer_has_the_format_that_is_wished_for_most(accept, expected):
    assert chosen_answer(accept, CSV) == expected


def test_all_texts_means_csv():
    assert chosen_answer("text/*", JSON) == CSV


def test_a_shape_of_many_dimensions_is_refused_before_it_is_multiplied():
    tensor = Tensor(np.float32([1]), np.uint64([0]), (2**62,) * 100_000)
    body = frame(encode_record(Record({"values": tensor})))
    with pytest.raises(BadInputError, match=r"record 1 \(byte 0\): has a shape of 100000 dimensions"):
        read_request(RECORDIO, body, 3)


def test_room_is_asked_for_before_rows_are_unpacked():
    one = frame(encode_record(Record({"values": Tensor(np.float32([1]), np.uint64([5]), (1000,))})))
    held: list[int] = []
    assert read_request(RECORDIO, one * 3, 1000, held.append).matrix.nbytes == 12_000
    spelt = json.dumps({"features": {"keys": [5], "shape": [1000], "values": [1]}}).encode() + b"\n"
    read_request(JSON_LINES, spelt * 2, 1000, held.append)
    assert held == [12_000, 16_000]


def test_a_format_set_for_all_answers_is_checked():
    with pytest.raises(ShoalError, match="cannot answer as 'image/png'"):
        checked_answer("image/png")
