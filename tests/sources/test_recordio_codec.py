"""Frames, records and templates: what is written is read back, what is damaged is named.

The files ``tests/sagemaker/golden/*.pbr`` were written by the SageMaker Python SDK 2.257.7 with::

    import numpy as np, scipy.sparse as sp
    from sagemaker.amazon.common import write_numpy_to_dense_tensor, write_spmatrix_to_sparse_tensor
    X = np.arange(15).reshape(5, 3) * 37 % 11 - 3
    y = np.arange(5) * 100 - 1
    for dtype in ("float32", "float64", "int64"):
        for mark, labels in (("", None), ("_labelled", y.astype(dtype))):
            with open(f"dense_{dtype}{mark}.pbr", "wb") as file:
                write_numpy_to_dense_tensor(file, X.astype(dtype), labels)
            with open(f"sparse_{dtype}{mark}.pbr", "wb") as file:
                write_spmatrix_to_sparse_tensor(file, sp.csr_matrix((X * (X > 3)).astype(dtype)), labels)
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError
from shoal.sources.recordio import MAGIC, BrokenFrameError, StreamedBytes, frame, next_frame, read_frame
from shoal.sources.recordio_records import Record, Tensor, encode_record, parse_record, write_sparse
from shoal.sources.recordio_source import read_rows, read_stream
from shoal.sources.recordio_template import Template, write_dense
from shoal.sources.recordio_wire import decode_varints, encode_varints, span_of

GOLDEN = Path(__file__).parents[1] / "sagemaker" / "golden"
X = np.arange(15).reshape(5, 3) * 37 % 11 - 3
Y = np.arange(5) * 100 - 1
some = settings(deadline=None, max_examples=25)


def window(data: bytes, size: int = 7) -> StreamedBytes:
    chunks = iter([*(data[i : i + size] for i in range(0, len(data), size)), b""])
    return StreamedBytes(lambda: next(chunks, b""))


def dense(rows, labels=None) -> bytes:
    file = io.BytesIO()
    write_dense(file, rows, labels)
    return file.getvalue()


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_files_are_those_of_the_sdk_byte_for_byte(kind, dtype, labelled):
    golden = (GOLDEN / f"{kind}_{dtype}{'_labelled' * labelled}.pbr").read_bytes()
    file, rows = io.BytesIO(), X if kind == "dense" else X * (X > 3)
    labels = Y.astype(dtype) if labelled else None
    if kind == "dense":
        write_dense(file, rows.astype(dtype), labels)
    else:
        write_sparse(file, sp.csr_matrix(rows.astype(dtype)), labels)
    assert file.getvalue() == golden
    (batch,) = read_stream(io.BytesIO(golden))
    np.testing.assert_array_equal(read_rows(golden), rows)
    assert batch.schema.names == ["values", "label"][: 1 + labelled]
    if labelled:
        assert batch.column("label").to_pylist() == Y.tolist()


@some
@given(st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_varints_survive_the_round_trip(numbers):
    array = np.array(numbers, np.uint64)
    assert decode_varints(encode_varints(array)).tolist() == numbers


@some
@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20))
def test_whole_numbers_of_either_sign_survive(numbers):
    tensor = Tensor(np.array(numbers, np.int32))
    again = parse_record(encode_record(Record({"values": tensor}))).features["values"]
    assert again.values.tolist() == numbers


@pytest.mark.parametrize("raw", [b"\x80", b"\x01\x80", b"\x80" * 10 + b"\x01"])
def test_numbers_cut_short_or_too_long_are_errors(raw):
    with pytest.raises(BadInputError, match="number"):
        decode_varints(raw)


def test_all_fields_survive_the_round_trip():
    record = Record(
        {"values": Tensor(np.float64([1, 2])), "image": (b"ab", b"")},
        {"closest_cluster": Tensor(np.float32([3]))},
        uid="u",
        metadata="{}",
        configuration="c",
    )
    again = parse_record(encode_record(record))
    assert again.features["values"].values.tolist() == [1, 2]
    assert again.features["image"] == (b"ab", b"")
    assert again.label["closest_cluster"].values.dtype == np.float32
    assert (again.uid, again.metadata, again.configuration) == ("u", "{}", "c")


def entry(key: bytes, value: bytes, *, swapped: bool = False) -> bytes:
    parts = [span_of(1, key), span_of(2, value)]
    return span_of(1, b"".join(parts[::-1] if swapped else parts))


F4 = np.float32([1, 2]).tobytes()


def test_unpacked_and_packed_numbers_are_the_same():
    unpacked = b"".join(b"\x0d" + F4[i : i + 4] for i in (0, 4)) + b"\x10\x00\x10\x03" + b"\x18\x05"
    tensor = parse_record(entry(b"values", span_of(2, unpacked))).features["values"]
    assert tensor.dense().tolist() == [1, 0, 0, 2, 0]
    double = parse_record(entry(b"values", span_of(3, b"\x09" + np.float64(7).tobytes()))).features["values"]
    assert double.values.tolist() == [7]
    whole = parse_record(entry(b"values", span_of(7, b"\x08\x96\x01\x08\x02"))).features["values"]
    assert whole.values.tolist() == [150, 2]


def test_unknown_fields_and_groups_are_skipped():
    group = b"\x63" + span_of(1, b"zz") + b"\x08\x01" + b"\x64"  # field 12
    unknown = span_of(9, b"x") + b"\x50\x7f" + b"\x5d1234" + b"\x5112345678" + group
    body = unknown + entry(b"values", span_of(2, unknown + span_of(1, F4))) + unknown
    assert parse_record(body).features["values"].values.tolist() == [1, 2]


def test_map_entries_may_come_in_any_order_and_the_last_of_a_name_counts():
    first, last = span_of(2, span_of(1, F4)), span_of(2, span_of(1, F4[4:]))
    body = entry(b"values", first) + entry(b"other", first) + entry(b"values", last, swapped=True)
    record = parse_record(body)
    assert record.features["values"].values.tolist() == [2]
    assert record.features["other"].values.tolist() == [1, 2]


def test_the_last_kind_of_a_value_wins_and_parts_of_one_kind_are_joined():
    four, eight = span_of(2, span_of(1, F4)), span_of(3, span_of(1, np.float64(9).tobytes()))
    assert parse_record(entry(b"values", four + eight)).features["values"].values.tolist() == [9]
    assert parse_record(entry(b"values", eight + four + four)).features["values"].values.tolist() == [
        1,
        2,
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (Tensor(np.float32([1]), np.uint64([5]), (5,)), "key 5"),
        (Tensor(np.float32([1]), np.uint64([5])), "no shape"),
        (Tensor(np.float32([1, 2]), np.uint64([5]), (9,)), "1 keys for 2"),
        (Tensor(np.float32([1]), np.uint64([5]), (1 << 60,)), "columns"),
        (Tensor(np.float32([1]), shape=(2,)), "1 values"),
        (Tensor(np.float32([1]), shape=(2,) * 33), "33 dimensions"),
        (Tensor(np.float32([1]), shape=(2**63,) * 30), "more than 16777216 columns"),
    ],
)
def test_tensors_that_contradict_themselves_are_refused(tensor, problem):
    with pytest.raises(BadInputError, match=problem):
        tensor.dense()


def test_many_empty_parts_take_time_in_proportion():
    def parts(n: int) -> bytes:
        kinds = [1, *[2] * n, 3]
        return b"".join(MAGIC + struct.pack("<I", kind << 29) for kind in kinds)

    values = span_of(2, span_of(2, b"") * 200_000)
    entries = span_of(2, b"\x12\x00") * 200_000
    # squared this would take minutes
    found = read_frame(window(parts(100_000), 1 << 20), 0)
    records = [parse_record(span_of(1, span_of(1, b"values") + body)) for body in (values, entries)]
    assert bytes(found.payload) == MAGIC * 100_001
    assert [len(record.features["values"].values) for record in records] == [0, 0]


def test_a_sparse_row_without_values_is_zeros_and_equal_keys_add_up():
    assert Tensor(np.float32([]), shape=(3,)).dense().tolist() == [0, 0, 0]
    assert Tensor(np.float32([1, 4]), np.uint64([1, 1]), (2,)).dense().tolist() == [0, 5]


@some
@given(payloads=st.lists(st.binary(max_size=30), max_size=6), size=st.integers(1, 20))
def test_frames_survive_whatever_the_chunks(payloads, size):
    data, at, seen = window(b"".join(map(frame, payloads)), size), 0, []
    while (found := read_frame(data, at)) is not None:
        seen.append(bytes(found.payload))
        at = found.end
    assert seen == payloads


def split(payload: bytes) -> bytes:
    """As MXNet writes it: the payload is split at the magic number, which is left out."""
    parts = payload.split(MAGIC)
    kinds = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
    return b"".join(
        MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + bytes(-len(part) % 4)
        for kind, part in zip(kinds, parts)
    )


@pytest.mark.parametrize("payload", [b"abcd" + MAGIC + b"x", MAGIC, MAGIC * 3 + b"ab", b"abcd" + MAGIC])
def test_parts_of_a_split_record_are_joined_with_the_magic_number(payload):
    data = window(split(payload) + frame(b"next"), 5)
    found = read_frame(data, 0)
    assert bytes(found.payload) == payload
    assert bytes(read_frame(data, found.end).payload) == b"next"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"abcdefgh", "magic"),
        (frame(b"abc")[:-1], "ends within"),
        (frame(b"abc")[:6], "ends within"),
        (MAGIC + struct.pack("<I", 3 << 29 | 4) + b"last", "out of order"),
        (MAGIC + struct.pack("<I", 7 << 29 | 4) + b"what", "out of order"),
        (split(b"abcd" + MAGIC)[:12] + frame(b"abcd"), "out of order"),
        (MAGIC + struct.pack("<I", (1 << 29) - 1) + b"short", "ends within"),
    ],
)
def test_broken_frames_are_errors(data, problem):
    with pytest.raises(BrokenFrameError, match=problem):
        read_frame(window(data), 0)


def test_the_next_frame_is_found_behind_damage():
    assert next_frame(window(b"damage" + bytes(2) + frame(b"ok")), 1) == 8
    assert next_frame(window(b"damage, and nothing else"), 0) is None


@some
@given(
    n=st.integers(1, 9),
    d=st.integers(1, 70),
    dtype=st.sampled_from(["f4", "f8"]),
    label=st.sampled_from([None, "f4", "f8", "i4"]),
    seed=st.integers(0, 99),
)
def test_the_template_reads_what_the_parser_reads(n, d, dtype, label, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)).astype(dtype)
    labels = None if label is None else rng.uniform(0, 128, size=n).astype(label)
    data = dense(rows, labels)
    template = Template(d, dtype, label)
    assert template.count(data) == n
    values, marks = template.take(data, n)
    data_window, at = window(data), 0
    for i in range(n):
        found = read_frame(data_window, at)
        record, at = parse_record(found.payload), found.end
        assert record.features["values"].values.tobytes() == values[i].tobytes() == rows[i].tobytes()
        assert label is None or record.label["values"].values[0] == marks[i] == labels[i]


def test_whole_labels_of_more_than_a_byte_leave_the_template():
    labels = np.array([0, 127, 128, -1, 5])
    data = dense(np.ones((5, 3), np.float32), labels)
    template = Template(3, np.float32, np.int32)
    assert template.count(data) == 2
    assert [b for batch in read_stream(io.BytesIO(data)) for b in batch.column("label").to_pylist()] == [
        *labels
    ]


@some
@given(place=st.integers(0, 10**6), n=st.integers(1, 6))
def test_a_changed_byte_is_in_the_numbers_or_ends_the_template(place, n):
    data = bytearray(dense(np.ones((n, 3), np.float32), np.ones(n, np.float32)))
    template = Template(3, np.float32, np.float32)
    at = place % len(data)
    data[at] ^= 0x55
    values, marks = template.take(bytes(data), n)
    changed = int((values != 1).sum() + (marks != 1).sum())
    assert (changed, template.count(bytes(data))) in [(1, n), (0, at // template.stride)]


@pytest.mark.parametrize(
    ("rows", "labels", "problem"),
    [
        (np.zeros(3), None, "shape"),
        (np.zeros((2, 0)), None, "shape"),
        (np.array([["a"]]), None, "type"),
        (np.array([[2**40]]), None, "32 bits"),
        (np.zeros((2, 2)), np.zeros(3), "labels"),
    ],
)
def test_what_no_tensor_holds_is_refused(rows, labels, problem):
    with pytest.raises(BadInputError, match=problem):
        dense(rows, labels)
