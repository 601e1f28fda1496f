"""Lines of JSON read back as the rows they were made of."""

from __future__ import annotations

import base64
import json
import math
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.engines.outputs.json_text import json_lines
from shoal.errors import BadInputError


def lines(table: pa.Table) -> list[str]:
    text = b"".join(bytes(block) for block in json_lines(table)).decode()
    assert not text or text.endswith("\n")
    return text.split("\n")[:-1]


def read(table: pa.Table) -> list[dict]:
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in lines(table)]


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(),
            st.none() | TEXT,
            st.none() | st.booleans(),
            st.lists(st.none() | st.floats(width=32) | st.integers(-5, 5).map(float), max_size=3),
        ),
        max_size=20,
    ),
    st.integers(0, 5),
    TEXT,
)
def test_rows_read_back_as_they_were(values, skipped, name):
    columns = list(zip(*values, strict=True)) or [[]] * 5
    kinds = [pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.list_(pa.float64())]
    names = ["i", "f", "s" + name, "b", "l"]
    arrays = [pa.array(c, k) for c, k in zip(columns, kinds, strict=True)]
    table = pa.table(arrays, names).append_column("d" + name, arrays[2].dictionary_encode()).slice(skipped)

    def said(v):
        if isinstance(v, float):
            return v if math.isfinite(v) else None
        return [said(x) for x in v] if isinstance(v, list) else v

    expected = [{k: said(v) for k, v in row.items()} for row in table.to_pylist()]
    assert read(table) == expected


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_every_float_keeps_all_its_bits(patterns):
    values = np.frombuffer(struct.pack(f"<{len(patterns)}Q", *patterns), np.float64)
    back = [row["x"] for row in read(pa.table({"x": values}))]
    finite = np.isfinite(values)
    assert [v is not None for v in back] == finite.tolist()
    kept = np.array([float(v) for v in back if v is not None])
    np.testing.assert_array_equal(kept, values[finite])


def test_every_ascii_sign_and_line_separators_are_escaped_rightly():
    text = ["".join(map(chr, range(128))), "\u2028\u2029\x7f\x85", '"', "\\", "", "a\nb", "🐟 小魚"]
    table = pa.table({"t": text})
    assert [row["t"] for row in read(table)] == text
    assert len(lines(table)) == len(text)


def test_column_names_are_escaped_too():
    assert read(pa.table({'a"b\n': [1], "ü": [2]})) == [{'a"b\n': 1, "ü": 2}]


def test_floats_have_the_fewest_digits():
    assert lines(pa.table({"x": [0.1, 1e22, -2.5]})) == ['{"x":0.1}', '{"x":1e+22}', '{"x":-2.5}']
    assert lines(pa.table({"x": pa.array([0.1], pa.float32())})) == ['{"x":0.1}']


def test_what_json_has_no_number_for_is_null():
    x = pa.array([math.nan, math.inf, -math.inf, None])
    assert lines(pa.table({"x": x})) == ['{"x":null}'] * 4
    assert lines(pa.table({"x": x.cast(pa.float32()).cast(pa.float16())})) == ['{"x":null}'] * 4


def test_times_are_iso_and_zoned_ones_are_in_utc():
    at = datetime(2026, 11, 21, 5, 6, 7, 89, tzinfo=UTC)
    table = pa.table(
        {
            "zoned": pa.array([at, None], pa.timestamp("us", "Europe/Berlin")),
            "plain": pa.array([at.replace(tzinfo=None), None], pa.timestamp("ms")),
            "nano": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns")),
            "day": pa.array([date(2026, 11, 21), None]),
            "day64": pa.array([date(2026, 11, 21), None], pa.date64()),
            "clock": pa.array([at.time(), None]),
            "long": pa.array([timedelta(seconds=90), None], pa.duration("ns")),
        }
    )
    first, second = read(table)
    assert first == {
        "zoned": "2026-11-21T05:06:07.000089Z",
        "plain": "2026-11-21T05:06:07.000",
        "nano": "2023-11-14T22:13:20.123456789",
        "day": "2026-11-21",
        "day64": "2026-11-21",
        "clock": "05:06:07.000089",
        "long": "0:01:30",
    }
    assert datetime.fromisoformat(first["zoned"]) == at
    assert set(second.values()) == {None}


def test_rare_types():
    table = pa.table(
        {
            "binary": pa.array([b"\xff\x00", None]),
            "decimal": pa.array([Decimal("1.50"), None]),
            "struct": pa.array([{"a": [1.5, math.nan], "b": b"\xff"}, None]),
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "nothing": pa.nulls(2),
            "big": pa.array([2**64 - 1, None], pa.uint64()),
            "view": pa.array(['a"', None], pa.string_view()),
            "large": pa.array(["b\n", None], pa.large_string()),
            "numbers": pa.array([7, None]).dictionary_encode(),
            "coded": pa.array(["x", None]).dictionary_encode(null_encoding="encode"),
            "runs": pa.RunEndEncodedArray.from_arrays([2], pa.array(['r"'])),
        }
    )
    first, second = read(table)
    expected = {
        "binary": base64.b64encode(b"\xff\x00").decode(),
        "decimal": "1.50",
        "struct": {"a": [1.5, None], "b": "/w=="},
        "map": [["k", 1]],
        "nothing": None,
        "big": 2**64 - 1,
        "view": 'a"',
        "large": "b\n",
        "numbers": 7,
        "coded": "x",
        "runs": 'r"',
    }
    assert first == expected
    assert second == dict.fromkeys(expected) | {"runs": 'r"'}


def test_invalid_utf8_becomes_a_replacement_sign():
    raw = pa.array([b"ok", b'\xff\xfe"', b"\xed\xa0\x80", None])
    broken = pa.StringArray.from_buffers(4, raw.buffers()[1], raw.buffers()[2], raw.buffers()[0])
    texts = [row["t"] for row in read(pa.table({"t": broken}))]
    assert texts == ["ok", '��"', "���", None]


@pytest.mark.parametrize("n", [0, 1, 32_768, 32_769])
def test_tables_of_any_length_and_chunking(n):
    numbers = pa.chunked_array([np.arange(n // 3), np.arange(n // 3, n)], pa.int64())
    plain = pa.array(["a"] * (n // 2), pa.string())
    mixed = pa.array([f"w{i % 7}" for i in range(n - n // 2)], pa.string())
    words = pa.chunked_array([plain, mixed])
    table = pa.table({"i": numbers, "w": words.dictionary_encode()})
    assert read(table) == table.to_pylist()


def test_a_slice_of_a_large_dictionary():
    words = pa.array([f'w"{i}' for i in range(1000)]).dictionary_encode()
    assert [row["w"] for row in read(pa.table({"w": words.slice(990)}))] == [
        f'w"{i}' for i in range(990, 1000)
    ]


def test_tables_without_columns_or_with_two_of_one_name_are_refused():
    with pytest.raises(BadInputError, match="no columns"):
        list(json_lines(pa.table({})))
    with pytest.raises(BadInputError, match="two columns are named 'a'"):
        list(json_lines(pa.table([[1], [2]], ["a", "a"])))


def test_a_value_without_a_form_names_its_column():
    nested = pa.array([[1]], pa.list_(pa.timestamp("ns")))  # one nanosecond, which Python cannot hold
    try:
        nested.to_pylist()
    except ValueError:
        with pytest.raises(BadInputError, match="column 'x'"):
            list(json_lines(pa.table({"x": nested})))
    else:  # with pandas it can
        assert lines(pa.table({"x": nested}))[0].startswith('{"x":["1970-01-01T00:00:00')
